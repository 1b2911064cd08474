package console_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/deployhook/deployhook/internal/webui/webuitest"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// A customer adds an endpoint, finds out why a delivery failed, corrects the
// endpoint, and sends the delivery again.
func TestCustomer(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		require.NoError(t, w.Start(t.Context()))
		broken, fixed := newTarget(t, http.StatusNotFound), newTarget(t, http.StatusOK)
		carl := w.as("shop")

		home := carl.Open("/")
		home.Says("No endpoints yet.", "Times are in UTC")
		made := home.Follow("Add the first one").Submit("Add the endpoint", "url", broken.URL+"/hook", "description", "Payments chat", "type", "deploy.live")
		made.Says("It is never shown again.", "whsec_")
		require.Equal(t, http.StatusCreated, made.Status)
		made.Follow("Go to the endpoint").Says("Payments chat", broken.URL+"/hook", "deploy.live", "No deliveries yet.")

		id := w.publish("shop", "dep_1")
		w.ended("shop", id, outbox.Failed)
		list := carl.Open("/").Follow("Deliveries")
		list.Says("Failed", "404 Not Found", "dep_1", "Payments chat")
		failed := list.Follow("deploy.live")
		failed.Says("The endpoint refused the request with 404 Not Found.", "Check the path of the endpoint's URL.", "client_error", `"deployment_id":"dep_1"`)

		failed.Follow("Edit the endpoint").Submit("Save", "url", fixed.URL).Says("The endpoint was changed.", fixed.URL)
		failed.Submit("Send again").Says("The delivery is sent again now.")
		w.ended("shop", id, outbox.Delivered)
		carl.Open("/apps/shop/deliveries/"+id).Says("Delivered. The endpoint answered 200", "Attempt 2", "Sent again 1 time")
		carl.Open("/apps/shop/deliveries/"+id+"?attempt=1").Says("Attempt 1", "404 Not Found")
		failed.Follow("dep_1").Says("Deployment dep_1", "deploy.live", "Delivered")
	})
}

// A mistake is explained next to its field, and costs nothing that was typed.
func TestForm_ExplainsMistakes(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	carl := w.as("shop")
	form := carl.Open("/apps/shop/endpoints/new")
	for _, test := range []struct{ field, value, says string }{
		{"url", "http://8.8.8.8/", "The URL must begin with https://."},
		{"url", "https://10.0.0.1/", "The host name does not resolve to an address that deliveries may go to."},
		{"url", "https://nowhere.invalid/", "The host name does not resolve to an address that deliveries may go to."},
		{"patterns", "a..b", "Each event must be"},
		{"timeout", "soon", "Enter a number"},
		{"rate", "200000", "The rate must be"},
		{"header", "no colon", "Write each header on a separate line"},
		{"header", "Host: x", "A header is reserved"},
		{"format", "yaml", "There is no such body format."},
		{"secret", "short", "The secret does not fit"},
	} {
		to := "https://10.0.0.2/"
		if test.field != "url" {
			to = newTarget(t, 200).URL
		}
		answer := form.Submit("Add the endpoint", "url", to, "description", "Kept text", test.field, test.value)
		answer.Refused(http.StatusUnprocessableEntity, test.says, "The endpoint was not saved.")
		require.Contains(t, answer.Source, "Kept text")
	}
	_, err := w.App("shop").Endpoints(t.Context())
	require.ErrorIs(t, err, outbox.ErrUnknownApp)

	url := newTarget(t, 200).URL
	made := form.Submit("Add the endpoint", "url", url, "header", "X-Team: payments").Says("whsec_")
	form.Submit("Add the endpoint", "url", url, "header", "X-Team: payments").Says("The endpoint exists already")
	carl.Open("/apps/shop/endpoints/new").Submit("Add the endpoint", "url", url).Refused(http.StatusUnprocessableEntity, "There is an endpoint with this URL already.")
	made.Follow("Go to the endpoint").Says("X-Team", "values hidden")
}

