package outbox

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// multiply copies a waiting delivery until there are 1024, including the
// original. Each copy has an event of its own, which is not stored.
func (o *inside) multiply(id string) {
	o.t.Helper()
	const columns = `app, endpoint, type, deployment, event_at, terminal, state, job, created_at, next_at, done_at, size, encoding, content_type`
	for _, suffix := range "abcdefghij" {
		o.exec(`INSERT INTO {schema}outbox_delivery (id, event, `+columns+`) SELECT id || '`+string(suffix)+`', event || '`+string(suffix)+`', `+columns+
			` FROM {schema}outbox_delivery WHERE id LIKE ?`, id+"%")
	}
}

func (o *inside) count(condition string) (n int64) {
	o.t.Helper()
	require.NoError(o.t, o.db.QueryRow(o.t.Context(), `SELECT count(*) FROM {schema}outbox_delivery WHERE `+condition).Scan(&n))
	return n
}

// All waiting deliveries are canceled, no matter how many there are. Others are
// unchanged.
func TestDisableCancelsAllThatWaits(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*App, context.Context, string) error{
		"disabled": func(a *App, ctx context.Context, id string) error { return a.Disable(ctx, id, "test") },
		"deleted":  (*App).DeleteEndpoint,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			insideEach(t, func(t *testing.T, o *inside) {
				e := o.endpoint("shop", 0)
				o.endpoint("other", 0)
				done, dead, other := o.publishOne("shop"), o.publishOne("shop"), o.publishOne("other")
				o.write(o.loaded(done).delivered(time.Now()), o.loaded(dead).failed(time.Now(), time.Time{}))
				o.multiply(o.publishOne("shop"))
				require.NoError(t, end(o.App("shop"), t.Context(), e))
				require.Zero(t, o.count(`state = 'pending' AND app = 'shop'`))
				require.EqualValues(t, 1024, o.count(`state = 'canceled' AND done_at > 0 AND next_at = 0 AND app = 'shop'`))
				require.Equal(t, Delivered, o.delivery(done).State)
				require.Equal(t, Failed, o.delivery(dead).State)
				require.Equal(t, Pending, o.delivery(other).State)
			})
		})
	}
}

// Deliveries are canceled in batches. A caller who enables the endpoint between
// two batches and publishes loses no delivery.
func TestNothingIsCanceledOnceTheEndpointIsEnabled(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		id := o.publishOne("shop")
		require.NoError(t, o.health.cancelPending(t.Context(), owned{"shop", e}, "the endpoint is disabled"))
		require.NoError(t, o.retention.cancelForgotten(t.Context()))
		require.Equal(t, Pending, o.delivery(id).State)
	})
}

// Deliveries that still wait because a process crashed while disabling are
// canceled later.
func TestWhatDisablingHasMissedIsCanceledLater(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		done, waits := o.publishOne("shop"), o.publishOne("shop")
		o.write(o.loaded(done).delivered(time.Now()))
		o.exec(`UPDATE {schema}outbox_endpoint SET state = 'disabled' WHERE id = ?`, e)
		require.NoError(t, o.retention.cancelForgotten(t.Context()))
		require.Equal(t, Canceled, o.delivery(waits).State)
		require.NotZero(t, o.delivery(waits).DoneAt)
		require.Equal(t, Delivered, o.delivery(done).State)
	})
}

func TestDisablingTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		var notices atomic.Int64
		o.notifier.hook = func(context.Context, Notice) { notices.Add(1) }
		other := o.endpoint("shop", 0)
		e := o.endpoint("shop", 0)
		require.NoError(t, o.App("shop").Disable(t.Context(), e, "the first\nreason \x00\xff"+strings.Repeat("x", 2000)))
		before := o.shown(e)
		require.True(t, strings.HasPrefix(before.Reason, "the first reason  ?x"), "%q", before.Reason)
		require.Len(t, before.Reason, 1024)
		require.NoError(t, o.App("shop").Disable(t.Context(), e, "the second"))
		require.Equal(t, before, o.shown(e))
		require.EqualValues(t, 1, notices.Load())
		require.EqualValues(t, 1, o.count(`type = 'endpoint.disabled' AND endpoint = '`+other+`'`))
		require.Zero(t, o.count(`endpoint = '`+e+`'`))
	})
}

// The result of an attempt is ignored for the endpoint if the endpoint was
// disabled or enabled while the attempt ran.
func TestALateFailureSaysNothingAboutADisabledEndpoint(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		d := o.failingFor(time.Minute)
		o.health.storeOpenBreaker(t.Context(), d, time.Now().Add(time.Minute))
		late := []*result{d.failed(time.Now(), time.Now()), d.failed(time.Now(), time.Now())}
		require.NoError(t, o.App("shop").Enable(t.Context(), e))
		o.write(late[0])
		got := o.shown(e)
		require.Zero(t, got.FailingSince, "it was enabled since")
		require.Zero(t, got.BreakerOpenUntil)

		d = o.loaded(d.id)
		late[1] = d.failed(time.Now(), time.Now())
		require.NoError(t, o.App("shop").Disable(t.Context(), e, "test"))
		o.write(late[1])
		o.health.storeOpenBreaker(t.Context(), d, time.Now().Add(time.Minute))
		got = o.shown(e)
		require.Zero(t, got.FailingSince, "it was disabled since")
		require.Zero(t, got.BreakerOpenUntil)
		o.write(d.delivered(time.Now()))
		require.Equal(t, EndpointDisabled, o.shown(e).State)
	})
}

// silent is a format that not every process knows.
type silent struct{}

func (silent) Encode(context.Context, *payload.Event) (string, []byte, error) {
	return "text/plain", []byte("x"), nil
}

// A process that does not know the format of the app's other endpoints can
// still disable endpoints.
func TestAFormatThatIsUnknownKeepsNoEndpointEnabled(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		_, _, err := o.App("shop").CreateEndpoint(t.Context(), EndpointConfig{URL: sender.NewURL("http://127.0.0.1:1/"), BodyFormat: "silent"})
		require.NoError(t, err)
		e := o.endpoint("shop", 0)
		delete(o.rules.formats, "silent")
		require.NoError(t, o.App("shop").Disable(t.Context(), e, "test"))
		require.Equal(t, EndpointDisabled, o.shown(e).State)
	}, WithFormat("silent", silent{}))
}

// If the process dies during a test delivery, no delivery is left waiting for
// an attempt.
func TestATestThatIsCutOffHasFailed(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		id := o.endpoint("shop", 0)
		e, err := o.endpoints.readUnsealed(t.Context(), o.db, id)
		require.NoError(t, err)
		n, err := o.publisher.storeTest(t.Context(), e, nil)
		require.NoError(t, err)
		d := o.delivery(n.id)
		require.Equal(t, Failed, d.State)
		require.NotZero(t, d.DoneAt)
		require.Contains(t, d.LastError, "cut off")
	})
}
