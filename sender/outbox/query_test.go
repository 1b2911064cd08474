package outbox_test

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

func TestPagesNeitherRepeatNorHide(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		create(t, o.App("shop"), endpointAt("http://127.0.0.1:1/a"))
		var want []string
		for i := range 25 {
			want = append(want, publish(t, o.App("shop"), event(payload.DeployLive, "dep_"+strconv.Itoa(i))).Deliveries[0].ID)
		}
		var got []string
		page := outbox.Page{Limit: 10}
		for {
			list, err := o.App("shop").Deliveries(t.Context(), outbox.DeliveryFilter{}, page)
			require.NoError(t, err)
			for _, d := range list.Items {
				require.Nil(t, d.Body)
				got = append(got, d.ID)
			}
			publish(t, o.App("shop"), event(payload.DeployLive, "dep_new")) // in between
			if page.Cursor = list.Next; page.Cursor == "" {
				break
			}
		}
		require.Len(t, got, 25)
		for i, id := range got {
			require.Equal(t, want[24-i], id)
		}

		for _, p := range []outbox.Page{{Limit: -1}, {Limit: 501}} {
			_, err := o.Deliveries(t.Context(), outbox.DeliveryFilter{}, p)
			requireField(t, err, "Page.Limit")
		}
		for _, cursor := range []string{"x", "!", "d2hr"} {
			_, err := o.Deliveries(t.Context(), outbox.DeliveryFilter{}, outbox.Page{Cursor: cursor})
			requireField(t, err, "Page.Cursor")
		}
	})
}

func TestFiltersSelect(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t)
		good, bad := newHook(t, nil), newHook(t, always(410))
		a, _ := create(t, o.App("shop"), endpointAt(good.URL))
		b, _ := create(t, o.App("blog"), endpointAt(bad.URL))
		first := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1"), outbox.WithEventID("one"))
		nextMillisecond() // which is what IDs have of the time
		between := time.Now()
		nextMillisecond()
		second := publish(t, o.App("shop"), event(payload.DeployFailed, "dep_2"))
		third := publish(t, o.App("blog"), event(payload.DeployLive, "dep_3"))
		settled(t, o, first.Deliveries[0].ID, outbox.Delivered)
		settled(t, o, second.Deliveries[0].ID, outbox.Delivered)
		settled(t, o, third.Deliveries[0].ID, outbox.Failed)
		one, two, three := first.Deliveries[0].ID, second.Deliveries[0].ID, third.Deliveries[0].ID
		for name, c := range map[string]struct {
			list   func(context.Context, outbox.DeliveryFilter, outbox.Page) (outbox.Deliveries, error)
			filter outbox.DeliveryFilter
			want   []string
		}{
			"all":         {o.Deliveries, outbox.DeliveryFilter{}, []string{three, two, one}},
			"app":         {o.App("shop").Deliveries, outbox.DeliveryFilter{}, []string{two, one}},
			"endpoint":    {o.Deliveries, outbox.DeliveryFilter{Endpoint: b.ID}, []string{three}},
			"event":       {o.App("shop").Deliveries, outbox.DeliveryFilter{EventID: "one"}, []string{one}},
			"type":        {o.Deliveries, outbox.DeliveryFilter{Type: payload.DeployLive}, []string{three, one}},
			"deployment":  {o.Deliveries, outbox.DeliveryFilter{DeploymentID: "dep_2"}, []string{two}},
			"delivered":   {o.Deliveries, outbox.DeliveryFilter{States: []outbox.State{outbox.Delivered}}, []string{two, one}},
			"dead":        {o.App("blog").Deliveries, outbox.DeliveryFilter{States: []outbox.State{outbox.Failed, outbox.Canceled}}, []string{three}},
			"since":       {o.Deliveries, outbox.DeliveryFilter{Since: between}, []string{three, two}},
			"until":       {o.Deliveries, outbox.DeliveryFilter{Endpoint: a.ID, Until: between}, []string{one}},
			"no app":      {o.App("").Deliveries, outbox.DeliveryFilter{}, nil},
			"another app": {o.App("blog").Deliveries, outbox.DeliveryFilter{Endpoint: a.ID}, nil},
			"nothing":     {o.App("shop").Deliveries, outbox.DeliveryFilter{States: []outbox.State{outbox.Pending}}, nil},
		} {
			list, err := c.list(t.Context(), c.filter, outbox.Page{})
			require.NoError(t, err, name)
			var got []string
			for _, d := range list.Items {
				got = append(got, d.ID)
			}
			require.Equal(t, c.want, got, name)
		}
		for _, s := range []outbox.State{outbox.Delivering, "x'; DROP TABLE outbox_delivery --"} {
			_, err := o.Deliveries(t.Context(), outbox.DeliveryFilter{States: []outbox.State{s}}, outbox.Page{})
			requireField(t, err, "States")
		}
	})
}