// A secret is shown once. A form that is repeated rotates nothing.
func TestRotate(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	e, first := w.endpointAt("shop", newTarget(t, 200).URL)
	carl := w.as("shop")
	form := carl.Open("/apps/shop/endpoints/" + e.ID).Follow("Rotate the secret")
	rotated := form.Submit("Rotate", "grace", "3600")
	rotated.Says("whsec_", "The old one stays in use for 1 h.")
	require.NotContains(t, rotated.Source, first.Reveal())
	form.Submit("Rotate").Refused(http.StatusConflict, "Changed meanwhile")
	form = carl.Open("/apps/shop/endpoints/" + e.ID + "/rotate")
	form.Submit("Rotate", "secret", "nonsense").Refused(http.StatusUnprocessableEntity, "The secret does not fit the scheme")
	form.Submit("Rotate", "grace", "").Refused(http.StatusUnprocessableEntity)
	now := form.Submit("Rotate", "grace", "0").Says("The old one is no longer used.")
	now.Follow("Go to the endpoint")
	for _, page := range []string{"", "/edit", "/rotate", "/test"} {
		require.NotContains(t, carl.Open("/apps/shop/endpoints/"+e.ID+page).Source, "whsec_")
	}
}

// Two people edit one endpoint.
func TestEdit_NoticesChanges(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	e, _ := w.endpointAt("shop", newTarget(t, 200).URL)
	form := w.as("shop").Open("/apps/shop/endpoints/" + e.ID + "/edit")
	form.Submit("Save", "description", "mine", "header", "X-A: 1").Says("mine", "X-A")
	form.Submit("Save", "description", "yours").Refused(http.StatusConflict, "Changed meanwhile")
	again := w.as("shop").Open("/apps/shop/endpoints/" + e.ID + "/edit")
	require.NotContains(t, again.Source, "X-A: 1")
	again.Submit("Save").Says("X-A")
	w.as("shop").Open("/apps/shop/endpoints/"+e.ID+"/edit").Submit("Save", "no_header", "yes")
	require.NotContains(t, w.as("shop").Open("/apps/shop/endpoints/"+e.ID).Text(), "X-A")
}

// What a disabled endpoint missed is counted, and sent when it is enabled.
func TestDisable_Enable(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	require.NoError(t, w.Start(t.Context()))
	g := newTarget(t, 200)
	e, _ := w.endpointAt("shop", g.URL)
	carl := w.as("shop")
	at := carl.Open("/apps/shop/endpoints/" + e.ID)
	at.Follow("Disable").Submit("Disable", "reason", "moving house").Says("The endpoint is disabled.", "moving house", "It missed 0 events")
	w.publish("shop", "dep_missed")
	page := carl.Open("/apps/shop/endpoints/" + e.ID).Says("It missed 1 event.")
	page.Follow("Send what was missed").Says("Never sent 1", "The endpoint is disabled. Enable it first.")
	page.Submit("Enable").Says("The endpoint gets deliveries again.")
	require.Eventually(t, func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.requests) == 1
	}, patience, 5*time.Millisecond)
	carl.Open("/apps/shop/replays").Says("missed")
	carl.Open("/apps/shop/endpoints/"+e.ID).Follow("Delete").Submit("Delete").Says("The endpoint was deleted.", "No endpoints yet.")
}

// What was missed is counted before it is sent.
func TestSendMissed(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	require.NoError(t, w.Start(t.Context()))
	require.NoError(t, w.RegisterApp(t.Context(), "shop"))
	w.publish("shop", "dep_before")
	g := newTarget(t, 200)
	e, _ := w.endpointAt("shop", g.URL)
	ask := w.as("shop").Open("/apps/shop/endpoints/"+e.ID+"/missed").Says("Never sent 1", "Failed 0")
	replay := ask.Submit("Send 1 event")
	replay.Says("The replay has begun.", "What the endpoint missed")
	require.Eventually(t, func() bool {
		return strings.Contains(w.as("shop").Get(replay.At.String()).Text(), "Ended")
	}, patience, 20*time.Millisecond)
	w.as("shop").Open("/apps/shop/endpoints/" + e.ID + "/missed?range=30d").Says("Nothing was missed")
}

