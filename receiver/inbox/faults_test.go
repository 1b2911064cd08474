package inbox_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/inbox"
)

// kinds are the ways in which a callback fails without returning.
var kinds = map[string]func(){"panic": func() { panic("boom") }, "exit": runtime.Goexit}

// badHandler is an application's log handler that misbehaves.
type badHandler struct{ fault func() }

func (h badHandler) Enabled(context.Context, slog.Level) bool  { h.fault(); return true }
func (h badHandler) Handle(context.Context, slog.Record) error { h.fault(); return nil }
func (h badHandler) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h badHandler) WithGroup(string) slog.Handler             { return h }

// With one worker, a callback that ended the worker's goroutine would stop the
// inbox.
func TestCallbacks_FaultsKeepRecordAndWorker(t *testing.T) {
	t.Parallel()
	for kind, fault := range kinds {
		for name, opt := range map[string]inbox.Option{
			"WithObserver": inbox.WithObserver(func(context.Context, inbox.Result) { fault() }),
			"WithLogger":   inbox.WithLogger(slog.New(badHandler{fault})),
		} {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				onEach(t, func(t *testing.T, open opener) {
					in := open((&calls{}).handle, inbox.WithWorkers(1), opt)
					d := newEndpoint(t, in, "platform")
					start(t, in)
					for n := range 3 {
						d.accept(started(n))
					}
					reaches(t, in, inbox.Stats{Handled: 3})
					require.NoError(t, in.Stop(context.WithoutCancel(t.Context())))
					assert.GreaterOrEqual(t, in.Faults()[name], uint64(3), "%v", in.Faults())
				})
			})
		}
	}
}

// The attempt counts, and the default schedule sets the next one.
func TestSchedule_FaultsFallBack(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	schedules := map[string]func() backoff.BackOff{
		"hang": func() backoff.BackOff { <-hang; return nil },
		"late": func() backoff.BackOff { return badBackOff{func() { panic("boom") }} },
	}
	for kind, fault := range kinds {
		schedules[kind] = func() backoff.BackOff { fault(); return nil }
	}
	for kind, schedule := range schedules {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, open opener) {
				results := make(chan inbox.Result, 1)
				var calls atomic.Int32
				in := open(func(ctx context.Context, _ *payload.Event) error {
					if calls.Add(1) > 1 {
						<-ctx.Done() // the first attempt is looked at, however long that takes
					}
					return errors.New("not yet")
				}, inbox.WithWorkers(1), inbox.WithRetrySchedule(schedule), inbox.WithScheduleLimit(100*time.Millisecond),
					inbox.WithObserver(func(_ context.Context, r inbox.Result) { results <- r }))
				newEndpoint(t, in, "platform").accept(started(1))
				start(t, in)
				r := <-results
				assert.Equal(t, inbox.Pending, r.State)
				assert.Equal(t, 1, only(t, in).Attempts)
				assert.InDelta(t, 5*time.Second, r.RetryIn, float64(1251*time.Millisecond))
				assert.Equal(t, uint64(1), in.Faults()["WithRetrySchedule"])
			})
		})
	}
}

type badBackOff struct{ fault func() }

func (b badBackOff) NextBackOff() time.Duration { b.fault(); return 0 }
func (badBackOff) Reset()                       {}

// While one delivery's observer hangs, other deliveries are handled, and the
// result is stored.
func TestObserver_HangKeepsOneWorker(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		var first atomic.Bool
		hang := make(chan struct{})
		in := open((&calls{}).handle, inbox.WithWorkers(2), inbox.WithObserver(func(context.Context, inbox.Result) {
			if first.CompareAndSwap(false, true) {
				<-hang
			}
		}))
		d := newEndpoint(t, in, "platform")
		start(t, in)
		for n := range 3 {
			d.accept(started(n))
		}
		reaches(t, in, inbox.Stats{Handled: 3})
		close(hang)
	})
}
