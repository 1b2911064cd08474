package inbox_test

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/signer"
)

func TestStop_LetsHandlersFinish(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		entered, release := make(chan struct{}), make(chan struct{})
		in := open(func(ctx context.Context, _ *payload.Event) error {
			close(entered)
			<-release
			return ctx.Err()
		}, inbox.WithStopTimeout(patience))
		at := newEndpoint(t, in, "platform")
		at.accept(started(1))
		start(t, in)
		<-entered
		stopped := make(chan error)
		go func() { stopped <- in.Stop(context.WithoutCancel(t.Context())) }()
		select {
		case err := <-stopped:
			t.Fatalf("stopped while a handler runs: %v", err)
		case <-time.After(100 * time.Millisecond):
		}
		close(release)
		require.NoError(t, <-stopped)
		reaches(t, in, inbox.Stats{Handled: 1})
		at.accept(started(2))
		reaches(t, in, inbox.Stats{Handled: 1, Pending: 1})
	})
}

func TestStop_RequeuesUnfinishedDeliveries(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]inbox.Option{"unordered": nil, "ordered": {inbox.WithOrdering()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, open opener) {
				entered := make(chan struct{}, 10)
				var stopping atomic.Bool
				stopping.Store(true)
				in := open(func(ctx context.Context, _ *payload.Event) error {
					if !stopping.Load() {
						return nil
					}
					entered <- struct{}{}
					<-ctx.Done()
					return ctx.Err()
				}, append(opts, inbox.WithStopTimeout(50*time.Millisecond), inbox.WithMaxAttempts(1))...)
				newEndpoint(t, in, "platform").accept(started(1))
				for range 3 {
					start(t, in)
					<-entered
					require.NoError(t, in.Stop(context.WithoutCancel(t.Context())))
					d := only(t, in)
					assert.Equal(t, inbox.Pending, d.State)
					assert.Zero(t, d.Attempts, "it does not count")
				}
				stopping.Store(false)
				start(t, in)
				reaches(t, in, inbox.Stats{Handled: 1})
				assert.Equal(t, 1, only(t, in).Attempts)
			})
		})
	}
}

// Stop's context ends before the handlers finish.
func TestStop_ReturnsWhenContextEnds(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		entered := make(chan struct{})
		in := open(func(ctx context.Context, _ *payload.Event) error {
			close(entered)
			<-ctx.Done()
			return ctx.Err()
		}, inbox.WithStopTimeout(time.Hour))
		newEndpoint(t, in, "platform").accept(started(1))
		start(t, in)
		<-entered
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		require.NoError(t, in.Stop(ctx))
		assert.Equal(t, inbox.Pending, only(t, in).State)
	})
}

// A handler that ignores its context outlasts Close. Nothing else of the inbox
// may, which the check for leaks at the end of the tests notices.
func TestClose_EndsUpkeepWithoutTheHandlers(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	in, err := inbox.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "inbox.db"), func(context.Context, *payload.Event) error {
		close(entered)
		<-release
		return nil
	}, append(testOptions(), inbox.WithStopTimeout(time.Millisecond), inbox.WithStoreTimeout(2*time.Second))...)
	require.NoError(t, err)
	at := newEndpoint(t, in, "platform")
	id := payload.NewDeliveryID()
	require.Eventually(t, func() bool { return at.post(id, started(1)).Code != http.StatusServiceUnavailable }, patience, often)
	start(t, in)
	<-entered
	require.Error(t, in.Close())
	close(release)
}

func TestStartAndClose(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		in := open((&calls{}).handle)
		at := newEndpoint(t, in, "platform")
		require.NoError(t, in.Stop(t.Context()), "not started")
		start(t, in)
		require.Error(t, in.Start(t.Context()), "twice")
		require.NoError(t, in.Stop(t.Context()))
		require.NoError(t, in.Stop(t.Context()))

		ctx, cancel := context.WithCancel(t.Context())
		require.NoError(t, in.Start(ctx))
		cancel() // has the same effect as Stop
		require.NoError(t, in.Stop(t.Context()))
		start(t, in)
		at.accept(started(1))
		reaches(t, in, inbox.Stats{Handled: 1})

		require.NoError(t, in.Close())
		require.NoError(t, in.Close())
		require.ErrorIs(t, in.Start(t.Context()), inbox.ErrClosed)
		_, err := in.List(t.Context(), inbox.Filter{}, inbox.Page{})
		require.ErrorIs(t, err, inbox.ErrClosed)
		assert.Equal(t, http.StatusServiceUnavailable, at.post("x", started(1)).Code)
	})
}

