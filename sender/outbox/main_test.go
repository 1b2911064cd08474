package outbox_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

func TestMain(m *testing.M) {
	leaktest.Parallel(10) // they wait more than they compute
	leaktest.Main(m)
}

// patience is how long tests wait for an event that must happen. Only a hang
// takes that long, even on a slow machine.
const patience = 10 * time.Minute

// world is a database on which a test can open several outboxes, as several
// processes would.
type world struct {
	path string // of the SQLite file
	url  string // of the PostgreSQL database
	pool *pgxpool.Pool
	// standard makes begin use database/sql on PostgreSQL.
	standard *sql.DB
}

// onEach runs a test on both databases.
func onEach(t *testing.T, test func(t *testing.T, w *world)) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, &world{path: outbox.NewSQLite(t)})
	})
	t.Run("Postgres", func(t *testing.T) {
		t.Parallel()
		url := sqldbtest.NewDatabase(t)
		test(t, &world{url: url, pool: sqldbtest.OpenPool(t, url)})
	})
}

var testKey = newKey("k1")

func newKey(id string) outbox.SealingKey {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	k, err := outbox.NewSealingKey(id, secret)
	if err != nil {
		panic(err)
	}
	return k
}

// loopback lets deliveries go to servers of the test.
func loopback() outbox.Option {
	return outbox.WithSender(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")))
}

// platformIn is a schedule of n attempts a few milliseconds apart.
func platformIn(n uint64) sender.Schedule {
	return func() backoff.BackOff {
		return backoff.WithMaxRetries(backoff.NewConstantBackOff(5*time.Millisecond), n-1)
	}
}

// quick is the usual schedule without its long waits.
func quick() outbox.Option {
	return outbox.WithSchedule(outbox.SchedulePlatform, sender.Scaled(sender.Platform, 0.0001))
}

// tryOpen opens an outbox with the options that most tests want.
func (w *world) tryOpen(opts ...outbox.Option) (*outbox.Outbox, error) {
	opts = append([]outbox.Option{outbox.WithSealingKeys(testKey), loopback(), quick()}, opts...)
	return w.rawOpen(opts...)
}

func (w *world) rawOpen(opts ...outbox.Option) (*outbox.Outbox, error) {
	if w.path != "" {
		return outbox.OpenSQLite(context.Background(), w.path, opts...)
	}
	return outbox.NewPostgres(context.Background(), w.pool, opts...)
}

func (w *world) open(t testing.TB, opts ...outbox.Option) *outbox.Outbox {
	t.Helper()
	o, err := w.tryOpen(append([]outbox.Option{outbox.WithLogger(testLogger(t))}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { closeSlowly(t, o) })
	return o
}

// closeSlowly closes an outbox. Close alone gives up some seconds after
// WithStopTimeout.
func closeSlowly(t testing.TB, o *outbox.Outbox) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, o.Stop(ctx))
	require.NoError(t, o.Close())
}

func (w *world) start(t testing.TB, opts ...outbox.Option) *outbox.Outbox {
	t.Helper()
	o := w.open(t, opts...)
	require.NoError(t, o.Start(context.Background()))
	return o
}

// testLogger shows the log of a test that has failed.
func testLogger(t testing.TB) *slog.Logger {
	var buf lockedBuffer
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(buf.String())
		}
	})
	return slog.New(slog.NewTextHandler(&buf, nil))
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// hook is a customer's server.
type hook struct {
	*httptest.Server

	mu     sync.Mutex
	got    []received
	answer func(n int, r received) int // n counts from 1
	header http.Header
}

type received struct {
	header http.Header
	body   []byte
	at     time.Time
}

func newHook(t testing.TB, answer func(n int, r received) int) *hook {
	h := &hook{answer: answer, header: http.Header{}}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	got := received{header: r.Header.Clone(), body: body, at: time.Now()}
	h.mu.Lock()
	h.got = append(h.got, got)
	n, answer := len(h.got), h.answer
	for name, values := range h.header {
		w.Header()[name] = values
	}
	h.mu.Unlock()
	status := http.StatusOK
	if answer != nil {
		status = answer(n, got)
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, "thanks")
}

func (h *hook) requests() []received {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]received(nil), h.got...)
}

func (h *hook) count() int { return len(h.requests()) }

// sent returns the requests of one delivery.
func (h *hook) sent(id string) (some []received) {
	for _, r := range h.requests() {
		if r.header.Get("Webhook-Id") == id {
			some = append(some, r)
		}
	}
	return some
}

// set changes how the server answers.
func (h *hook) set(answer func(n int, r received) int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = answer
}

func always(status int) func(int, received) int { return func(int, received) int { return status } }

func event(t payload.Type, deployment string) *payload.Event {
	e := &payload.Event{
		Type: t, Timestamp: time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC), DeploymentID: deployment, App: "api-service",
		Environment: "production",
	}
	switch t {
	case payload.DeployFailed:
		e.Error = "health check timed out"
	case payload.DeployRolledBack:
		e.PreviousVersion = "v1"
	}
	return e
}

func endpointAt(url string) outbox.EndpointConfig {
	return outbox.EndpointConfig{URL: sender.NewURL(url)}
}

func create(t testing.TB, app *outbox.App, c outbox.EndpointConfig) (outbox.Endpoint, outbox.Secret) {
	t.Helper()
	e, s, err := app.CreateEndpoint(t.Context(), c)
	require.NoError(t, err)
	return e, s
}

func publish(t testing.TB, app *outbox.App, e *payload.Event, opts ...outbox.PublishOption) outbox.Publication {
	t.Helper()
	p, err := app.Publish(t.Context(), e, opts...)
	require.NoError(t, err)
	return p
}

// eventually waits for what must happen sooner or later.
func eventually(t testing.TB, condition func() bool, what string) {
	t.Helper()
	over := time.NewTimer(patience)
	defer over.Stop()
	for pause := time.Millisecond; !condition(); pause = min(2*pause, 100*time.Millisecond) { // looking costs something, too
		select {
		case <-time.After(pause):
		case <-over.C:
			require.FailNow(t, "it has not happened in "+patience.String(), what)
		}
	}
}

// nextMillisecond waits until the clock shows another millisecond.
func nextMillisecond() {
	for now := time.Now().UnixMilli(); time.Now().UnixMilli() == now; {
		runtime.Gosched()
	}
}

// settled waits until a delivery has the state and returns it.
func settled(t testing.TB, o *outbox.Outbox, id string, want outbox.State) outbox.Delivery {
	t.Helper()
	var d outbox.Delivery
	eventually(t, func() bool {
		d = find(t, o, id)
		return d.State == want
	}, "delivery never became "+string(want))
	return d
}

// find returns a delivery of any app.
func find(t testing.TB, o *outbox.Outbox, id string) outbox.Delivery {
	t.Helper()
	apps, err := o.Apps(context.Background(), outbox.Page{Limit: outbox.MaxPageLimit})
	require.NoError(t, err)
	for _, app := range apps.Items {
		d, err := o.App(app).Delivery(context.Background(), id)
		if errors.Is(err, outbox.ErrUnknownDelivery) {
			continue
		}
		require.NoError(t, err)
		return d
	}
	require.FailNow(t, "no app has the delivery", id)
	return outbox.Delivery{}
}

// hourly is a schedule that no test waits for.
func hourly() backoff.BackOff { return backoff.NewConstantBackOff(time.Hour) }
