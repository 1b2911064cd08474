package outbox

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

func (o *inside) keysOf(endpoint string) int {
	o.t.Helper()
	e, err := o.endpoints.readUnsealed(o.t.Context(), o.db, endpoint)
	require.NoError(o.t, err)
	return len(e.keys)
}

func TestRotationsAreBounded(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		for _, grace := range []time.Duration{-1, 30*24*time.Hour + 1} {
			_, err := o.App("shop").RotateSecret(t.Context(), e, "", grace)
			require.ErrorIs(t, err, ErrInvalid)
		}
		next, err := o.App("shop").RotateSecret(t.Context(), e, "", 30*24*time.Hour)
		require.NoError(t, err)
		require.Equal(t, 2, o.keysOf(e))
		_, err = o.App("shop").RotateSecret(t.Context(), e, "", time.Hour)
		require.NoError(t, err)
		require.Equal(t, 2, o.keysOf(e), "the older of the secrets is still in use")
		_, err = o.App("shop").RotateSecret(t.Context(), e, next.Reveal(), 0)
		require.NoError(t, err)
		require.Equal(t, 1, o.keysOf(e), "the old one is out of use")
		_, err = o.App("shop").RotateSecret(t.Context(), e, next.Reveal(), 0)
		require.NoError(t, err, "which ends a rotation, and is no rotation")

		c := EndpointConfig{URL: sender.NewURL("http://127.0.0.1:1/unsigned"), Scheme: InsecureUnsigned}
		unsigned, _, err := o.App("shop").CreateEndpoint(t.Context(), c)
		require.NoError(t, err)
		_, err = o.App("shop").RotateSecret(t.Context(), unsigned.ID, "", 0)
		var fault *FieldError
		require.ErrorAs(t, err, &fault)
		require.Equal(t, "Scheme", fault.Field)
	})
}

// Update encrypts only the settings that it changes with the current key.
// ReSeal finds the secrets that are still under the old key.
func TestReSealFindsWhatIsHalfDone(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		old := o.endpoints.keys.current
		both := testKeyring(t, "k2", "k3")
		both.byID[old.id] = old
		o.endpoints.keys = both
		_, err := o.App("shop").UpdateEndpoint(t.Context(), e, EndpointUpdate{Description: new("changed")})
		require.NoError(t, err)
		n, err := o.ReSeal(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, n)
		delete(both.byID, old.id)
		require.Equal(t, 1, o.keysOf(e))
		n, err = o.ReSeal(t.Context())
		require.NoError(t, err)
		require.Zero(t, n)
	})
}

// A process that has cached the endpoint stops signing with the old secret when
// the grace period ends, without any other change.
func TestTheEndOfARotationNeedsNoChange(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		_, err := o.App("shop").RotateSecret(t.Context(), e, "", time.Hour)
		require.NoError(t, err)
		d := o.loaded(o.publishOne("shop"))
		signatures := func(at time.Time) int {
			to, err := o.worker.targets.get(t.Context(), d, at)
			require.NoError(t, err)
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://hooks.example/", nil)
			require.NoError(t, to.to.Signer.Sign(r.Context(), r, d.id, at, d.message.Body))
			return len(strings.Fields(r.Header.Get("Webhook-Signature")))
		}
		now := time.Now()
		require.Equal(t, 2, signatures(now))
		require.Equal(t, 2, signatures(now.Add(59*time.Minute)))
		require.Equal(t, 1, signatures(now.Add(61*time.Minute)))

		// A scheme with room for only one signature uses the new secret at once.
		const old, next = "old-key-0123456789abcdefghijklmnopqrstuvw", "new-key-0123456789abcdefghijklmnopqrstuvw"
		c := EndpointConfig{URL: sender.NewURL("http://127.0.0.1:1/"), Scheme: SchemeBearer, Secret: NewSecret(old)}
		b, _, err := o.App("bearer").CreateEndpoint(t.Context(), c)
		require.NoError(t, err)
		_, err = o.App("bearer").RotateSecret(t.Context(), b.ID, next, time.Hour)
		require.NoError(t, err)
		d = o.loaded(o.publishOne("bearer"))
		require.Contains(t, authorization(o, d, now), old)
		require.Contains(t, authorization(o, d, now.Add(61*time.Minute)), next)
	})
}

func authorization(o *inside, d *loaded, at time.Time) string {
	o.t.Helper()
	to, err := o.worker.targets.get(o.t.Context(), d, at)
	require.NoError(o.t, err)
	r := httptest.NewRequestWithContext(o.t.Context(), http.MethodPost, "http://hooks.example/", nil)
	require.NoError(o.t, to.to.Signer.Sign(r.Context(), r, d.id, at, d.message.Body))
	return r.Header.Get("Authorization")
}