// One process stores and another handles.
func TestStart_OneProcessStoresAnotherHandles(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		front := open(func(context.Context, *payload.Event) error { panic("it never starts") })
		var seen calls
		start(t, open(seen.handle))
		at := newEndpoint(t, front, "platform")
		for i := range 10 {
			at.accept(started(i))
		}
		reaches(t, front, inbox.Stats{Handled: 10})
		assert.Len(t, seen.list(), 10)
	})
}

// The test runs a job again, as after a crash. A crash does not count as an
// attempt, but after too many crashes the delivery is dead.
func TestWorker_LostProcessIsNoAttempt(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		numbers := make(chan int, 10)
		in := open(func(ctx context.Context, _ *payload.Event) error {
			a, _ := inbox.FromContext(ctx)
			numbers <- a.Number
			return errors.New("no")
		}, inbox.WithMaxAttempts(1), inbox.WithObserver(func(context.Context, inbox.Result) { panic("contained") }))
		at := newEndpoint(t, in, "platform")
		at.accept(started(1))
		id := only(t, in).ID
		assert.Equal(t, jobdb.Done(), in.Work(t.Context(), id, 19))
		assert.Equal(t, 1, <-numbers)
		assert.Equal(t, inbox.Dead, only(t, in).State)
		assert.Equal(t, "no", only(t, in).LastError)

		require.NoError(t, in.Replay(t.Context(), id))
		assert.Equal(t, jobdb.Done(), in.Work(t.Context(), id, 0), "a job of an earlier round does nothing")
		assert.Equal(t, inbox.Pending, only(t, in).State)
		assert.Equal(t, jobdb.Done(), in.WorkRound(t.Context(), id, 25, 2))
		assert.Empty(t, numbers)
		assert.Equal(t, inbox.Dead, only(t, in).State)
		assert.Contains(t, only(t, in).LastError, "died repeatedly")
	})
}

// Runs a job before its retry is due.
func TestWorker_WaitsForRetryTime(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		var n atomic.Int32
		hourly := func() backoff.BackOff { return backoff.NewConstantBackOff(time.Hour) }
		in := open(func(context.Context, *payload.Event) error { n.Add(1); return errors.New("no") }, inbox.WithRetrySchedule(hourly))
		newEndpoint(t, in, "platform").accept(started(1))
		id := only(t, in).ID
		requireWaits(t, in.Work(t.Context(), id, 0))
		requireWaits(t, in.Work(t.Context(), id, 0))
		assert.EqualValues(t, 1, n.Load())
	})
}

// Runs a job again while its handler, which ignored its timeout, is still
// running.
func TestWorker_OneHandlerPerDelivery(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		var n atomic.Int32
		entered, release := make(chan struct{}), make(chan struct{})
		in := open(func(context.Context, *payload.Event) error {
			if n.Add(1) == 1 {
				close(entered)
			}
			<-release
			return nil
		}, inbox.WithHandlerTimeout(time.Millisecond))
		finish := sync.OnceFunc(func() { close(release) })
		t.Cleanup(finish)
		newEndpoint(t, in, "platform").accept(started(1))
		start(t, in)
		<-entered
		requireWaits(t, in.Work(t.Context(), only(t, in).ID, 1))
		finish()
		reaches(t, in, inbox.Stats{Handled: 1})
		assert.EqualValues(t, 1, n.Load())
	})
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	handler := (&calls{}).handle
	path := filepath.Join(t.TempDir(), "inbox.db")
	for name, opt := range map[string]inbox.Option{
		"nil": nil, "WithWorkers": inbox.WithWorkers(0), "WithWorkers(1001)": inbox.WithWorkers(1001),
		"WithMaxAttempts": inbox.WithMaxAttempts(0), "WithRetrySchedule": inbox.WithRetrySchedule(nil),
		"WithHandlerTimeout": inbox.WithHandlerTimeout(0), "WithRescueAfter": inbox.WithRescueAfter(time.Millisecond),
		"WithStopTimeout": inbox.WithStopTimeout(0), "WithStoreTimeout": inbox.WithStoreTimeout(0),
		"WithRetention": inbox.WithRetention(time.Second), "WithDeadRetention": inbox.WithDeadRetention(time.Hour),
		"WithObserver": inbox.WithObserver(nil), "WithLogger": inbox.WithLogger(nil), "WithDeadRetention(0s)": inbox.WithDeadRetention(0), "WithSchema: the name is empty": inbox.WithSchema(""), "WithMaxBacklog": inbox.WithMaxBacklog(0), "WithSchema": inbox.WithSchema("x"),
	} {
		_, err := inbox.OpenSQLite(t.Context(), path, handler, opt)
		require.ErrorIs(t, err, inbox.ErrConfig, name)
		if opt != nil {
			require.ErrorContains(t, err, name)
		}
	}
	_, err := inbox.OpenSQLite(t.Context(), path, nil, inbox.WithWorkers(0), inbox.WithMaxBacklog(-1))
	require.ErrorIs(t, err, inbox.ErrConfig)
	for _, text := range []string{"handler", "WithWorkers", "WithMaxBacklog"} {
		assert.ErrorContains(t, err, text, "all at once")
	}
	require.NoFileExists(t, path)
	_, err = inbox.OpenSQLite(t.Context(), ":memory:", handler)
	require.ErrorIs(t, err, inbox.ErrConfig)
	_, err = inbox.NewPostgres(t.Context(), nil, handler)
	require.ErrorIs(t, err, inbox.ErrConfig)

	in, err := inbox.OpenSQLite(t.Context(), path, handler, inbox.WithRetention(5*time.Minute))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, in.Close()) })
	store, err := dedupe.NewMemory()
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.Close() })
	short := newScheme(t, signer.WithTolerance(2*time.Minute))
	_, err = in.Handler(short, "")
	require.ErrorIs(t, err, inbox.ErrConfig)
	_, err = in.Handler(short, "platform", receiver.WithDedupe(store, "platform"))
	require.ErrorIs(t, err, inbox.ErrConfig)
	require.ErrorIs(t, err, receiver.ErrConfig)
	_, err = in.Handler(nil, "platform")
	require.ErrorIs(t, err, inbox.ErrConfig)
	_, err = in.Handler((*signer.Standard)(nil), "platform")
	require.ErrorIs(t, err, inbox.ErrConfig)
	_, err = in.Handler(newScheme(t), "platform")
	require.ErrorContains(t, err, "WithRetention", "5 minutes are less than twice the tolerance of 5 minutes")
	_, err = in.Handler(short, "platform")
	require.NoError(t, err)
}

