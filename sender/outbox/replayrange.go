package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

const (
	// DefaultReplayRate is the number of deliveries a second that a replay sends
	// to an endpoint.
	DefaultReplayRate = 10
	// replayBatch is the number of deliveries that are scheduled in one
	// transaction.
	replayBatch  = 200
	replayPrefix = "rpl_"
	// maxListedCount bounds the counts in a list of replays.
	maxListedCount = 1000
)

// ReplayOption configures [App.ReplayRange] and [App.ResumeReplay].
type ReplayOption interface {
	applyToReplay(*replayConfig)
}

type replayOption func(*replayConfig)

func (f replayOption) applyToReplay(c *replayConfig) { f(c) }

type replayConfig struct {
	rate       float64
	background bool
	progress   func(ReplayStatus)
	err        error
}

// WithReplayRate sets how many of the deliveries an endpoint gets each second,
// so that an endpoint which has just recovered is not flooded. Default: 10
// ([DefaultReplayRate]). Zero or less is an error. A resumed replay keeps its
// rate.
//
// The rate is that of first attempts, also if all deliveries are due at once
// after a pause. Retries come when the endpoint's schedule says.
func WithReplayRate(perSecond float64) ReplayOption {
	return replayOption(func(c *replayConfig) { c.rate = perSecond })
}

// WithReplayProgress sets a function that is called after each batch of up to
// 200 scheduled deliveries. Default: none. Nil is an error.
//
// The batch is stored before the call. The replay waits for the function, so
// one that hangs delays the next batches. A panic in it is contained, see
// [Outbox.Faults].
func WithReplayProgress(f func(ReplayStatus)) ReplayOption {
	return replayOption(func(c *replayConfig) {
		if f == nil {
			c.err = fieldError("WithReplayProgress", "the function is nil; leave it out")
		}
		c.progress = f
	})
}

// WithBackground has [App.ReplayRange] or [App.SendMissed] return as soon as
// the replay is stored. A process that was started ([Outbox.Start]) schedules
// it, and another one goes on if that one crashes. [App.ReplayStatus] reports
// the progress. [WithReplayProgress] is an error beside it. Default: the call
// schedules all of them itself and returns then.
func WithBackground() ReplayOption {
	return replayOption(func(c *replayConfig) { c.background = true })
}

// ReplayStatus is the progress of a replay.
type ReplayStatus struct {
	ID string `json:"id"`
	// App owns the replay. It is not part of the JSON form.
	App       string    `json:"-"`
	CreatedAt time.Time `json:"created_at"`
	// Filter is what it replays, with its defaults filled in.
	Filter DeliveryFilter `json:"filter"`
	// Missed reports that it is one of [App.SendMissed]. Endpoint, Since and Until
	// of Filter say which events it sends.
	Missed bool `json:"missed"`
	// Scheduled counts the deliveries that were scheduled so far. Skipped counts
	// those that can't be sent, because their endpoint is disabled or deleted, or
	// because they have no body.
	Scheduled int `json:"scheduled"`
	Skipped   int `json:"skipped"`
	// Complete reports that all have been scheduled. If a replay was interrupted
	// before, [App.ResumeReplay] continues it, or a started process does if it runs
	// in the background ([WithBackground]).
	Complete bool `json:"complete"`
	// CanceledAt is when [App.CancelReplay] ended it. It is zero for other replays.
	CanceledAt time.Time `json:"canceled_at,omitzero"`
	// Pending counts the scheduled deliveries that still wait. The other fields
	// say how the others ended. Each counts up to [MaxCount], and up to 1000 in the
	// list of [App.Replays]. Such a number means that there may be more.
	Pending    int `json:"pending"`
	Delivered  int `json:"delivered"`
	Failed     int `json:"failed"`
	Canceled   int `json:"canceled"`
	Superseded int `json:"superseded"`
}

