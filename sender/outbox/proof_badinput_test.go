package outbox_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// badInput is a call that must fail. Without a field it fails with a sentinel
// error, and otherwise with a FieldError that names the field.
type badInput struct {
	name  string
	field string
	is    error
	call  func(t *testing.T, o *outbox.Outbox, id string) error
}

// with calls CreateEndpoint with a valid endpoint in which one thing is made
// invalid.
func with(spoil func(*outbox.EndpointConfig)) func(*testing.T, *outbox.Outbox, string) error {
	return within("shop", spoil)
}

// within is with for a certain app.
func within(app string, spoil func(*outbox.EndpointConfig)) func(*testing.T, *outbox.Outbox, string) error {
	return func(t *testing.T, o *outbox.Outbox, _ string) error {
		c := endpointAt("http://127.0.0.1:1/another")
		spoil(&c)
		_, _, err := o.App(app).CreateEndpoint(t.Context(), c)
		return err
	}
}

// changed is an UpdateEndpoint.
func changed(u outbox.EndpointUpdate) func(*testing.T, *outbox.Outbox, string) error {
	return func(t *testing.T, o *outbox.Outbox, id string) error {
		_, err := o.App("shop").UpdateEndpoint(t.Context(), id, u)
		return err
	}
}

// publishing is a Publish.
func publishing(app string, e *payload.Event, opts ...outbox.PublishOption) func(*testing.T, *outbox.Outbox, string) error {
	return func(t *testing.T, o *outbox.Outbox, _ string) error {
		_, err := o.App(app).Publish(t.Context(), e, opts...)
		return err
	}
}

func badEndpoints() []badInput {
	return []badInput{
		{"no app", "App", outbox.ErrInvalid, within("", func(*outbox.EndpointConfig) {})},
		{"a long app", "App", outbox.ErrInvalid, within(strings.Repeat("a", 256), func(*outbox.EndpointConfig) {})},
		{"no URL", "URL", outbox.ErrInvalid, with(func(c *outbox.EndpointConfig) { c.URL = sender.NewURL("") })},
		{"a relative URL", "URL", outbox.ErrInvalid, with(func(c *outbox.EndpointConfig) { c.URL = sender.NewURL("/hook") })},
		{"a private URL", "URL", outbox.ErrInvalid, with(func(c *outbox.EndpointConfig) { c.URL = sender.NewURL("https://10.0.0.1/hook") })},
		{"the metadata service", "URL", outbox.ErrInvalid, with(func(c *outbox.EndpointConfig) { c.URL = sender.NewURL("http://169.254.169.254/latest/meta-data") })},
		{"a numeric loopback", "URL", outbox.ErrInvalid, with(func(c *outbox.EndpointConfig) { c.URL = sender.NewURL("http://2130706433/hook") })},
		{"plain http to the public", "URL", outbox.ErrInvalid, with(func(c *outbox.EndpointConfig) { c.URL = sender.NewURL("http://93.184.215.14/hook") })},
		{"another URL scheme", "URL", outbox.ErrInvalid, with(func(c *outbox.EndpointConfig) { c.URL = sender.NewURL("ftp://127.0.0.1/hook") })},
		{"a URL twice", "", outbox.ErrDuplicateEndpoint, with(func(c *outbox.EndpointConfig) { c.URL = sender.NewURL("http://127.0.0.1:1/hook") })},
		{"a long description", "Description", outbox.ErrInvalid, with(func(c *outbox.EndpointConfig) { c.Description = strings.Repeat("d", 1025) })},
		{"an unknown format", "BodyFormat", outbox.ErrInvalid, with(func(c *outbox.EndpointConfig) { c.BodyFormat = "telegram" })},
		{"an unknown scheme", "Scheme", outbox.ErrInvalid, with(func(c *outbox.EndpointConfig) { c.Scheme = "md5" })},
		{"a short secret", "Secret", outbox.ErrInvalid, with(func(c *outbox.EndpointConfig) { c.Secret = outbox.NewSecret("whsec_c2hvcnQ=") })},
		{"a bearer without a key", "Secret", outbox.ErrInvalid, with(func(c *outbox.EndpointConfig) { c.Scheme = outbox.SchemeBearer })},
		{"a filter with a typo", "Events", outbox.ErrInvalid, with(func(c *outbox.EndpointConfig) { c.Events = []string{"deploy.live", "deploy.fialed"} })},
		{"a reserved header", "Header", outbox.ErrInvalid, with(func(c *outbox.EndpointConfig) { c.Header = sender.NewHeader(http.Header{"Content-Length": {"0"}}) })},
		{"a header with a line break", "Header", outbox.ErrInvalid, with(func(c *outbox.EndpointConfig) { c.Header = sender.NewHeader(http.Header{"X-A": {"a\r\nX-B: b"}}) })},
		{"a negative timeout", "Timeout", outbox.ErrInvalid, with(func(c *outbox.EndpointConfig) { c.Timeout = -time.Second })},
		{"a timeout beyond the bound", "Timeout", outbox.ErrInvalid, with(func(c *outbox.EndpointConfig) { c.Timeout = time.Hour })},
		{"an unknown schedule", "Schedule", outbox.ErrInvalid, with(func(c *outbox.EndpointConfig) { c.Schedule = "hourly" })},
		{"a negative concurrency", "MaxConcurrency", outbox.ErrInvalid, with(func(c *outbox.EndpointConfig) { c.MaxConcurrency = -1 })},
		{"a negative rate", "RateLimit", outbox.ErrInvalid, with(func(c *outbox.EndpointConfig) { c.RateLimit = -1 })},
		{"metadata with a new line", "Metadata", outbox.ErrInvalid, with(func(c *outbox.EndpointConfig) { c.Metadata = map[string]string{"plan": "a\nb"} })},
		{"one endpoint too many", "", outbox.ErrTooManyEndpoints, within("full", func(*outbox.EndpointConfig) {})},
		{"a change to a private URL", "URL", outbox.ErrInvalid, changed(outbox.EndpointUpdate{URL: new(sender.NewURL("https://192.168.1.1/"))})},
		{"a change to a typo", "Events", outbox.ErrInvalid, changed(outbox.EndpointUpdate{Events: new([]string{"deploy.livee"})})},
		{"a change to a negative timeout", "Timeout", outbox.ErrInvalid, changed(outbox.EndpointUpdate{Timeout: new(-time.Second)})},
		{"a change to an unknown format", "BodyFormat", outbox.ErrInvalid, changed(outbox.EndpointUpdate{BodyFormat: new("telegram")})},
	}
}

