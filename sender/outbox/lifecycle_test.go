package outbox_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

func TestConfigurationIsCheckedAtOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		for option, opt := range map[string]outbox.Option{
			"WithSealingKeys":    outbox.WithSealingKeys(outbox.SealingKey{}),
			"WithSender":         outbox.WithSender(sender.WithTimeout(-1)),
			"WithFormat":         outbox.WithFormat("json", shout{}),
			"WithSchedule":       outbox.WithSchedule("", nil),
			"WithSchema":         outbox.WithSchema(""),
			"WithWorkers":        outbox.WithWorkers(0),
			"WithMaxEndpoints":   outbox.WithMaxEndpoints(0),
			"WithMaxConcurrency": outbox.WithMaxConcurrency(0),
			"WithBreaker":        outbox.WithBreaker(0, 0, 0),
			"WithDisableAfter":   outbox.WithDisableAfter(-1),
			"WithRetention":      outbox.WithRetention(0, 0),
			"WithDeadRetention":  outbox.WithDeadRetention(0),
			"WithMaxTimeout":     outbox.WithMaxTimeout(0),
			"WithStopTimeout":    outbox.WithStopTimeout(0),
			"WithHook":           outbox.WithHook(nil),
			"WithLogger":         outbox.WithLogger(nil),
			"Option":             nil,
		} {
			_, err := w.tryOpen(opt)
			require.ErrorIs(t, err, outbox.ErrConfig, option)
			require.ErrorContains(t, err, option)
		}
		_, err := w.tryOpen(outbox.WithFormat(outbox.FormatEnvelope, shout{}))
		require.ErrorContains(t, err, "WithFormat")
		_, err = w.rawOpen()
		require.ErrorIs(t, err, outbox.ErrConfig)
		require.ErrorContains(t, err, "WithSealingKeys")
		_, err = outbox.OpenSQLite(t.Context(), "/nowhere/at/all.db", outbox.WithSealingKeys(testKey))
		require.ErrorIs(t, err, outbox.ErrConfig)
		_, err = outbox.NewPostgres(t.Context(), nil, outbox.WithSealingKeys(testKey))
		require.ErrorIs(t, err, outbox.ErrConfig)
	})
}

func TestAClosedOutboxSaysSo(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t)
		require.Error(t, o.Start(t.Context()), "started twice")
		require.NoError(t, o.Close())
		require.NoError(t, o.Close())
		require.ErrorIs(t, o.Start(t.Context()), outbox.ErrClosed)
		_, err := o.App("shop").Publish(t.Context(), event(payload.DeployLive, "dep_1"))
		require.ErrorIs(t, err, outbox.ErrClosed)
		_, _, err = o.App("shop").CreateEndpoint(t.Context(), endpointAt("http://127.0.0.1:1/"))
		require.ErrorIs(t, err, outbox.ErrClosed)
		_, err = o.Deliveries(t.Context(), outbox.DeliveryFilter{}, outbox.Page{})
		require.ErrorIs(t, err, outbox.ErrClosed)
	})
}

// Attempts in flight end before Stop returns. Deliveries that are published
// meanwhile are left for the next process.
func TestStopLetsAttemptsEnd(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithStopTimeout(patience))
		inFlight, release := make(chan struct{}), make(chan struct{})
		var once sync.Once
		h := newHook(t, func(int, received) int {
			once.Do(func() { close(inFlight) })
			<-release
			return 200
		})
		create(t, o.App("shop"), endpointAt(h.URL))
		first := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID
		<-inFlight
		impatient, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, o.Stop(impatient), context.Canceled, "it is stopping, and an attempt is in flight")
		close(release)
		require.NoError(t, o.Stop(t.Context()))
		d, err := o.App("shop").Delivery(t.Context(), first)
		require.NoError(t, err)
		require.Equal(t, outbox.Delivered, d.State)
		require.Equal(t, 1, h.count())

		second := publish(t, o.App("shop"), event(payload.DeployLive, "dep_2")).Deliveries[0].ID
		require.NoError(t, o.Stop(t.Context()))
		next := w.start(t)
		settled(t, next, second, outbox.Delivered)
	})
}

