package outbox_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// Callers that lose the answer ask again. All of them get one endpoint, and one
// of them its secret.
func TestCreateEndpoint_OnceForEachKey(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		c := endpointAt("http://127.0.0.1:1/hook")
		c.IdempotencyKey, c.Header = "create-1", sender.NewHeader(map[string][]string{"X-Team": {"checkout"}})
		var (
			mu    sync.Mutex
			ids   = map[string]bool{}
			shown int
			all   sync.WaitGroup
		)
		for range 64 {
			all.Go(func() {
				e, secret, err := o.App("shop").CreateEndpoint(t.Context(), c)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				ids[e.ID] = true
				if !secret.IsZero() {
					shown++
				}
			})
		}
		all.Wait()
		require.Len(t, ids, 1)
		require.Equal(t, 1, shown)
		stored, err := o.App("shop").Endpoints(t.Context())
		require.NoError(t, err)
		require.Len(t, stored, 1)

		// The key belongs to what was asked for, and to the app.
		for name, change := range map[string]func(c *outbox.EndpointConfig){
			"URL":         func(c *outbox.EndpointConfig) { c.URL = sender.NewURL("http://127.0.0.1:1/other") },
			"secret":      func(c *outbox.EndpointConfig) { c.Secret = outbox.NewSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") },
			"header":      func(c *outbox.EndpointConfig) { c.Header = sender.Header{} },
			"description": func(c *outbox.EndpointConfig) { c.Description = "other" },
			"disabled":    func(c *outbox.EndpointConfig) { c.Disabled = true },
		} {
			other := c
			change(&other)
			_, _, err := o.App("shop").CreateEndpoint(t.Context(), other)
			require.ErrorIs(t, err, outbox.ErrKeyReused, name)
		}
		// Defaults that are written out, and empty lists, are no other settings.
		for name, change := range map[string]func(c *outbox.EndpointConfig){
			"body format": func(c *outbox.EndpointConfig) { c.BodyFormat = outbox.FormatJSON },
			"scheme":      func(c *outbox.EndpointConfig) { c.Scheme = outbox.SchemeStandard },
			"schedule":    func(c *outbox.EndpointConfig) { c.Schedule = outbox.SchedulePlatform },
			"events":      func(c *outbox.EndpointConfig) { c.Events = []string{} },
			"metadata":    func(c *outbox.EndpointConfig) { c.Metadata = map[string]string{} },
		} {
			same := c
			change(&same)
			e, _, err := o.App("shop").CreateEndpoint(t.Context(), same)
			require.NoError(t, err, name)
			require.Equal(t, stored[0].ID, e.ID, name)
		}
		e, secret, err := o.App("blog").CreateEndpoint(t.Context(), c)
		require.NoError(t, err)
		require.NotContains(t, ids, e.ID)
		require.False(t, secret.IsZero())

		// The endpoint's changes do not matter, new sealing keys neither.
		_, err = o.App("shop").UpdateEndpoint(t.Context(), stored[0].ID, outbox.EndpointUpdate{Description: new("changed")})
		require.NoError(t, err)
		next := newKey("k2")
		anew := w.open(t, outbox.WithSealingKeys(next, testKey))
		_, err = anew.ReSeal(t.Context())
		require.NoError(t, err)
		anew = w.open(t, outbox.WithSealingKeys(next))
		e, secret, err = anew.App("shop").CreateEndpoint(t.Context(), c)
		require.NoError(t, err)
		require.Equal(t, stored[0].ID, e.ID)
		require.True(t, secret.IsZero())

		// The key ends with the endpoint.
		require.NoError(t, o.App("shop").DeleteEndpoint(t.Context(), e.ID))
		e, secret, err = anew.App("shop").CreateEndpoint(t.Context(), c)
		require.NoError(t, err)
		require.NotEqual(t, stored[0].ID, e.ID)
		require.False(t, secret.IsZero())

		c.IdempotencyKey = "two words"
		_, _, err = anew.App("shop").CreateEndpoint(t.Context(), c)
		require.ErrorIs(t, err, outbox.ErrInvalid)
	})
}

// Of several changes that were made for one version, the first counts.
func TestUpdateEndpoint_IfVersion(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		a := o.App("shop")
		e, _ := create(t, a, endpointAt("http://127.0.0.1:1/hook"))
		read, err := a.Endpoint(t.Context(), e.ID)
		require.NoError(t, err)
		require.Equal(t, e.Version, read.Version)
		var (
			mu      sync.Mutex
			changed int
			all     sync.WaitGroup
		)
		for range 8 {
			all.Go(func() {
				after, err := a.UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{Description: new("mine"), IfVersion: e.Version})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					changed++
					read = after
				} else if !errors.Is(err, outbox.ErrEndpointChanged) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		require.Equal(t, 1, changed)
		require.NotEqual(t, e.Version, read.Version)
		versions := map[int64]bool{read.Version: true}
		for _, change := range []func() error{
			func() error { return a.Disable(t.Context(), e.ID, "test") },
			func() error { return a.Enable(t.Context(), e.ID) },
			func() error { return last(a.RotateSecret(t.Context(), e.ID, "", 0)) },
			func() error { return last(a.UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{})) },
		} {
			require.NoError(t, change())
			now, err := a.Endpoint(t.Context(), e.ID)
			require.NoError(t, err)
			require.NotContains(t, versions, now.Version)
			versions[now.Version] = true
		}
	})
}
