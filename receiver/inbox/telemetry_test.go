package inbox_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
)

// spy is a Telemetry that notes its calls.
type spy struct {
	trace   string
	fault   func() // in StartHandler
	backlog func(context.Context) (inbox.Backlog, error)

	mu      sync.Mutex
	traces  []string
	took    []error
	results []inbox.Result
	answers []receiver.Outcome
	closed  int
}

type spyKey struct{}

func (s *spy) open(backlog func(context.Context) (inbox.Backlog, error)) (inbox.Telemetry, error) {
	s.backlog = backlog
	return s, nil
}

func (s *spy) Receiver(string) (receiver.Telemetry, error) { return requests{s}, nil }
func (s *spy) Trace(context.Context) string                { return s.trace }

func (s *spy) StartHandler(ctx context.Context, trace string, d inbox.Delivery, attempt int) context.Context {
	if s.fault != nil {
		s.fault()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.traces = append(s.traces, trace)
	return context.WithValue(ctx, spyKey{}, attempt)
}

func (s *spy) EndHandler(_ context.Context, _ time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.took = append(s.took, err)
}

func (s *spy) End(_ context.Context, r inbox.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.results = append(s.results, r)
}

func (s *spy) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
	return nil
}

type requests struct{ *spy }

func (requests) Start(r *http.Request, _ *receiver.Delivery, _ time.Time) context.Context {
	return r.Context()
}

func (r requests) End(_ context.Context, res receiver.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers = append(r.answers, res.Outcome)
}

// The trace of the request is stored, and each attempt gets it.
func TestTelemetry_FollowsADelivery(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		s := &spy{trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
		failed := errors.New("not yet")
		var mu sync.Mutex
		var marks []any
		in := open(func(ctx context.Context, _ *payload.Event) error {
			mu.Lock()
			defer mu.Unlock()
			marks = append(marks, ctx.Value(spyKey{}))
			if len(marks) == 1 {
				return failed
			}
			return nil
		}, inbox.WithTelemetry(s.open))
		newEndpoint(t, in, "platform").accept(started(1))
		b, err := s.backlog(t.Context())
		require.NoError(t, err)
		require.False(t, b.OldestPending.IsZero())
		b.OldestPending = time.Time{}
		require.Equal(t, inbox.Backlog{Pending: 1, Limit: inbox.DefaultMaxBacklog}, b)
		start(t, in)
		reaches(t, in, inbox.Stats{Handled: 1})
		require.NoError(t, in.Close())
		require.NoError(t, in.Close())

		require.Equal(t, []any{1, 2}, marks)
		require.Equal(t, []string{s.trace, s.trace}, s.traces)
		require.Equal(t, []error{failed, nil}, s.took)
		require.Len(t, s.results, 2)
		require.Equal(t, inbox.Pending, s.results[0].State)
		require.Equal(t, inbox.Handled, s.results[1].State)
		require.Equal(t, "platform", s.results[1].Delivery.Source)
		require.Equal(t, []receiver.Outcome{receiver.Accepted}, s.answers)
		require.Equal(t, 1, s.closed)
	})
}

// A text that is no trace is not stored, because the database may be unable to.
func TestTelemetry_StoresNoOtherText(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		s := &spy{}
		in := open((&calls{}).handle, inbox.WithTelemetry(s.open))
		e := newEndpoint(t, in, "platform")
		texts := []string{"\x00", "a b", "ü", strings.Repeat("a", 513)}
		for i, text := range texts {
			s.trace = text
			e.accept(started(i))
		}
		start(t, in)
		reaches(t, in, inbox.Stats{Handled: len(texts)})
		require.NoError(t, in.Close())
		require.Equal(t, make([]string, len(texts)), s.traces)
	})
}

func TestTelemetry_OpenFails(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(func(context.Context) (inbox.Backlog, error)) (inbox.Telemetry, error){
		"is nil": nil,
		"no collector": func(func(context.Context) (inbox.Backlog, error)) (inbox.Telemetry, error) {
			return nil, errors.New("no collector")
		},
		"neither":  func(func(context.Context) (inbox.Backlog, error)) (inbox.Telemetry, error) { return nil, nil },
		"panicked": func(func(context.Context) (inbox.Backlog, error)) (inbox.Telemetry, error) { panic("no") },
	} {
		_, err := inbox.OpenSQLite(t.Context(), t.TempDir()+"/inbox.db", (&calls{}).handle, inbox.WithLogger(quiet()), inbox.WithTelemetry(open))
		require.ErrorIs(t, err, inbox.ErrConfig)
		require.ErrorContains(t, err, "WithTelemetry: ")
		require.ErrorContains(t, err, name)
	}
}

// A Backlog counts dead letters and no other finished deliveries.
func TestBacklog(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		in := open(func(_ context.Context, e *payload.Event) error {
			if e.DeploymentID == "dep_1" {
				return errors.New("broken")
			}
			return nil
		}, inbox.WithMaxAttempts(1), inbox.WithMaxBacklog(7))
		e := newEndpoint(t, in, "platform")
		for n := range 3 {
			e.accept(started(n))
		}
		start(t, in)
		reaches(t, in, inbox.Stats{Handled: 2, Dead: 1})
		b, err := in.Backlog(t.Context())
		require.NoError(t, err)
		require.Equal(t, inbox.Backlog{Limit: 7, Dead: 1}, b)
	})
}