// ReplayRange sends the deliveries again that match the filter, oldest first,
// each as [App.Replay] does. It gives each delivery a time, so that they are
// spaced ([WithReplayRate]), and returns when all have one. The deliveries
// follow at their times, and [App.ReplayStatus] reports their progress. What
// ReplayRange has stored survives a crash, and [App.ResumeReplay] does the
// rest.
//
// Empty States mean [Failed] and [Canceled]. [Pending] is an error, since such
// deliveries are sent anyway. Zero Until means now. Empty Type means all but
// [EventTest]. ReplayRange needs no Start. If this process does not deliver,
// another one does.
func (a *App) ReplayRange(ctx context.Context, f DeliveryFilter, opts ...ReplayOption) (ReplayStatus, error) {
	if err := a.open(); err != nil {
		return ReplayStatus{}, err
	}
	c, err := newReplayConfig(opts)
	if err != nil {
		return ReplayStatus{}, err
	}
	if f, err = f.forReplay(afterIDs(time.Now())); err != nil {
		return ReplayStatus{}, err
	}
	if err := a.registered(ctx); err != nil {
		return ReplayStatus{}, err
	}
	row := &replayRow{app: a.name, spacing: interval(c.rate).Microseconds(), background: flag(c.background)}
	if err := a.o.replayer.create(ctx, row, f); err != nil {
		return ReplayStatus{}, err
	}
	return a.o.replayer.begin(ctx, row, c.progress)
}

// create stores a new replay, and gives it an ID.
func (r *replayer) create(ctx context.Context, row *replayRow, f DeliveryFilter) error {
	filter, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("outbox: replaying: %w", err)
	}
	row.id = newID(replayPrefix)
	_, err = r.db.Exec(ctx, `INSERT INTO {schema}outbox_replay (id, app, created_at, filter, spacing, cursor, missed, background)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		row.id, row.app, micros(time.Now()), string(filter), row.spacing, row.cursor, row.missed, row.background)
	return wrap("replaying", err)
}

func newReplayConfig(opts []ReplayOption) (replayConfig, error) {
	c := replayConfig{rate: DefaultReplayRate}
	for _, opt := range opts {
		if opt == nil {
			return c, fieldError("ReplayOption", "an option is nil; leave it out")
		}
		opt.applyToReplay(&c)
	}
	if c.err != nil {
		return c, c.err
	}
	if c.background && c.progress != nil {
		return c, fieldError("WithReplayProgress", "a replay in the background has no caller to tell; use ReplayStatus")
	}
	if !(c.rate >= minRate && c.rate <= maxRate) {
		return c, fieldError("WithReplayRate", "want from one a day to %d a second", maxRate)
	}
	return c, nil
}

func (f DeliveryFilter) forReplay(now time.Time) (DeliveryFilter, error) {
	if len(f.States) == 0 {
		f.States = []State{Failed, Canceled}
	}
	if slices.Contains(f.States, Pending) {
		return f, fieldError("States", "pending deliveries are on their way")
	}
	if f.Until.IsZero() {
		f.Until = now
	}
	for _, text := range [...]string{f.Endpoint, f.EventID, string(f.Type), f.DeploymentID, f.Replay} {
		if !storable(text) {
			return f, fieldError("DeliveryFilter", "has a text that is not valid UTF-8 or contains a zero byte; nothing can match")
		}
	}
	if _, err := f.answers(); err != nil {
		return f, err
	}
	_, err := f.states()
	return f, err
}

// ResumeReplay continues a replay that was interrupted. It returns at once if
// the replay is complete or was canceled.
func (a *App) ResumeReplay(ctx context.Context, id string, opts ...ReplayOption) (ReplayStatus, error) {
	if err := a.open(); err != nil {
		return ReplayStatus{}, err
	}
	c, err := newReplayConfig(opts)
	if err != nil {
		return ReplayStatus{}, err
	}
	if !a.of(id).storable() {
		return ReplayStatus{}, unknownReplay(id)
	}
	return a.o.replayer.run(ctx, a.of(id), c.progress)
}

// ReplayStatus returns the progress of a replay, or [ErrUnknownReplay].
func (a *App) ReplayStatus(ctx context.Context, id string) (ReplayStatus, error) {
	if err := a.open(); err != nil {
		return ReplayStatus{}, err
	}
	return a.o.replayer.status(ctx, a.of(id))
}

// Replays is a page of replays.
type Replays struct {
	Items []ReplayStatus `json:"items"`
	// Next is the cursor of the next page. It is empty on the last.
	Next string `json:"next,omitempty"`
}

// Replays returns the app's replays of ranges, newest first. One that is not
// Complete was interrupted, or some process is scheduling it. A replay is
// forgotten when it and its deliveries are older than [WithRetention] and
// [WithDeadRetention].
func (a *App) Replays(ctx context.Context, p Page) (Replays, error) {
	if err := a.open(); err != nil {
		return Replays{}, err
	}
	if !storable(a.name) {
		return Replays{}, nil
	}
	return a.o.replayer.list(ctx, `app = ?`, []any{a.name}, p)
}