// An endpoint's page says why it fails. What failed is counted next to what was
// never sent, and sent again from there.
func TestMissed_AlsoFailed(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		require.NoError(t, w.Start(t.Context()))
		g := newTarget(t, http.StatusNotFound)
		e, _ := w.endpointAt("shop", g.URL)
		id := w.publish("shop", "dep_1")
		w.ended("shop", id, outbox.Failed)
		at := w.as("shop").Open("/apps/shop/endpoints/" + e.ID)
		at.Says("The endpoint refused the request with 404 Not Found.", "Check the path of the endpoint's URL.")
		at.Follow("See the latest failure").Says(id)
		g.set(200, "")
		ask := at.Follow("Send what was missed").Says("Never sent 0", "Failed 1")
		ask.Submit("Send 1 again").Says("The replay has begun.")
		w.ended("shop", id, outbox.Delivered)
	})
}

// Failed deliveries are counted, and sent again together.
func TestResend(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	require.NoError(t, w.Start(t.Context()))
	g := newTarget(t, http.StatusInternalServerError)
	w.endpointAt("shop", g.URL)
	for _, id := range []string{w.publish("shop", "dep_1"), w.publish("shop", "dep_2")} {
		w.ended("shop", id, outbox.Failed)
	}
	g.set(200, "")
	failed := w.as("shop").Open("/apps/shop/deliveries").Submit("Filter", "state", "failed")
	replay := failed.Follow("Send these again").Submit("Send 2 again")
	replay.Says("Deliveries that had ended")
	require.Eventually(t, func() bool {
		return strings.Contains(w.as("shop").Get(replay.At.String()).Text(), "Ended")
	}, patience, 20*time.Millisecond)
	failed = w.as("shop").Open("/apps/shop/deliveries?state=failed&range=24h").Says("No delivery matches the filter.")
	failed.Lacks("Send these again")
	w.as("shop").Open("/apps/shop/resend?state=failed").Says("There is nothing to send again.")
	w.as("shop").Open("/apps/shop/replays").Says("Ended", "Sent again")
}

// A replay that has not ended can be canceled.
func TestReplay_Cancel(t *testing.T) {
	t.Parallel()
	w := onSQLite(t) // nothing delivers
	require.NoError(t, w.RegisterApp(t.Context(), "shop"))
	w.publish("shop", "dep_1")
	e, _ := w.endpointAt("shop", newTarget(t, 200).URL)
	replay := w.as("shop").Open("/apps/shop/endpoints/" + e.ID + "/missed").Submit("Send 1 event")
	replay.Says("Scheduling").Submit("Cancel the replay").Says("The replay was canceled.", "Canceled").Lacks("Cancel the replay")
}

// The filters of the list.
func TestDeliveries_Filters(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		require.NoError(t, w.Start(t.Context()))
		g := newTarget(t, http.StatusBadGateway)
		e, _ := w.endpointAt("shop", g.URL)
		w.ended("shop", w.publish("shop", "dep_bad"), outbox.Failed)
		g.set(200, "")
		w.ended("shop", w.publish("shop", "dep_good"), outbox.Delivered)
		for query, want := range map[string]string{
			"": "dep_good dep_bad", "state=failed": "dep_bad", "state=delivered": "dep_good", "class=5xx": "dep_bad", "class=2xx": "dep_good", "class=4xx": "",
			"class=none": "", "deployment=dep_bad": "dep_bad", "endpoint=" + e.ID: "dep_good dep_bad", "endpoint=ep_x": "", "type=deploy.live": "dep_good dep_bad",
			"type=deploy.failed": "", "range=1h": "dep_good dep_bad", "until=2026-01-01T00:00": "", "since=2026-01-01T00:00": "dep_good dep_bad",
			"state=failed&class=5xx&range=24h": "dep_bad",
		} {
			page := w.as("shop").Open("/apps/shop/deliveries?" + query)
			page.Says()
			for _, id := range []string{"dep_good", "dep_bad"} {
				require.Equal(t, strings.Contains(want, id), strings.Contains(tableOf(page), id), "%s: %s", query, page.Text())
			}
			if want == "" {
				page.Says("No delivery matches the filter.").Follow("Clear the filter").Says("dep_good")
			}
		}
		w.as("shop").Open("/apps/shop/deliveries?since=yesterday").Refused(422, "Write it as in")
		w.as("shop").Open("/apps/shop/deliveries?state=weird").Refused(422)
		w.as("shop").Open("/apps/shop/deliveries?class=weird").Refused(422)
		w.as("shop").Open("/apps/shop/deliveries?cursor=weird").Refused(422)
	})
}