func TestDelivery_Delivering(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t)
		release := make(chan struct{})
		h := newHook(t, func(int, received) int { <-release; return 200 })
		create(t, o.App("shop"), endpointAt(h.URL))
		p := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1"))
		settled(t, o, p.Deliveries[0].ID, outbox.Delivering)
		close(release)
		settled(t, o, p.Deliveries[0].ID, outbox.Delivered)
	})
}

func TestQuery_UnstorableTexts(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		ctx := t.Context()
		for _, bad := range []string{"\x00", "\xff", "a\x00b"} {
			_, err := o.App("shop").Delivery(ctx, bad)
			require.ErrorIs(t, err, outbox.ErrUnknownDelivery)
			require.ErrorIs(t, o.App("shop").Replay(ctx, bad), outbox.ErrUnknownDelivery)
			_, err = o.App("shop").Attempts(ctx, bad)
			require.ErrorIs(t, err, outbox.ErrUnknownDelivery)
			_, err = o.App("shop").ReplayStatus(ctx, bad)
			require.ErrorIs(t, err, outbox.ErrUnknownReplay)
			_, err = o.App("shop").ResumeReplay(ctx, bad)
			require.ErrorIs(t, err, outbox.ErrUnknownReplay)
			_, err = o.App(bad).Publish(ctx, event(payload.DeployLive, "d"))
			require.ErrorIs(t, err, outbox.ErrUnknownApp)
			_, err = o.App(bad).Endpoints(ctx)
			require.ErrorIs(t, err, outbox.ErrUnknownApp)
			_, err = o.App("shop").Endpoint(ctx, bad)
			require.ErrorIs(t, err, outbox.ErrUnknownEndpoint)
			_, _, err = o.App("shop").TestEndpoint(ctx, bad)
			require.ErrorIs(t, err, outbox.ErrUnknownEndpoint)
			_, err = o.App("shop").UpdateEndpoint(ctx, bad, outbox.EndpointUpdate{})
			require.ErrorIs(t, err, outbox.ErrUnknownEndpoint)
			_, err = o.App("shop").RotateSecret(ctx, bad, "", 0)
			require.ErrorIs(t, err, outbox.ErrUnknownEndpoint)
			require.ErrorIs(t, o.App("shop").Enable(ctx, bad), outbox.ErrUnknownEndpoint)
			require.ErrorIs(t, o.App("shop").Disable(ctx, bad, ""), outbox.ErrUnknownEndpoint)
			require.ErrorIs(t, o.App("shop").DeleteEndpoint(ctx, bad), outbox.ErrUnknownEndpoint)
			list, err := o.App(bad).Deliveries(ctx, outbox.DeliveryFilter{}, outbox.Page{})
			require.NoError(t, err)
			require.Empty(t, list.Items)
			replays, err := o.App(bad).Replays(ctx, outbox.Page{})
			require.NoError(t, err)
			require.Empty(t, replays.Items)
			_, err = o.App(bad).ReplayRange(ctx, outbox.DeliveryFilter{})
			require.ErrorIs(t, err, outbox.ErrUnknownApp)
			for _, f := range []outbox.DeliveryFilter{{Endpoint: bad}, {EventID: bad}, {Type: payload.Type(bad)}, {DeploymentID: bad}, {Replay: bad}} {
				list, err := o.Deliveries(ctx, f, outbox.Page{})
				require.NoError(t, err)
				require.Empty(t, list.Items)
				_, err = o.App("shop").ReplayRange(ctx, f)
				require.ErrorIs(t, err, outbox.ErrInvalid)
			}
			id := "whk_" + bad + strings.Repeat("0", 32-len(bad))
			_, err = o.Deliveries(ctx, outbox.DeliveryFilter{}, outbox.Page{Cursor: base64.RawURLEncoding.EncodeToString([]byte(id))})
			requireField(t, err, "Page.Cursor")
		}
	})
}
