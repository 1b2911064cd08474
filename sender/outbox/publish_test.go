package outbox_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

func TestPublishingIsIdempotentByEventID(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		create(t, o.App("shop"), endpointAt("http://127.0.0.1:1/a"))
		create(t, o.App("shop"), endpointAt("http://127.0.0.1:1/b"))
		create(t, o.App("other"), endpointAt("http://127.0.0.1:1/a"))
		e := event(payload.DeployLive, "dep_1")

		const callers = 20
		got := make([]outbox.Publication, callers)
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() {
				var err error
				got[i], err = o.App("shop").Publish(context.Background(), e, outbox.WithEventID("run-7"))
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		firsts := 0
		for _, p := range got {
			require.Equal(t, "run-7", p.EventID)
			require.Equal(t, got[0].Deliveries, p.Deliveries)
			require.Len(t, p.Deliveries, 2)
			if !p.Duplicate {
				firsts++
			}
		}
		require.Equal(t, 1, firsts)

		changed := event(payload.DeployLive, "dep_1")
		changed.Version = "v2"
		_, err := o.App("shop").Publish(t.Context(), changed, outbox.WithEventID("run-7"))
		require.ErrorIs(t, err, outbox.ErrConflict)
		p := publish(t, o.App("other"), changed, outbox.WithEventID("run-7")) // another app's IDs are others
		require.False(t, p.Duplicate)
		publish(t, o.App("other"), changed)
		again := publish(t, o.App("other"), changed, outbox.WithEventID("run-7"))
		require.True(t, again.Duplicate)
		require.Equal(t, p.Deliveries, again.Deliveries)
		again = publish(t, o.App("shop"), e, outbox.WithEventID("run-7"))
		require.True(t, again.Duplicate)
		require.Equal(t, got[0].Deliveries, again.Deliveries)
		received := *e // from elsewhere, under the ID that it has there
		received.DeliveryID = payload.NewDeliveryID()
		require.True(t, publish(t, o.App("shop"), &received, outbox.WithEventID("run-7")).Duplicate, "another event for its delivery ID")

		named := event(payload.DeployLive, "dep_1")
		require.NoError(t, named.Extra.Set("event_id", "run-7"))
		p = publish(t, o.App("shop"), named)
		require.True(t, p.Duplicate, "the event's own event_id counts")
		_, err = o.App("shop").Publish(t.Context(), named, outbox.WithEventID("run-8"))
		requireField(t, err, "event_id")
		require.Empty(t, e.DeliveryID, "the caller's event was changed")
		require.True(t, e.Extra.IsZero(), "the caller's event was changed")
	})
}

func requireField(t testing.TB, err error, field string) {
	t.Helper()
	var fault *outbox.FieldError
	require.ErrorAs(t, err, &fault)
	require.Equal(t, field, fault.Field)
	require.ErrorIs(t, err, outbox.ErrInvalid)
}

func TestPublishRefusesWhatCantBeStored(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		e := event(payload.DeployLive, "dep_1")
		_, err := o.App("shop").Publish(t.Context(), e)
		require.ErrorIs(t, err, outbox.ErrUnknownApp)
		require.NoError(t, o.RegisterApp(t.Context(), "shop"))
		require.Empty(t, publish(t, o.App("shop"), e).Deliveries)
		create(t, o.App("shop"), endpointAt("http://127.0.0.1:1/a"))

		_, err = o.App("shop").Publish(t.Context(), nil)
		requireField(t, err, "event")
		_, err = o.App("shop").Publish(t.Context(), e, outbox.WithEventID(""))
		requireField(t, err, "event_id")
		for _, id := range []string{"a b", "\x7f", "ü", "a\x00b", strings.Repeat("x", 256)} {
			_, err = o.App("shop").Publish(t.Context(), e, outbox.WithEventID(id))
			requireField(t, err, "event_id")
		}
		publish(t, o.App("shop"), e, outbox.WithEventID(strings.Repeat("x", 255)))
		numbered := event(payload.DeployLive, "dep_1")
		require.NoError(t, numbered.Extra.Set("event_id", 7))
		_, err = o.App("shop").Publish(t.Context(), numbered)
		requireField(t, err, "event_id")
		_, err = o.App("shop").Publish(t.Context(), e, nil)
		requireField(t, err, "PublishOption")
		_, err = o.App("shop").Publish(t.Context(), &payload.Event{Type: payload.DeployLive})
		require.ErrorIs(t, err, payload.ErrInvalid)

		large := event(payload.DeployFailed, "dep_2")
		large.Error = strings.Repeat("x", 2000)
		large.Commit = &payload.Commit{SHA: "abcdef1", Message: strings.Repeat("m", 2<<20)}
		_, err = o.App("shop").Publish(t.Context(), large, outbox.WithEventID("large"))
		requireField(t, err, "commit.message")
		require.ErrorIs(t, err, outbox.ErrBodyTooLarge)
		large.Commit.Message = "short"
		require.Len(t, publish(t, o.App("shop"), large, outbox.WithEventID("large")).Deliveries, 1, "the refused one left its ID behind")
	})
}