// An attempt that Stop interrupts does not count. The next process makes it
// again.
func TestStopCutsOffWhatHangs(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithStopTimeout(300*time.Millisecond))
		inFlight, release := make(chan struct{}), make(chan struct{})
		h := newHook(t, func(n int, _ received) int {
			if n == 1 {
				close(inFlight)
				<-release
			}
			return 200
		})
		t.Cleanup(func() { close(release) })
		create(t, o.App("shop"), endpointAt(h.URL))
		id := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID
		<-inFlight
		require.NoError(t, o.Stop(t.Context()))
		d, err := o.App("shop").Delivery(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, outbox.Pending, d.State)
		require.Zero(t, d.Attempts)
		next := w.start(t)
		d = settled(t, next, id, outbox.Delivered)
		require.Equal(t, 1, d.Attempts)
	})
}

func TestSeveralProcessesShareTheWork(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		publisher := w.open(t)
		h := newHook(t, nil)
		create(t, publisher.App("shop"), endpointAt(h.URL))
		w.start(t)
		w.start(t)
		const n = 100
		ids := map[string]bool{}
		for i := range n {
			ids[publish(t, publisher.App("shop"), event(payload.DeployLive, "dep_"+strconv.Itoa(i))).Deliveries[0].ID] = true
		}
		for id := range ids {
			settled(t, publisher, id, outbox.Delivered)
		}
		seen := map[string]int{}
		for _, r := range h.requests() {
			seen[r.header.Get("Webhook-Id")]++
		}
		require.Len(t, seen, n)
		// If the database takes 15 s for a write after an attempt, the job fails and
		// the attempt is made again.
		failed := w.queryInt(t, "SELECT count(*) FROM "+w.table("outbox_job")+" WHERE failures > 0")
		for id, count := range seen {
			if count > 1 {
				failed--
				require.GreaterOrEqual(t, failed, int64(0), "%s was delivered twice", id)
			}
		}
	})
}

func TestNoPublicAddressNoDelivery(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		h := newHook(t, nil)
		create(t, o.App("shop"), endpointAt(h.URL))
		id := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID
		// This process does not open the loopback network. The guard checks every
		// attempt, not only the registration.
		strict, err := w.rawOpen(outbox.WithSealingKeys(testKey), quick(), outbox.WithBreaker(100, time.Second, time.Second),
			outbox.WithSender(sender.AllowNetworks(netip.MustParsePrefix("10.0.0.0/8"))))
		require.NoError(t, err)
		t.Cleanup(func() { closeSlowly(t, strict) })
		require.NoError(t, strict.Start(t.Context()))
		d := settled(t, strict, id, outbox.Failed)
		require.Equal(t, sender.ClassPolicy, d.LastClass)
		require.Zero(t, h.count())
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
	create(t, o.App("shop"), endpointAt(h.URL))
	for range 2 {
		down.Store(true)
		pool.Reset()
		require.ErrorContains(t, o.Start(t.Context()), "the database is down")
	}
	require.NoError(t, o.Stop(t.Context()), "nothing to stop")
	down.Store(false)
	require.NoError(t, o.Start(t.Context()))
	settled(t, o, publish(t, o.App("shop"), event(payload.DeployLive, "d")).Deliveries[0].ID, outbox.Delivered)
	require.NoError(t, o.Stop(t.Context()))
}

func TestStart_EndOfContext(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		h := newHook(t, nil)
		create(t, o.App("shop"), endpointAt(h.URL))
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
		settled(t, o, publish(t, o.App("shop"), event(payload.DeployLive, "d")).Deliveries[0].ID, outbox.Delivered)
	})
}

func TestCloseAfterAnImpatientStop(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithStopTimeout(patience))
		in, release := make(chan struct{}), make(chan struct{})
		h := newHook(t, func(int, received) int { close(in); <-release; return 200 })
		create(t, o.App("shop"), endpointAt(h.URL))
		publish(t, o.App("shop"), event(payload.DeployLive, "d"))
		<-in
		impatient, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, o.Stop(impatient), context.Canceled)
		close(release)
		require.NoError(t, o.Close())
	})
}