// tableOf is the text of the list.
func tableOf(s *webuitest.Shown) string {
	if table := s.Find(func(n *html.Node) bool { return n.Data == "tbody" }); table != nil {
		return webuitest.TextOf(table)
	}
	return ""
}

// The list has pages.
func TestDeliveries_Pages(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	w.endpointAt("shop", newTarget(t, 200).URL)
	for range 60 {
		w.publish("shop", "dep_1")
	}
	first := w.as("shop").Open("/apps/shop/deliveries?deployment=dep_1")
	older := first.Follow("Older")
	require.Equal(t, 50, strings.Count(tableOf(first), "deploy.live"))
	require.Equal(t, 10, strings.Count(tableOf(older), "deploy.live"))
	older.Follow("Latest").Says("dep_1")
	require.NotEqual(t, tableOf(first), tableOf(older))
	w.as("shop").Open("/apps/shop/deliveries?class=5xx").Says("No delivery matches")
}

// A page examines a part of a long log, says so, and leads to the rest. A
// delivery is found once.
func TestDeliveries_SearchedInParts(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		w.fillLog(t, 5000)
		const path = "/apps/shop/deliveries?type=deploy.failed&until=2100-01-01T00:00"
		page, found := w.as("shop").Open(path), 0
		page.Says("Only a part of the log was searched for these. There may be more.") // the newest is one
		for range 10 {
			found += strings.Count(tableOf(page), "deploy.failed")
			if strings.Contains(page.Text(), "These are the oldest.") {
				break
			}
			page = page.Follow("Older")
		}
		page.Says("These are the oldest.")
		want, err := w.names(`SELECT CAST(count(*) AS text) AS name FROM ` + w.table("outbox_delivery") + ` WHERE type = 'deploy.failed' AND app = 'shop'`)
		require.NoError(t, err)
		require.Equal(t, want, []string{strconv.Itoa(found)})
	})
}

// Each event type has a page with its schema, and can be sent as a test.
func TestTypes(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	g := newTarget(t, 200)
	e, _ := w.endpointAt("shop", g.URL)
	carl := w.as("shop")
	carl.Open("/apps/shop/types").Says("deploy.rolled_back").Follow("deploy.failed").Says("Example", "JSON Schema")
	carl.Open("/apps/shop/types/nonsense").Refused(404)

	carl.Open("/apps/shop/endpoints/"+e.ID).Follow("Send a test event").Submit("Send to "+e.Host).Says("The test event was sent.", "Delivered", "webhook.test")
	ask := carl.Open("/apps/shop/endpoints/"+e.ID+"/test").Submit("Show", "type", "deploy.failed").Says("deploy.failed", "test_")
	ask.Submit("Send to " + e.Host).Says("Delivered")
	require.Contains(t, string(g.last().body), `"event":"deploy.failed"`)
	require.Contains(t, string(g.last().body), `"deployment_id":"test_`)
	g.set(418, "")
	ask.Submit("Send to " + e.Host).Says("The endpoint refused the request with 418")
}

