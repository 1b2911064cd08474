package outbox_test

import (
	"strconv"
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
		create(t, o, endpointAt("shop", "http://127.0.0.1:1/a"))
		var want []string
		for i := range 25 {
			want = append(want, publish(t, o, "shop", event(payload.DeployLive, "dep_"+strconv.Itoa(i))).Deliveries[0].ID)
		}
		var got []string
		page := outbox.Page{Limit: 10}
		for {
			list, err := o.Deliveries(t.Context(), outbox.DeliveryFilter{App: "shop"}, page)
			require.NoError(t, err)
			for _, d := range list.Items {
				require.Nil(t, d.Body)
				got = append(got, d.ID)
			}
			publish(t, o, "shop", event(payload.DeployLive, "dep_new")) // in between
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
		a, _ := create(t, o, endpointAt("shop", good.URL))
		b, _ := create(t, o, endpointAt("blog", bad.URL))
		first := publish(t, o, "shop", event(payload.DeployLive, "dep_1"), outbox.WithEventID("one"))
		nextMillisecond() // which is what IDs have of the time
		between := time.Now()
		nextMillisecond()
		second := publish(t, o, "shop", event(payload.DeployFailed, "dep_2"))
		third := publish(t, o, "blog", event(payload.DeployLive, "dep_3"))
		settled(t, o, first.Deliveries[0].ID, outbox.Delivered)
		settled(t, o, second.Deliveries[0].ID, outbox.Delivered)
		settled(t, o, third.Deliveries[0].ID, outbox.Failed)
		one, two, three := first.Deliveries[0].ID, second.Deliveries[0].ID, third.Deliveries[0].ID
		for name, c := range map[string]struct {
			filter outbox.DeliveryFilter
			want   []string
		}{
			"all":        {outbox.DeliveryFilter{}, []string{three, two, one}},
			"app":        {outbox.DeliveryFilter{App: "shop"}, []string{two, one}},
			"endpoint":   {outbox.DeliveryFilter{Endpoint: b.ID}, []string{three}},
			"event":      {outbox.DeliveryFilter{App: "shop", EventID: "one"}, []string{one}},
			"type":       {outbox.DeliveryFilter{Type: payload.DeployLive}, []string{three, one}},
			"deployment": {outbox.DeliveryFilter{DeploymentID: "dep_2"}, []string{two}},
			"delivered":  {outbox.DeliveryFilter{States: []outbox.State{outbox.Delivered}}, []string{two, one}},
			"dead":       {outbox.DeliveryFilter{App: "blog", States: []outbox.State{outbox.Failed, outbox.Canceled}}, []string{three}},
			"since":      {outbox.DeliveryFilter{Since: between}, []string{three, two}},
			"until":      {outbox.DeliveryFilter{Endpoint: a.ID, Until: between}, []string{one}},
			"nothing":    {outbox.DeliveryFilter{App: "shop", States: []outbox.State{outbox.Pending}}, nil},
		} {
			list, err := o.Deliveries(t.Context(), c.filter, outbox.Page{})
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

func TestADeliveryInHandIsShownAsSuch(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t)
		release := make(chan struct{})
		h := newHook(t, func(int, received) int { <-release; return 200 })
		create(t, o, endpointAt("shop", h.URL))
		p := publish(t, o, "shop", event(payload.DeployLive, "dep_1"))
		settled(t, o, p.Deliveries[0].ID, outbox.Delivering)
		close(release)
		settled(t, o, p.Deliveries[0].ID, outbox.Delivered)
	})
}