func badEvents() []badInput {
	good := event(payload.DeployLive, "dep_1")
	large := event(payload.DeployLive, "dep_1")
	large.Commit = &payload.Commit{SHA: "abcdef1", Message: strings.Repeat("m", 1<<20)}
	largeError := event(payload.DeployFailed, "dep_1")
	largeError.Error = strings.Repeat("e", 1<<20)
	twoIDs := event(payload.DeployLive, "dep_1")
	_ = twoIDs.Extra.Set("event_id", "evt_own")
	numeric := event(payload.DeployLive, "dep_1")
	_ = numeric.Extra.Set("event_id", 5)
	return []badInput{
		{"an unknown app", "", outbox.ErrUnknownApp, publishing("shpo", good)},
		{"no event", "event", outbox.ErrInvalid, publishing("shop", nil)},
		{"a body too large", "commit.message", outbox.ErrBodyTooLarge, publishing("shop", large)},
		{"another body too large", "error", outbox.ErrBodyTooLarge, publishing("shop", largeError)},
		{"an empty event ID", "event_id", outbox.ErrInvalid, publishing("shop", good, outbox.WithEventID(""))},
		{"a long event ID", "event_id", outbox.ErrInvalid, publishing("shop", good, outbox.WithEventID(strings.Repeat("e", 256)))},
		{"an event ID with a space", "event_id", outbox.ErrInvalid, publishing("shop", good, outbox.WithEventID("e 1"))},
		{"two event IDs", "event_id", outbox.ErrInvalid, publishing("shop", twoIDs, outbox.WithEventID("evt_other"))},
		{"an event ID that is a number", "event_id", outbox.ErrInvalid, publishing("shop", numeric)},
		{"another event under an ID", "", outbox.ErrConflict, publishing("shop", event(payload.DeployLive, "dep_2"), outbox.WithEventID("evt_taken"))},
	}
}