// shout is a format of the application's own.
type shout struct{ skip, fail payload.Type }

var errShout = errors.New("lost its voice")

func (s shout) Encode(_ context.Context, e *payload.Event) (string, []byte, error) {
	switch e.Type {
	case s.skip:
		return "", nil, sender.ErrNoMessage
	case s.fail:
		return "", nil, errShout
	}
	return "text/plain", []byte(strings.ToUpper(string(e.Type))), nil
}

func TestFormatsMakeTheBody(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithFormat("shout", shout{skip: payload.DeployStarted, fail: payload.BuildCompleted}))
		h := newHook(t, nil)
		c := endpointAt(h.URL)
		c.BodyFormat, c.Scheme = "shout", outbox.InsecureUnsigned
		e, secret := create(t, o.App("shop"), c)
		require.True(t, secret.IsZero())
		p := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1"))
		d := settled(t, o, p.Deliveries[0].ID, outbox.Delivered)
		require.Equal(t, "DEPLOY.LIVE", string(d.Body))
		require.Equal(t, "text/plain", h.requests()[0].header.Get("Content-Type"))
		require.Equal(t, "DEPLOY.LIVE", string(h.requests()[0].body))

		require.Empty(t, publish(t, o.App("shop"), event(payload.DeployStarted, "dep_1")).Deliveries)
		failed := publish(t, o.App("shop"), event(payload.BuildCompleted, "dep_1"))
		d, err := o.App("shop").Delivery(t.Context(), failed.Deliveries[0].ID)
		require.NoError(t, err)
		require.Equal(t, outbox.Failed, d.State)
		require.Contains(t, d.LastError, "lost its voice")
		require.Zero(t, d.Attempts)
		requireField(t, o.App("shop").Replay(t.Context(), d.ID), "body")

		// A process that does not know the format cannot publish to the endpoint. The
		// error comes before anything is stored.
		other := w.open(t)
		_, err = other.App("shop").Publish(t.Context(), event(payload.DeployLive, "dep_2"))
		requireField(t, err, "BodyFormat")
		require.NoError(t, other.App("shop").Disable(t.Context(), e.ID, "test"))
	})
}

type bomb struct{}

func (bomb) Encode(context.Context, *payload.Event) (string, []byte, error) { panic("boom") }

func TestAPanickingFormatFailsItsEndpointOnly(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t, outbox.WithFormat("bomb", bomb{}))
		h := newHook(t, nil)
		good, _ := create(t, o.App("shop"), endpointAt(h.URL))
		c := endpointAt(h.URL + "/b")
		c.BodyFormat = "bomb"
		bad, _ := create(t, o.App("shop"), c)
		tx := w.begin(t)
		p, err := tx.publish(t.Context(), o.App("shop"), event(payload.DeployLive, "d"), outbox.WithEventID("e1"))
		require.NoError(t, err)
		tx.commit(t)
		states := map[string]outbox.State{}
		for _, ref := range p.Deliveries {
			d, err := o.App("shop").Delivery(t.Context(), ref.ID)
			require.NoError(t, err)
			states[ref.Endpoint] = d.State
		}
		require.Equal(t, map[string]outbox.State{good.ID: outbox.Pending, bad.ID: outbox.Failed}, states)
	})
}
