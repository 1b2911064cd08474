package outbox_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// many returns metadata with n keys.
func many(n int) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprint("key", i)] = ""
	}
	return m
}

func TestEndpoint_Metadata(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		shop := w.open(t).App("shop")
		c := endpointAt("http://127.0.0.1:1/")
		c.Metadata = map[string]string{"plan": "pro", "größe": "", `"`: `\'`}
		want := map[string]string{"plan": "pro", "größe": "", `"`: `\'`}
		e, _ := create(t, shop, c)
		c.Metadata["plan"] = "changed by the caller"
		require.Equal(t, want, e.Metadata)
		shown := func() map[string]string {
			got, err := shop.Endpoint(t.Context(), e.ID)
			require.NoError(t, err)
			list, err := shop.Endpoints(t.Context())
			require.NoError(t, err)
			require.Equal(t, got.Metadata, list[0].Metadata)
			return got.Metadata
		}
		require.Equal(t, want, shown())

		_, err := shop.UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{Description: new("other")})
		require.NoError(t, err)
		require.Equal(t, want, shown())
		next := many(50)
		next[strings.Repeat("k", 40)] = strings.Repeat("v", 500)
		delete(next, "key0")
		got, err := shop.UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{Metadata: &next})
		require.NoError(t, err)
		require.Equal(t, next, got.Metadata)
		require.Equal(t, next, shown())

		for name, bad := range map[string]map[string]string{
			"51 keys":        many(51),
			"no key":         {"": "x"},
			"a long key":     {strings.Repeat("k", 41): "x"},
			"a long value":   {"k": strings.Repeat("v", 501)},
			"control":        {"k": "a\x7f"},
			"control in key": {"a\nb": "x"},
			"not UTF-8":      {"k": "\xff"},
			"a zero byte":    {"k": "\x00"},
		} {
			_, err := shop.UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{Metadata: &bad})
			requireField(t, err, "Metadata")
			c.Metadata, c.URL = bad, sender.NewURL("http://127.0.0.1:1/another")
			_, _, err = shop.CreateEndpoint(t.Context(), c)
			require.ErrorIs(t, err, outbox.ErrInvalid, name)
		}
		require.Equal(t, next, shown())

		_, err = shop.UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{Metadata: &map[string]string{}})
		require.NoError(t, err)
		require.Nil(t, shown())
	})
}

func TestEndpoint_CreatedDisabled(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o, h := w.start(t), newHook(t, nil)
		shop := o.App("shop")
		c := endpointAt(h.URL)
		c.Disabled = true
		before := time.Now().Add(-time.Millisecond)
		e, secret := create(t, shop, c)
		require.NotEmpty(t, secret.Reveal())
		require.Equal(t, outbox.EndpointDisabled, e.State)
		require.Equal(t, "it was created disabled", e.Reason)
		require.True(t, e.DisabledAt.After(before))
		got, err := shop.Endpoint(t.Context(), e.ID)
		require.NoError(t, err)
		require.Equal(t, e.Reason, got.Reason)
		require.WithinDuration(t, e.DisabledAt, got.DisabledAt, time.Microsecond)
		require.Empty(t, publish(t, shop, event(payload.DeployLive, "dep_1")).Deliveries)
		_, a, err := shop.TestEndpoint(t.Context(), e.ID)
		require.NoError(t, err)
		require.Equal(t, sender.Delivered, a.Outcome)

		require.NoError(t, shop.Enable(t.Context(), e.ID))
		id := publish(t, shop, event(payload.DeployLive, "dep_2")).Deliveries[0].ID
		settled(t, o, id, outbox.Delivered)
		require.Equal(t, 2, h.count())
		got, err = shop.Endpoint(t.Context(), e.ID)
		require.NoError(t, err)
		require.Equal(t, outbox.EndpointActive, got.State)
		require.Empty(t, got.Reason)
		require.Zero(t, got.DisabledAt)
	})
}

// An app can read the URLs of its own endpoints. Printing one shows only scheme
// and host.
func TestApp_EndpointURL(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		e, _ := create(t, o.App("shop"), endpointAt("http://127.0.0.1:1/"+canary))
		url, err := o.App("shop").EndpointURL(t.Context(), e.ID)
		require.NoError(t, err)
		require.Equal(t, "http://127.0.0.1:1/"+canary, url.Reveal())
		require.NotContains(t, fmt.Sprintf("%v %+v %#v", url, url, url), canary)
		_, err = o.App("blog").EndpointURL(t.Context(), e.ID)
		require.ErrorIs(t, err, outbox.ErrUnknownEndpoint)
		_, err = w.open(t, outbox.WithSealingKeys(newKey("k1"))).App("shop").EndpointURL(t.Context(), e.ID)
		require.ErrorIs(t, err, outbox.ErrUnseal)
	})
}