func badQueries() []badInput {
	query := func(f outbox.DeliveryFilter, p outbox.Page) func(*testing.T, *outbox.Outbox, string) error {
		return func(t *testing.T, o *outbox.Outbox, _ string) error {
			_, err := o.Deliveries(t.Context(), f, p)
			return err
		}
	}
	return []badInput{
		{"an unknown endpoint", "", outbox.ErrUnknownEndpoint, func(t *testing.T, o *outbox.Outbox, _ string) error {
			return o.App("shop").Disable(t.Context(), "ep_nobody", "")
		}},
		{"an unknown delivery", "", outbox.ErrUnknownDelivery, func(t *testing.T, o *outbox.Outbox, _ string) error {
			return o.App("shop").Replay(t.Context(), "whk_nothing")
		}},
		{"an unknown replay", "", outbox.ErrUnknownReplay, func(t *testing.T, o *outbox.Outbox, _ string) error {
			_, err := o.App("shop").ResumeReplay(t.Context(), "rep_nothing")
			return err
		}},
		{"a replay of an unknown app", "", outbox.ErrUnknownApp, func(t *testing.T, o *outbox.Outbox, _ string) error {
			_, err := o.App("nobody").ReplayRange(t.Context(), outbox.DeliveryFilter{})
			return err
		}},
		{"a replay without a rate", "", outbox.ErrInvalid, func(t *testing.T, o *outbox.Outbox, id string) error {
			_, err := o.App("shop").ReplayRange(t.Context(), outbox.DeliveryFilter{Endpoint: id}, outbox.WithReplayRate(0))
			return err
		}},
		{"a rotation to a short secret", "Secret", outbox.ErrInvalid, func(t *testing.T, o *outbox.Outbox, id string) error {
			_, err := o.App("shop").RotateSecret(t.Context(), id, "whsec_c2hvcnQ=", 0)
			return err
		}},
		{"a rotation with a negative grace", "", outbox.ErrInvalid, func(t *testing.T, o *outbox.Outbox, id string) error {
			_, err := o.App("shop").RotateSecret(t.Context(), id, "", -time.Second)
			return err
		}},
		{"a large page", "", outbox.ErrInvalid, query(outbox.DeliveryFilter{}, outbox.Page{Limit: outbox.MaxPageLimit + 1})},
		{"a cursor that is none", "", outbox.ErrInvalid, query(outbox.DeliveryFilter{}, outbox.Page{Cursor: "'; DROP TABLE outbox_app"})},
		{"an unknown state", "", outbox.ErrInvalid, query(outbox.DeliveryFilter{States: []outbox.State{"lost"}}, outbox.Page{})},
		{"a state that only the queue knows", "", outbox.ErrInvalid, query(outbox.DeliveryFilter{States: []outbox.State{outbox.Delivering}}, outbox.Page{})},
	}
}

// TestProofBadInput checks that the error for an invalid value has a type that
// names the field, and that every table is unchanged.
func TestProofBadInput(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		e, _ := create(t, o.App("shop"), endpointAt("http://127.0.0.1:1/hook"))
		for i := range outbox.DefaultMaxEndpoints {
			create(t, o.App("full"), endpointAt("http://127.0.0.1:1/"+string(rune('a'+i))))
		}
		publish(t, o.App("shop"), event(payload.DeployLive, "dep_1"), outbox.WithEventID("evt_taken"))
		before, version := w.rowCounts(t), w.queryInt(t, "SELECT sum(version) FROM "+w.table("outbox_endpoint"))
		for _, group := range [][]badInput{badEndpoints(), badEvents(), badQueries()} {
			for _, bad := range group {
				err := bad.call(t, o, e.ID)
				require.ErrorIs(t, err, bad.is, bad.name)
				if bad.field != "" {
					var field *outbox.FieldError
					require.ErrorAs(t, err, &field, bad.name)
					require.Equal(t, bad.field, field.Field, bad.name)
					require.NotEmpty(t, field.Reason, bad.name)
				}
				require.Equal(t, before, w.rowCounts(t), bad.name)
			}
		}
		require.Equal(t, version, w.queryInt(t, "SELECT sum(version) FROM "+w.table("outbox_endpoint")))
		testWrongKey(t, w, e.ID, before)
	})
}

// testWrongKey opens the outbox with another key. Sealed values cannot be
// decrypted, and deliveries wait for the right key.
func testWrongKey(t *testing.T, w *world, id string, before map[string]int64) {
	for _, name := range []string{"k1", "other"} { // another key under the same name, and under another
		wrong, err := w.tryOpen(outbox.WithSealingKeys(newKey(name)))
		require.NoError(t, err)
		_, _, err = wrong.App("shop").TestEndpoint(t.Context(), id)
		require.ErrorIs(t, err, outbox.ErrUnseal, name)
		if name != testKey.ID() { // what has the current key's ID is taken to be sealed with it
			_, err = wrong.ReSeal(t.Context())
			require.ErrorIs(t, err, outbox.ErrUnseal, name)
		}
		_, err = wrong.App("shop").RotateSecret(t.Context(), id, "", time.Hour)
		require.ErrorIs(t, err, outbox.ErrUnseal, name)
		require.Equal(t, before, w.rowCounts(t), name)
		require.NoError(t, wrong.Close())
	}
}