// An operator sees all apps, and the pages of each.
func TestOperator(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		olga := w.as("operator")
		olga.Open("/overview").Says("No endpoint has a backlog")
		olga.Open("/apps").Says("No apps yet.")
		require.NoError(t, w.Start(t.Context()))
		g := newTarget(t, http.StatusBadGateway)
		e, _ := w.endpointAt("shop", g.URL)
		id := w.publish("shop", "dep_1")
		w.ended("shop", id, outbox.Failed)

		require.Eventually(t, func() bool { // figures are up to five seconds old
			return strings.Contains(olga.Open("/").Text(), e.ID)
		}, patience, 100*time.Millisecond)
		home := olga.Open("/").Says("Dead letters", "502 Bad Gateway", "Oldest due", "Breakers open")
		home.Follow("All deliveries").Says("shop", "dep_1")
		home.Follow("Apps").Follow("shop").Says("Endpoints")
		home.Follow(e.ID).Follow("Disable").Submit("Disable", "reason", "abuse").Says("abuse")
		delivery := olga.Open("/apps/shop/deliveries/" + id)
		delivery.Says("For operators", "127.0.0.1", "502")
		delivery.Follow("Erase").Submit("Erase").Says("The event was erased.")
		olga.Open("/apps/shop/deliveries/" + id).Says("The body is gone.").Lacks("curl")
		olga.Open("/apps/unknown").Refused(404)
		require.NotContains(t, w.as("shop").Open("/apps/shop/deliveries/"+id).Text(), "For operators")
		for _, page := range []string{"/overview", "/apps", "/deliveries"} {
			w.as("shop").Open(page).Refused(404)
		}
		require.Contains(t, w.log.String(), "actor=olga")
	})
}

// An operator finds failing endpoints and running replays without knowing the
// app.
func TestOperator_Lists(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		olga := w.as("operator")
		olga.Open("/replays").Says("No replays yet.")
		olga.Open("/endpoints").Says("No endpoint is failing.").Follow("Disabled").Says("No endpoint is disabled.")
		require.NoError(t, w.Start(t.Context()))
		g := newTarget(t, http.StatusBadGateway)
		_, _, err := w.App("shop").CreateEndpoint(t.Context(), outbox.EndpointConfig{URL: sender.NewURL(g.URL), Description: "Chat room"})
		require.NoError(t, err)
		other, _ := w.endpointAt("blog", g.URL)
		require.NoError(t, w.App("blog").Disable(t.Context(), other.ID, "abuse"))
		id := w.publish("shop", "dep_1")
		w.ended("shop", id, outbox.Failed)
		_, err = w.App("shop").ReplayRange(t.Context(), outbox.DeliveryFilter{})
		require.NoError(t, err)

		require.Eventually(t, func() bool {
			return strings.Contains(olga.Open("/endpoints").Text(), "Chat room")
		}, patience, 20*time.Millisecond)
		failing := olga.Open("/overview").Says("Endpoints that fail or are held back", "Chat room", "502 Bad Gateway").Lacks("Canceled").Follow("All that fail")
		require.NotContains(t, failing.Text(), "abuse")
		failing.Follow("Disabled").Says("blog", "abuse")
		failing.Follow("All").Says("shop", "blog")
		failing.Follow("Held by the breaker").Says("No endpoint is held")
		failing.Follow("Chat room").Follow("Disable").Submit("Disable", "reason", "too slow").Says("too slow")
		replays := olga.Open("/replays").Says("shop", "Sent again", "100 %")
		replays.Follow("shop").Says("Endpoints")
		for _, page := range []string{"/endpoints", "/replays"} {
			w.as("shop").Open(page).Refused(404)
		}
	})
}

// Without access to a feature the pages say what to do, and a customer without
// endpoints is at home.
func TestEmptyStates(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	carl := w.as("shop")
	carl.Open("/").Says("No endpoints yet.", "Add the first one")
	carl.Open("/apps/shop/deliveries").Says("No deliveries yet.")
	carl.Open("/apps/shop/replays").Says("No replays yet.")
	carl.Open("/apps/shop/deployment?id=dep_x").Says("No delivery belongs to this deployment.")
	carl.Open("/apps/shop/endpoints/ep_x").Refused(404, "There is no such endpoint.", "Go to the endpoints")
	carl.Open("/nonsense").Refused(404, "There is no such page.")
}
