package outbox

import (
	"context"
	"log/slog"
	"time"

	"github.com/deployhook/deployhook/sender"
)

// downAfter is how long an endpoint fails before a log line says so.
const downAfter = 30 * time.Second

// The stages of a failure. Each is announced once.
const (
	stageDown = 1 // only in the log
	stageHalf = 50
	stageMost = 80
)

// stage returns the stage of a failure that began at since.
func (h *health) stage(since time.Time) int64 {
	if since.IsZero() {
		return 0
	}
	lasted := time.Since(since)
	if h.disableAfter > 0 {
		for _, percent := range []int64{stageMost, stageHalf} {
			if lasted >= h.disableAfter/100*time.Duration(percent) {
				return percent
			}
		}
	}
	if lasted >= downAfter {
		return stageDown
	}
	return 0
}

// sayStage announces the stage of an endpoint's failure, unless a process has
// done so. The row remembers what was announced.
func (h *health) sayStage(ctx context.Context, d *loaded, r *result) []Notice {
	stage := h.stage(d.failingSince)
	if stage <= d.noticed {
		return nil
	}
	n, err := h.db.Exec(ctx, `UPDATE {schema}outbox_endpoint SET noticed = ?, noticed_since = failing_since
		WHERE id = ? AND version = ? AND failing_since = ? AND state <> 'disabled' AND (noticed_since <> failing_since OR noticed < ?)`,
		stage, d.endpoint, d.version, micros(d.failingSince), stage)
	if err != nil {
		h.logger.WarnContext(ctx, "outbox: announcing a failing endpoint", slog.String("endpoint", d.endpoint), slog.Any("error", err))
	}
	if err != nil || n == 0 {
		return nil
	}
	if stage == stageDown {
		notice := Notice{App: d.app, Endpoint: d.endpoint, Failure: h.describe(ctx, NoticeFailing, d, r)}
		h.logger.LogAttrs(ctx, slog.LevelWarn, "outbox: endpoint accepts no deliveries", notice.attrs()...)
		return nil
	}
	notice := Notice{
		Kind: NoticeDisabling, App: d.app, Endpoint: d.endpoint, Failure: h.describe(ctx, NoticeDisabling, d, r),
		Reason: "no attempt has succeeded since " + d.failingSince.UTC().Format(time.RFC3339),
	}
	h.logger.LogAttrs(ctx, slog.LevelWarn, "outbox: endpoint will be disabled", notice.attrs()...)
	return []Notice{notice}
}

// sayOpened logs that a circuit breaker has opened. Attempts that keep it open
// are not logged.
func (h *health) sayOpened(ctx context.Context, d *loaded, a *sender.Attempt, until time.Time) {
	if !d.breakerOpenUntil.IsZero() {
		return
	}
	h.logger.WarnContext(ctx, "outbox: circuit breaker opened, so fewer attempts are made", slog.String("app", d.app),
		slog.String("endpoint", d.endpoint), slog.Time("until", until), slog.String("class", string(a.Class)), slog.String("error", newAttemptRow(a).errText))
}

// sayRecovered logs that an endpoint accepts deliveries again, if something was
// said about its failure.
func (h *health) sayRecovered(ctx context.Context, d *loaded, r *result) {
	if r.outage == nil {
		return
	}
	h.logger.InfoContext(ctx, "outbox: endpoint accepts deliveries again", slog.String("app", d.app), slog.String("endpoint", d.endpoint),
		slog.Time("since", r.outage.since), slog.Duration("after", time.Since(r.outage.since)), slog.String("first_error", r.outage.firstError))
}
