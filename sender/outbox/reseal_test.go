package outbox

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

// A new secret is checked when it is given, although a scheme with one
// signature uses it only after the grace period.
func TestRotateSecret_ChecksTheNewOne(t *testing.T) {
	t.Parallel()
	const text = "a-key-that-is-in-use-0123456789"
	pair := signer.GenerateSigningKey().Reveal()
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(pair, "whsk_"))
	require.NoError(t, err)
	seed := "whsk_" + base64.StdEncoding.EncodeToString(raw[:ed25519.SeedSize])
	insideEach(t, func(t *testing.T, o *inside) {
		for name, c := range map[string]struct {
			scheme    Scheme
			old, next string
		}{
			"unusable as a header": {SchemeBearer, text, "a key with blanks in it"},
			"too short":            {SchemeBearer, text, "short"},
			"none":                 {SchemeBearer, text, ""},
			"in use":               {SchemeBearer, text, text},
			"of another scheme":    {SchemeStandard, "", text},
			"in use, as a seed":    {SchemeEd25519, pair, seed},
		} {
			e, _, err := o.App("shop").CreateEndpoint(t.Context(), EndpointConfig{
				URL: sender.NewURL("http://127.0.0.1:1/" + newID("x")), Scheme: c.scheme, Secret: NewSecret(c.old),
			})
			require.NoError(t, err, name)
			for _, grace := range []time.Duration{time.Hour, 1} {
				shown, err := o.App("shop").RotateSecret(t.Context(), e.ID, c.next, grace)
				require.ErrorIs(t, err, ErrInvalid, name)
				var fault *FieldError
				require.ErrorAs(t, err, &fault, name)
				require.Equal(t, "Secret", fault.Field, name)
				require.Empty(t, shown.Reveal(), name)
			}
			require.Equal(t, 1, o.keysOf(e.ID), name)
		}
	})
}

// An endpoint that no given key opens stops ReSeal, which says how many it has
// sealed before.
func TestReSeal_CountsBeforeAnError(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		first := o.endpoints.keys.current
		o.endpoint("shop", 0)
		lost := testKeyring(t, "lost")
		o.endpoints.keys = lost
		o.endpoint("bakery", 0)
		now := testKeyring(t, "now")
		now.byID[first.id] = first
		o.endpoints.keys = now
		n, err := o.ReSeal(t.Context())
		require.ErrorIs(t, err, ErrUnseal)
		require.Equal(t, 1, n)
		n, err = o.ReSeal(t.Context())
		require.ErrorIs(t, err, ErrUnseal)
		require.Zero(t, n, "the first one is sealed with the current key")

		now.byID["lost"] = lost.current
		n, err = o.ReSeal(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, n)
	})
}

// Errors of the database reach the caller.
func TestReSeal_ReturnsErrors(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		_, err := o.endpoints.reSeal(t.Context(), "ep_unknown")
		require.ErrorIs(t, err, ErrUnknownEndpoint)
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = o.endpoints.reSeal(canceled, e)
		require.ErrorIs(t, err, context.Canceled)
		n, err := o.ReSeal(canceled)
		require.ErrorIs(t, err, context.Canceled)
		require.Zero(t, n)
	})
}

// A closed outbox neither rotates nor seals.
func TestRotation_AfterClose(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		require.NoError(t, o.Close())
		_, err := o.App("shop").RotateSecret(t.Context(), e, "", 0)
		require.ErrorIs(t, err, ErrClosed)
		n, err := o.ReSeal(t.Context())
		require.ErrorIs(t, err, ErrClosed)
		require.Zero(t, n)
	})
}

// An error between the lock and the write ends ReSeal, which must not pass over
// an endpoint that is still sealed with the old key.
func TestReSeal_FailsWithItsTransaction(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		trigger, says string
	}{
		"the lock fails":        {`BEFORE UPDATE ON outbox_endpoint BEGIN SELECT RAISE(ABORT, 'stopped'); END`, "stopped"},
		"the row is gone":       {`AFTER UPDATE OF version ON outbox_endpoint BEGIN DELETE FROM outbox_endpoint; END`, "unknown endpoint"},
		"nothing is in its way": {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, err := OpenSQLite(t.Context(), NewSQLite(t), WithSealingKeys(sealingKey(t)), loopbackOnly())
			require.NoError(t, err)
			o := &inside{db, t}
			defer o.Close()
			e := o.endpoint("shop", 0)
			next := testKeyring(t, "next")
			next.byID[o.endpoints.keys.current.id] = o.endpoints.keys.current
			o.endpoints.keys = next
			if c.trigger != "" {
				o.exec(`CREATE TRIGGER obstacle ` + c.trigger)
			}
			done, err := o.endpoints.reSeal(t.Context(), e)
			if c.says == "" {
				require.NoError(t, err)
				require.True(t, done)
				return
			}
			require.ErrorContains(t, err, c.says)
			require.False(t, done)
		})
	}
}
