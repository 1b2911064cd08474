package inbox_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/callbacktest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
)

// An attempt's result is stored, even if callbacks of the application
// misbehave. faults_test.go tests each callback further.
func TestCallbacks(t *testing.T) {
	t.Parallel()
	callbacktest.Run(t, ".", map[string]func(t *testing.T, f *callbacktest.Fault){
		"WithObserver": func(t *testing.T, f *callbacktest.Fault) {
			in := openFor(t, f, (&calls{}).handle, inbox.WithObserver(func(context.Context, inbox.Result) { f.Happen() }))
			reaches(t, in, inbox.Stats{Handled: 1})
		},
		"WithTelemetry": func(t *testing.T, f *callbacktest.Fault) {
			spy := &spy{fault: f.Happen}
			in := openFor(t, f, (&calls{}).handle, inbox.WithTelemetry(spy.open))
			if f.Kind == callbacktest.Hangs {
				<-f.Entered()
				f.Release()
			}
			reaches(t, in, inbox.Stats{Handled: 1})
		},
		"WithLogger": func(t *testing.T, f *callbacktest.Fault) {
			in := openFor(t, f, (&calls{}).handle, inbox.WithLogger(slog.New(lineHandler{f.Happen})))
			reaches(t, in, inbox.Stats{Handled: 1})
		},
		"WithRetrySchedule": func(t *testing.T, f *callbacktest.Fault) {
			in := openFor(t, f, func(context.Context, *payload.Event) error { return errors.New("not yet") },
				inbox.WithRetrySchedule(func() backoff.BackOff { return badBackOff{f.Happen} }), inbox.WithScheduleLimit(100*time.Millisecond))
			<-f.Entered()
			require.Eventually(t, func() bool { return only(t, in).Attempts == 1 }, patience, often)
			require.EqualValues(t, 1, in.Faults()["WithRetrySchedule"])
		},
		"handler": func(t *testing.T, f *callbacktest.Fault) {
			in := openFor(t, f, func(context.Context, *payload.Event) error { f.Happen(); return nil }, inbox.WithMaxAttempts(1))
			<-f.Entered()
			if f.Kind == callbacktest.Hangs {
				f.Release()
				reaches(t, in, inbox.Stats{Handled: 1})
				return
			}
			reaches(t, in, inbox.Stats{Dead: 1})
			require.EqualValues(t, 1, in.Faults()["handler"])
		},
	})
}

// openFor opens an inbox with one pending delivery. Callbacks that hang are
// released before it closes.
func openFor(t *testing.T, f *callbacktest.Fault, h receiver.EventHandler, opts ...inbox.Option) *inbox.Inbox {
	t.Helper()
	in, err := inbox.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "inbox.db"), h, append(testOptions(), opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, in.Close()) })
	t.Cleanup(f.Release)
	newEndpoint(t, in, "platform").accept(started(1))
	start(t, in)
	return in
}

// lineHandler misbehaves in lines about deliveries.
type lineHandler struct{ fault func() }

func (lineHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h lineHandler) Handle(_ context.Context, line slog.Record) error {
	if strings.HasPrefix(line.Message, "inbox: delivery") {
		h.fault()
	}
	return nil
}

func (h lineHandler) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h lineHandler) WithGroup(string) slog.Handler      { return h }
