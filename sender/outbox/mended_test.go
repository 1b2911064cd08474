package outbox_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// A rotation and a change of settings that begin at the same moment both take effect, whichever is first.
func TestAChangeOfSettingsKeepsARotation(t *testing.T) {
	t.Parallel()
	address := sqldbtest.NewDatabase(t)
	w := &world{url: address, pool: sqldbtest.OpenPool(t, address)}
	o := w.start(t)
	h := newHook(t, nil)
	c := endpointAt("shop", h.URL)
	c.Scheme, c.Secret = outbox.SchemeBearer, outbox.NewSecret("old-key-0123456789abcdefghijklmnopqrstuvw")
	e, _ := create(t, o, c)
	tx, err := w.pool.Begin(t.Context()) // makes both wait, so that the order is always the same
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT 1 FROM deployhook_outbox.outbox_endpoint WHERE id = $1 FOR UPDATE`, e.ID)
	require.NoError(t, err)
	rotated, updated := make(chan error, 1), make(chan error, 1)
	waiting := func(n int) func() bool {
		return func() bool {
			var got int
			err := w.pool.QueryRow(context.Background(), `SELECT count(*) FROM pg_stat_activity
				WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&got)
			return err == nil && got == n
		}
	}
	go func() {
		_, err := o.RotateSecret(context.Background(), e.ID, "new-key-0123456789abcdefghijklmnopqrstuvw", 0)
		rotated <- err
	}()
	eventually(t, waiting(1), "the rotation waits for the lock")
	go func() {
		_, err := o.UpdateEndpoint(context.Background(), e.ID, outbox.EndpointUpdate{Description: new("hello")})
		updated <- err
	}()
	eventually(t, waiting(2), "the update waits for the lock")
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, <-rotated)
	require.NoError(t, <-updated)
	got, err := o.Endpoint(t.Context(), e.ID)
	require.NoError(t, err)
	require.Equal(t, "hello", got.Description)
	settled(t, o, publish(t, o, "shop", event(payload.DeployLive, "d")).Deliveries[0].ID, outbox.Delivered)
	require.Contains(t, h.requests()[0].header.Get("Authorization"), "new-key")
}

func TestRotationsSurviveUpdates(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		e, _ := create(t, o, endpointAt("shop", newHook(t, nil).URL))
		for range 30 {
			updated := make(chan error, 1)
			go func() {
				_, err := o.UpdateEndpoint(context.Background(), e.ID, outbox.EndpointUpdate{Description: new("hello")})
				updated <- err
			}()
			s, err := o.RotateSecret(t.Context(), e.ID, "", 0)
			require.NoError(t, err)
			require.NoError(t, <-updated)
			_, err = o.RotateSecret(t.Context(), e.ID, s.Reveal(), time.Minute)
			require.ErrorIs(t, err, outbox.ErrInvalid, "the new secret must be the one that is in use")
		}
	})
}

// switchable is a pool whose connections can be cut.
func switchable(t *testing.T) (pool *pgxpool.Pool, down *atomic.Bool) {
	cfg, err := pgxpool.ParseConfig(sqldbtest.NewDatabase(t))
	require.NoError(t, err)
	down = new(atomic.Bool)
	dial := cfg.ConnConfig.DialFunc
	cfg.MaxConns = 10
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if down.Load() {
			return nil, errors.New("the database is down")
		}
		return dial(ctx, network, addr)
	}
	pool, err = pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool, down
}

func TestAStartThatFailedCanBeTriedAgain(t *testing.T) {
	t.Parallel()
	pool, down := switchable(t)
	w := &world{pool: pool}
	o := w.open(t)
	h := newHook(t, nil)
	create(t, o, endpointAt("shop", h.URL))
	for range 2 {
		down.Store(true)
		pool.Reset()
		require.ErrorContains(t, o.Start(t.Context()), "the database is down")
	}
	require.NoError(t, o.Stop(t.Context()), "nothing to stop")
	down.Store(false)
	require.NoError(t, o.Start(t.Context()))
	settled(t, o, publish(t, o, "shop", event(payload.DeployLive, "d")).Deliveries[0].ID, outbox.Delivered)
	require.NoError(t, o.Stop(t.Context()))
}