// The verifier's tolerance is known only with each request, and is too large.
func TestHandler_PerRequestTolerance(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		in := open((&calls{}).handle, inbox.WithRetention(10*time.Minute))
		scheme := newScheme(t, signer.WithTolerance(time.Hour))
		v := receiver.PerRequest(func(*http.Request) (string, signer.Verifier, error) { return "acme", scheme, nil })
		h, err := in.Handler(v, "platform", receiver.WithLogger(quiet()))
		require.NoError(t, err)
		for age, want := range map[time.Duration]int{
			0: http.StatusAccepted, 6 * time.Minute: http.StatusServiceUnavailable, -6 * time.Minute: http.StatusServiceUnavailable,
		} {
			r, w := request(started(1))
			require.NoError(t, scheme.Sign(r.Context(), r, payload.NewDeliveryID(), time.Now().Add(-age), []byte(started(1))))
			h.ServeHTTP(w, r)
			assert.Equal(t, want, w.Code, age)
		}
	})
}

func TestWithSchema_SeparatesInboxes(t *testing.T) {
	t.Parallel()
	pool := sqldbtest.NewPool(t)
	for _, schema := range []string{"one", "two"} {
		var seen calls
		in, err := inbox.NewPostgres(t.Context(), pool, seen.handle, append(testOptions(), inbox.WithSchema(schema))...)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, in.Close()) })
		start(t, in)
		assert.Equal(t, http.StatusAccepted, newEndpoint(t, in, "platform").post("same", started(1)).Code)
		reaches(t, in, inbox.Stats{Handled: 1})
		assert.Len(t, seen.list(), 1)
	}
}

// The server freezes, dies and comes back. Senders get 503 in time, accepted
// deliveries are kept, and the work continues without a restart.
func TestDatabaseDown(t *testing.T) {
	t.Parallel()
	server := servicetest.StartPostgres(t)
	config, err := pgxpool.ParseConfig(server.URL())
	require.NoError(t, err)
	config.MaxConns = 8
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	var seen calls
	in, err := inbox.NewPostgres(t.Context(), pool, seen.handle, append(testOptions(), inbox.WithStoreTimeout(time.Second))...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, in.Close()) })
	at := newEndpoint(t, in, "platform")
	try := func(i int) int { return at.post(payload.NewDeliveryID(), started(i)).Code }
	require.Eventually(t, func() bool { return try(1) == http.StatusAccepted }, patience, often)
	var before int
	require.Eventually(t, func() bool {
		s, err := in.Stats(t.Context())
		before = s.Pending
		return err == nil
	}, patience, often)

	server.Pause()
	begin := time.Now()
	w := at.post("frozen", started(2))
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.NotEmpty(t, w.Header().Get("Retry-After"))
	assert.Less(t, time.Since(begin), patience)
	server.Resume()
	server.Kill()
	assert.Equal(t, http.StatusServiceUnavailable, try(3))
	server.Restart()
	require.Eventually(t, func() bool { return try(4) == http.StatusAccepted }, patience, often)
	start(t, in)
	require.Eventually(t, func() bool {
		s, err := in.Stats(t.Context())
		return err == nil && s.Pending == 0 && s.Handled > before
	}, patience, often)
}
