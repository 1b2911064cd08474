package main

import (
	"context"
	"errors"
	"math"
	"net/http"
	"time"

	"github.com/deployhook/deployhook/sender/outbox"
)

// replay is the progress of a replay of several deliveries.
type replay struct {
	ID         string    `json:"id"`
	CreatedAt  time.Time `json:"created_at"`
	Total      int       `json:"total"` // scheduled so far; final once complete is true
	Done       int       `json:"done"`
	Delivered  int       `json:"delivered"`
	Failed     int       `json:"failed"`
	Canceled   int       `json:"canceled,omitzero"`
	Superseded int       `json:"superseded,omitzero"`
	Pending    int       `json:"pending"`
	Skipped    int       `json:"skipped"`
	Complete   bool      `json:"complete"` // all deliveries are scheduled
	Finished   bool      `json:"finished"` // all deliveries have ended
}

func replayOf(s outbox.ReplayStatus) replay {
	return replay{
		ID: s.ID, CreatedAt: s.CreatedAt, Total: s.Scheduled, Done: s.Scheduled - s.Pending, Delivered: s.Delivered, Failed: s.Failed,
		Canceled: s.Canceled, Superseded: s.Superseded, Pending: s.Pending, Skipped: s.Skipped, Complete: s.Complete,
		Finished: s.Complete && s.Pending == 0,
	}
}

func (p *platform) replayRange(r *http.Request) (int, any, error) {
	in, err := read[struct {
		selection `json:",inline"`
		Rate      float64 `json:"rate_per_second"`
	}](r)
	if err != nil {
		return 0, nil, err
	}
	filter, err := filterOf(in.selection)
	if err != nil {
		return 0, nil, err
	}
	if in.Rate == 0 {
		in.Rate = outbox.DefaultReplayRate
	}
	app := p.customer(r)
	return p.startReplay(app, func(ctx context.Context, progress outbox.ReplayOption) (outbox.ReplayStatus, error) {
		return app.ReplayRange(ctx, filter, outbox.WithReplayRate(in.Rate), progress)
	})
}

// resumeReplay continues a replay that was interrupted when the platform
// stopped.
func (p *platform) resumeReplay(r *http.Request) (int, any, error) {
	app := p.customer(r)
	return p.startReplay(app, func(ctx context.Context, progress outbox.ReplayOption) (outbox.ReplayStatus, error) {
		return app.ResumeReplay(ctx, r.PathValue("id"), progress)
	})
}

// startReplay runs a replay in the background, because it may take long. It
// returns once the replay has an ID. The replay does not end with the request,
// but with the platform.
func (p *platform) startReplay(app *outbox.App, run func(context.Context, outbox.ReplayOption) (outbox.ReplayStatus, error)) (int, any, error) {
	first, failed := make(chan outbox.ReplayStatus, 1), make(chan error, 1)
	p.background.Go(func() {
		s, err := run(p.ctx, outbox.WithReplayProgress(func(s outbox.ReplayStatus) {
			select {
			case first <- s:
			default:
			}
		}))
		if err != nil {
			failed <- err
			if s.ID != "" && p.ctx.Err() == nil {
				p.logger.Error("a replay was interrupted; POST /apps/{app}/replays/{id}/resume continues it",
					"app", app.Name(), "replay", s.ID, "error", err)
			}
			return
		}
		p.follow(app, s)
	})
	select {
	case s := <-first:
		return http.StatusAccepted, replayOf(s), nil
	case err := <-failed:
		if errors.Is(err, context.Canceled) {
			err = outbox.ErrClosed
		}
		return 0, nil, err
	}
}

// follow logs the progress of a replay until it is finished.
func (p *platform) follow(app *outbox.App, s outbox.ReplayStatus) {
	begun, tick, last := time.Now(), time.NewTicker(500*time.Millisecond), -1
	defer tick.Stop()
	for {
		state := replayOf(s)
		if state.Done != last {
			last = state.Done
			rate := float64(state.Done) / max(time.Since(begun).Seconds(), 0.001)
			p.logger.Info("replaying", "replay", s.ID, "done", state.Done, "total", state.Total, "failed", state.Failed, "skipped", state.Skipped, "per_second", math.Round(rate*10)/10)
		}
		if state.Finished {
			return
		}
		select {
		case <-p.ctx.Done():
			return
		case <-tick.C:
		}
		var err error
		if s, err = app.ReplayStatus(p.ctx, s.ID); err != nil {
			return
		}
	}
}

func (p *platform) getReplay(r *http.Request) (int, any, error) {
	s, err := p.customer(r).ReplayStatus(r.Context(), r.PathValue("id"))
	return http.StatusOK, replayOf(s), err
}