func TestStartHeedsItsContext(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		h := newHook(t, nil)
		create(t, o, endpointAt("shop", h.URL))
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, o.Start(ended), context.Canceled)
		for pause := time.Duration(0); pause < 20*time.Millisecond; pause += 2 * time.Millisecond {
			short, cancel := context.WithTimeout(t.Context(), pause)
			err := o.Start(short)
			cancel()
			if err == nil {
				break
			}
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		_ = o.Start(t.Context()) // unless one of them was in time, whose context has ended by now
		settled(t, o, publish(t, o, "shop", event(payload.DeployLive, "d")).Deliveries[0].ID, outbox.Delivered)
	})
}

func TestCloseAfterAnImpatientStop(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithStopTimeout(patience))
		in, release := make(chan struct{}), make(chan struct{})
		h := newHook(t, func(int, received) int { close(in); <-release; return 200 })
		create(t, o, endpointAt("shop", h.URL))
		publish(t, o, "shop", event(payload.DeployLive, "d"))
		<-in
		impatient, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, o.Stop(impatient), context.Canceled)
		close(release)
		require.NoError(t, o.Close())
	})
}

func TestMaxTimeoutBoundsEveryAttempt(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithMaxTimeout(500*time.Millisecond), outbox.WithSchedule("platform", platformIn(2)))
		block := make(chan struct{})
		h := newHook(t, func(int, received) int { <-block; return 200 })
		t.Cleanup(func() { close(block) })
		create(t, o, endpointAt("shop", h.URL)) // without a timeout of its own
		d := settled(t, o, publish(t, o, "shop", event(payload.DeployLive, "d")).Deliveries[0].ID, outbox.Failed)
		require.Equal(t, 2, d.Attempts)
		require.Equal(t, sender.ClassTimeout, d.LastClass)
		attempts, err := o.Attempts(t.Context(), d.ID)
		require.NoError(t, err)
		require.Len(t, attempts, 2)
	})
}

func TestContradictoryTimeoutsAreRefused(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		_, err := w.tryOpen(outbox.WithMaxTimeout(time.Second), outbox.WithSender(sender.WithTimeout(2*time.Second)))
		require.ErrorIs(t, err, outbox.ErrConfig)
		require.ErrorContains(t, err, "WithMaxTimeout")
		observed := false
		for _, opts := range [][]sender.Option{
			{sender.WithTimeout(time.Second)},
			{sender.WithPorts(8443)},
			{sender.WithObserver(func(context.Context, sender.Attempt) { observed = true })},
		} {
			w.open(t, outbox.WithMaxTimeout(time.Second), outbox.WithSender(opts...))
		}
		require.False(t, observed, "opening must not look like an attempt")
	})
}

func TestTheSendersTimeoutIsKept(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithSender(sender.WithTimeout(300*time.Millisecond)), outbox.WithSchedule("platform", platformIn(1)))
		block := make(chan struct{})
		h := newHook(t, func(int, received) int { <-block; return 200 })
		t.Cleanup(func() { close(block) })
		create(t, o, endpointAt("shop", h.URL))
		d := settled(t, o, publish(t, o, "shop", event(payload.DeployLive, "d")).Deliveries[0].ID, outbox.Failed)
		attempts, err := o.Attempts(t.Context(), d.ID)
		require.NoError(t, err)
		require.Len(t, attempts, 1)
		require.Equal(t, sender.ClassTimeout, attempts[0].Class)
	})
}

type bomb struct{}

func (bomb) Encode(context.Context, *payload.Event) (string, []byte, error) { panic("boom") }

