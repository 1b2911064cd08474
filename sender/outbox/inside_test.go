package outbox

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// inside is an outbox that was not started. The test decides what its workers
// find out and when they record it.
type inside struct {
	*Outbox
	t testing.TB
}

// insideEach runs a test on both databases.
func insideEach(t *testing.T, test func(t *testing.T, o *inside), opts ...Option) {
	opts = append([]Option{WithSealingKeys(sealingKey(t)), loopbackOnly()}, opts...)
	run := func(t *testing.T, o *Outbox, err error) {
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, o.Close()) })
		test(t, &inside{o, t})
	}
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		o, err := OpenSQLite(t.Context(), NewSQLite(t), opts...)
		run(t, o, err)
	})
	t.Run("Postgres", func(t *testing.T) {
		t.Parallel()
		o, err := NewPostgres(t.Context(), sqldbtest.NewPool(t), opts...)
		run(t, o, err)
	})
}

// ownerOf returns the app that has the row of a table.
func (o *inside) ownerOf(table, id string) *App {
	o.t.Helper()
	var app string
	require.NoError(o.t, o.db.QueryRow(context.Background(), `SELECT app FROM {schema}`+table+` WHERE id = ?`, id).Scan(&app))
	return o.App(app)
}

func sealingKey(t testing.TB) SealingKey {
	secret := make([]byte, keySize)
	_, _ = rand.Read(secret)
	key, err := NewSealingKey("k1", secret)
	require.NoError(t, err)
	return key
}

func loopbackOnly() Option {
	return WithSender(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")))
}

// endpoint adds an endpoint to the app and returns its ID.
func (o *inside) endpoint(app string, rate float64) string {
	o.t.Helper()
	e, _, err := o.App(app).CreateEndpoint(o.t.Context(), EndpointConfig{URL: sender.NewURL("http://127.0.0.1:1/" + newID("x")), RateLimit: rate})
	require.NoError(o.t, err)
	return e.ID
}

// publishOne publishes an event that no other supersedes, and returns the
// delivery for the app's first endpoint.
func (o *inside) publishOne(app string) string {
	o.t.Helper()
	p, err := o.App(app).Publish(o.t.Context(), &payload.Event{
		Type: "deploy.canary", Timestamp: time.Now().UTC().Truncate(time.Millisecond), DeploymentID: newID("d_"), App: app,
		Environment: "production",
	})
	require.NoError(o.t, err)
	require.NotEmpty(o.t, p.Deliveries)
	return p.Deliveries[0].ID
}

// loaded returns a delivery as a worker loads it.
func (o *inside) loaded(id string) *loaded {
	o.t.Helper()
	all, err := o.worker.loader.loadBatch(o.t.Context(), []string{id})
	require.NoError(o.t, err)
	return &all[0]
}

func (o *inside) write(results ...*result) {
	o.t.Helper()
	_, err := o.worker.recorder.save(o.t.Context(), results)
	require.NoError(o.t, err)
}

func (o *inside) exec(statement string, args ...any) {
	o.t.Helper()
	_, err := o.db.Exec(o.t.Context(), statement, args...)
	require.NoError(o.t, err)
}

func (o *inside) delivery(id string) Delivery {
	o.t.Helper()
	d, err := o.ownerOf("outbox_delivery", id).Delivery(o.t.Context(), id)
	require.NoError(o.t, err)
	return d
}

func (o *inside) shown(endpoint string) Endpoint {
	o.t.Helper()
	e, err := o.ownerOf("outbox_endpoint", endpoint).Endpoint(o.t.Context(), endpoint)
	require.NoError(o.t, err)
	return e
}

// refused is an attempt that was answered 500.
func refused() *sender.Attempt {
	return &sender.Attempt{Outcome: sender.Failed, Class: sender.ClassStatus, Status: 500, Start: time.Now(), Err: errors.New("500")}
}

// delivered and failed return the result that a worker makes of an answer. If
// next is zero, a failed delivery has no attempt left.
func (d *loaded) delivered(at time.Time) *result {
	return newResult(d, sender.Once, &sender.Attempt{Outcome: sender.Delivered, Status: 200, Start: at}, at)
}

func (d *loaded) failed(began, next time.Time) *result {
	r := newResult(d, sender.Once, refused(), began)
	r.attempt.Start, r.failingSince = began, began
	if !next.IsZero() {
		r.state, r.nextAt, r.doneAt = Pending, next, time.Time{}
	}
	return r
}

// nextMillisecond waits until the clock shows another millisecond.
func nextMillisecond() {
	for now := time.Now().UnixMilli(); time.Now().UnixMilli() == now; {
		runtime.Gosched()
	}
}

// stamp is a time as the database keeps it.
func stamp(t time.Time) time.Time { return fromMicros(micros(t)) }

func (o *inside) replay(id string) {
	o.t.Helper()
	require.NoError(o.t, o.ownerOf("outbox_delivery", id).Replay(context.Background(), id))
}