func TestAPanickingFormatFailsItsEndpointOnly(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t, outbox.WithFormat("bomb", bomb{}))
		h := newHook(t, nil)
		good, _ := create(t, o, endpointAt("shop", h.URL))
		c := endpointAt("shop", h.URL+"/b")
		c.BodyFormat = "bomb"
		bad, _ := create(t, o, c)
		tx := w.begin(t)
		p, err := o.PublishTx(t.Context(), tx.tx, "shop", event(payload.DeployLive, "d"), outbox.WithEventID("e1"))
		require.NoError(t, err)
		tx.commit(t)
		states := map[string]outbox.State{}
		for _, ref := range p.Deliveries {
			d, err := o.Delivery(t.Context(), ref.ID)
			require.NoError(t, err)
			states[ref.Endpoint] = d.State
		}
		require.Equal(t, map[string]outbox.State{good.ID: outbox.Pending, bad.ID: outbox.Failed}, states)
	})
}

// A rejection that nothing mends ends the delivery, where the sender was told to see it that way.
func TestStopOnClientError(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithSender(sender.WithStopOnClientError()))
		h := newHook(t, always(http.StatusBadRequest))
		create(t, o, endpointAt("shop", h.URL))
		d := settled(t, o, publish(t, o, "shop", event(payload.DeployLive, "d")).Deliveries[0].ID, outbox.Failed)
		require.Equal(t, 1, d.Attempts)
		require.Equal(t, 1, h.count())
	})
}

func TestDuplicatesInAnotherSpelling(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		u, err := url.Parse(newHook(t, nil).URL)
		require.NoError(t, err)
		port := ":" + u.Port()
		create(t, o, endpointAt("shop", "http://localhost"+port+"/x"))
		create(t, o, endpointAt("shop", "http://127.0.0.1/x"))
		for _, same := range []string{"HTTP://localhost" + port + "/x/", "http://LocalHost." + port + "/x", "http://127.0.0.1:80/x"} {
			_, _, err := o.CreateEndpoint(t.Context(), endpointAt("shop", same))
			require.ErrorIs(t, err, outbox.ErrDuplicateEndpoint, same)
		}
		for _, other := range []string{"http://localhost" + port + "/X", "http://127.0.0.1:8080/x"} {
			create(t, o, endpointAt("shop", other))
		}
	})
}

// failingTx panics where the deliveries are about to be made, as no driver should.
type failingTx struct{ pgx.Tx }

func (tx failingTx) Query(ctx context.Context, statement string, args ...any) (pgx.Rows, error) {
	if strings.Contains(statement, "outbox_endpoint") {
		panic("boom")
	}
	return tx.Tx.Query(ctx, statement, args...)
}

func TestAPanicLeavesNoHalfEventBehind(t *testing.T) {
	t.Parallel()
	address := sqldbtest.NewDatabase(t)
	w := &world{url: address, pool: sqldbtest.OpenPool(t, address)}
	o := w.open(t)
	create(t, o, endpointAt("shop", newHook(t, nil).URL))
	tx, err := w.pool.Begin(t.Context())
	require.NoError(t, err)
	require.Panics(t, func() {
		_, _ = o.PublishTx(t.Context(), failingTx{tx}, "shop", event(payload.DeployLive, "d"), outbox.WithEventID("e1"))
	})
	require.NoError(t, tx.Commit(t.Context()))
	p := publish(t, o, "shop", event(payload.DeployLive, "d"), outbox.WithEventID("e1"))
	require.False(t, p.Duplicate)
	require.Len(t, p.Deliveries, 1)
}

func TestReSealLeavesAloneWhatIsSealedWithTheCurrentKey(t *testing.T) {
	t.Parallel()
	address := sqldbtest.NewDatabase(t)
	w := &world{url: address, pool: sqldbtest.OpenPool(t, address)}
	o := w.open(t)
	create(t, o, endpointAt("shop", newHook(t, nil).URL))
	version := func() (n int64) {
		require.NoError(t, w.pool.QueryRow(t.Context(), `SELECT version FROM `+w.table("outbox_endpoint")).Scan(&n))
		return n
	}
	before := version()
	n, err := o.ReSeal(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	require.Equal(t, before, version())
}
