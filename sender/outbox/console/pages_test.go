package console_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

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

		home := carl.open("/")
		home.says("No endpoints yet.", "Times are in UTC")
		made := home.follow("Add the first one").submit("Add the endpoint", "url", broken.URL+"/hook", "description", "Payments chat", "type", "deploy.live")
		made.refusedNot().says("It is never shown again.", "whsec_")
		require.Equal(t, http.StatusCreated, made.status)
		made.follow("Go to the endpoint").says("Payments chat", broken.URL+"/hook", "deploy.live", "No deliveries yet.")

		id := w.publish("shop", "dep_1")
		w.ended("shop", id, outbox.Failed)
		list := carl.open("/").follow("Deliveries")
		list.says("Failed", "404 Not Found", "dep_1", "Payments chat")
		failed := list.follow("deploy.live")
		failed.says("The endpoint refused the request with 404 Not Found.", "Check the path of the endpoint's URL.", "client_error", `"deployment_id":"dep_1"`)

		failed.follow("Edit the endpoint").submit("Save", "url", fixed.URL).says("The endpoint was changed.", fixed.URL)
		failed.submit("Send again").says("The delivery is sent again now.")
		w.ended("shop", id, outbox.Delivered)
		carl.open("/apps/shop/deliveries/"+id).says("Delivered. The endpoint answered 200", "Attempt 2", "Sent again 1 time")
		carl.open("/apps/shop/deliveries/"+id+"?attempt=1").says("Attempt 1", "404 Not Found")
		failed.follow("dep_1").says("Deployment dep_1", "deploy.live", "Delivered")
	})
}

// refusedNot is for pages that are shown by a POST.
func (s *shown) refusedNot() *shown {
	s.w.t.Helper()
	require.Less(s.w.t, s.status, 400, s.text())
	return s
}

// A mistake is explained next to its field, and costs nothing that was typed.
func TestForm_ExplainsMistakes(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	carl := w.as("shop")
	form := carl.open("/apps/shop/endpoints/new")
	for _, test := range []struct{ field, value, says string }{
		{"url", "http://8.8.8.8/", "The URL must begin with https://."},
		{"url", "https://10.0.0.1/", "The host name does not resolve to an address that deliveries may go to."},
		{"url", "https://nowhere.invalid/", "The host name does not resolve to an address that deliveries may go to."},
		{"patterns", "a..b", "Each event must be"},
		{"timeout", "soon", "Enter a number"},
		{"rate", "200000", "The rate must be"},
		{"header", "no colon", "Write each header on a line of its own"},
		{"header", "Host: x", "A header is reserved"},
		{"format", "yaml", "There is no such body format."},
		{"secret", "short", "The secret does not fit"},
	} {
		to := "https://10.0.0.2/"
		if test.field != "url" {
			to = newTarget(t, 200).URL
		}
		answer := form.submit("Add the endpoint", "url", to, "description", "Kept text", test.field, test.value)
		answer.refused(http.StatusUnprocessableEntity, test.says, "The endpoint was not saved.")
		require.Contains(t, answer.source, "Kept text")
	}
	_, err := w.App("shop").Endpoints(t.Context())
	require.ErrorIs(t, err, outbox.ErrUnknownApp)

	url := newTarget(t, 200).URL
	made := form.submit("Add the endpoint", "url", url, "header", "X-Team: payments").says("whsec_")
	form.submit("Add the endpoint", "url", url, "header", "X-Team: payments").says("The endpoint exists already")
	carl.open("/apps/shop/endpoints/new").submit("Add the endpoint", "url", url).refused(http.StatusUnprocessableEntity, "There is an endpoint with this URL already.")
	made.follow("Go to the endpoint").says("X-Team", "values hidden")
}

// A secret is shown once. A form that is repeated rotates nothing.
func TestRotate(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	e, first := w.endpointAt("shop", newTarget(t, 200).URL)
	carl := w.as("shop")
	form := carl.open("/apps/shop/endpoints/" + e.ID).follow("Rotate the secret")
	rotated := form.submit("Rotate", "grace", "3600")
	rotated.says("whsec_", "The old one stays in use for 1 h.")
	require.NotContains(t, rotated.source, first.Reveal())
	form.submit("Rotate").refused(http.StatusConflict, "Changed meanwhile")
	form = carl.open("/apps/shop/endpoints/" + e.ID + "/rotate")
	form.submit("Rotate", "secret", "nonsense").refused(http.StatusUnprocessableEntity, "The secret does not fit the scheme")
	form.submit("Rotate", "grace", "").refused(http.StatusUnprocessableEntity)
	now := form.submit("Rotate", "grace", "0").says("The old one is no longer used.")
	now.follow("Go to the endpoint")
	for _, page := range []string{"", "/edit", "/rotate", "/test"} {
		require.NotContains(t, carl.open("/apps/shop/endpoints/"+e.ID+page).source, "whsec_")
	}
}

// Two people edit one endpoint.
func TestEdit_NoticesChanges(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	e, _ := w.endpointAt("shop", newTarget(t, 200).URL)
	form := w.as("shop").open("/apps/shop/endpoints/" + e.ID + "/edit")
	form.submit("Save", "description", "mine", "header", "X-A: 1").says("mine", "X-A")
	form.submit("Save", "description", "yours").refused(http.StatusConflict, "Changed meanwhile")
	again := w.as("shop").open("/apps/shop/endpoints/" + e.ID + "/edit")
	require.NotContains(t, again.source, "X-A: 1")
	again.submit("Save").says("X-A")
	w.as("shop").open("/apps/shop/endpoints/"+e.ID+"/edit").submit("Save", "no_header", "yes")
	require.NotContains(t, w.as("shop").open("/apps/shop/endpoints/"+e.ID).text(), "X-A")
}

// What a disabled endpoint missed is counted, and sent when it is enabled.
func TestDisable_Enable(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	require.NoError(t, w.Start(t.Context()))
	g := newTarget(t, 200)
	e, _ := w.endpointAt("shop", g.URL)
	carl := w.as("shop")
	at := carl.open("/apps/shop/endpoints/" + e.ID)
	at.follow("Disable").submit("Disable", "reason", "moving house").says("The endpoint is disabled.", "moving house", "It missed 0 events")
	w.publish("shop", "dep_missed")
	page := carl.open("/apps/shop/endpoints/" + e.ID).says("It missed 1 event since then.")
	page.follow("Send what was missed").says("Missed 1", "The endpoint is disabled. Enable it first.")
	page.submit("Enable").says("The endpoint gets deliveries again.")
	require.Eventually(t, func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.requests) == 1
	}, patience, 5*time.Millisecond)
	carl.open("/apps/shop/replays").says("missed")
	carl.open("/apps/shop/endpoints/"+e.ID).follow("Delete").submit("Delete").says("The endpoint was deleted.", "No endpoints yet.")
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
	ask := w.as("shop").open("/apps/shop/endpoints/" + e.ID + "/missed").says("Missed 1")
	replay := ask.submit("Send 1 event")
	replay.says("The replay has begun.", "What the endpoint missed")
	require.Eventually(t, func() bool {
		return strings.Contains(w.as("shop").get(replay.at.String()).text(), "Ended")
	}, patience, 20*time.Millisecond)
	w.as("shop").open("/apps/shop/endpoints/" + e.ID + "/missed?range=30d").says("Nothing was missed")
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
	failed := w.as("shop").open("/apps/shop/deliveries").submit("Filter", "state", "failed")
	replay := failed.follow("Send these again").submit("Send 2 again")
	replay.says("Deliveries that had ended")
	require.Eventually(t, func() bool {
		return strings.Contains(w.as("shop").get(replay.at.String()).text(), "Ended")
	}, patience, 20*time.Millisecond)
	failed = w.as("shop").open("/apps/shop/deliveries?state=failed&range=24h").says("No delivery matches the filter.")
	failed.follow("Send these again").says("There is nothing to send again.")
	w.as("shop").open("/apps/shop/replays").says("Ended", "Sent again")
}

// A replay that has not ended can be canceled.
func TestReplay_Cancel(t *testing.T) {
	t.Parallel()
	w := onSQLite(t) // nothing delivers
	require.NoError(t, w.RegisterApp(t.Context(), "shop"))
	w.publish("shop", "dep_1")
	e, _ := w.endpointAt("shop", newTarget(t, 200).URL)
	replay := w.as("shop").open("/apps/shop/endpoints/" + e.ID + "/missed").submit("Send 1 event")
	replay.says("Scheduling").submit("Cancel the replay").says("The replay was canceled.", "Canceled").lacks("Cancel the replay")
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
			page := w.as("shop").open("/apps/shop/deliveries?" + query)
			page.says()
			for _, id := range []string{"dep_good", "dep_bad"} {
				require.Equal(t, strings.Contains(want, id), strings.Contains(tableOf(page), id), "%s: %s", query, page.text())
			}
			if want == "" {
				page.says("No delivery matches the filter.").follow("Clear the filter").says("dep_good")
			}
		}
		w.as("shop").open("/apps/shop/deliveries?since=yesterday").refused(422, "Write it as in")
		w.as("shop").open("/apps/shop/deliveries?state=weird").refused(422)
		w.as("shop").open("/apps/shop/deliveries?cursor=weird").refused(422)
	})
}

// tableOf is the text of the list.
func tableOf(s *shown) string {
	if table := s.find(func(n *html.Node) bool { return n.Data == "tbody" }); table != nil {
		return textOf(table)
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
	first := w.as("shop").open("/apps/shop/deliveries?deployment=dep_1")
	older := first.follow("Older")
	require.Equal(t, 50, strings.Count(tableOf(first), "deploy.live"))
	require.Equal(t, 10, strings.Count(tableOf(older), "deploy.live"))
	older.follow("Latest").says("dep_1")
	require.NotEqual(t, tableOf(first), tableOf(older))
	w.as("shop").open("/apps/shop/deliveries?class=5xx").says("No delivery matches")
}

// Each event type has a page with its schema, and can be sent as a test.
func TestTypes(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	g := newTarget(t, 200)
	e, _ := w.endpointAt("shop", g.URL)
	carl := w.as("shop")
	carl.open("/apps/shop/types").says("deploy.rolled_back").follow("deploy.failed").says("Example", "JSON Schema")
	carl.open("/apps/shop/types/nonsense").refused(404)

	carl.open("/apps/shop/endpoints/"+e.ID).follow("Send a test event").submit("Send to "+e.Host).says("The test event was sent.", "Delivered", "webhook.test")
	ask := carl.open("/apps/shop/endpoints/"+e.ID+"/test").submit("Show", "type", "deploy.failed").says("deploy.failed", "test_")
	ask.submit("Send to " + e.Host).says("Delivered")
	require.Contains(t, string(g.last().body), `"event":"deploy.failed"`)
	require.Contains(t, string(g.last().body), `"deployment_id":"test_`)
	g.set(418, "")
	ask.submit("Send to " + e.Host).says("The endpoint refused the request with 418")
}

// An operator sees all apps, and the pages of each.
func TestOperator(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		olga := w.as("operator")
		olga.open("/overview").says("No endpoint has a backlog")
		olga.open("/apps").says("No apps yet.")
		require.NoError(t, w.Start(t.Context()))
		g := newTarget(t, http.StatusBadGateway)
		e, _ := w.endpointAt("shop", g.URL)
		id := w.publish("shop", "dep_1")
		w.ended("shop", id, outbox.Failed)

		require.Eventually(t, func() bool { // figures are up to five seconds old
			return strings.Contains(olga.open("/").text(), e.ID)
		}, patience, 100*time.Millisecond)
		home := olga.open("/").says("Dead letters", "502 Bad Gateway", "Oldest due", "Breakers open")
		home.follow("All deliveries").says("shop", "dep_1")
		home.follow("Apps").follow("shop").says("Endpoints")
		home.follow(e.ID).follow("Disable").submit("Disable", "reason", "abuse").says("abuse")
		delivery := olga.open("/apps/shop/deliveries/" + id)
		delivery.says("For operators", "127.0.0.1", "502")
		delivery.follow("Erase").submit("Erase").says("The event was erased.")
		olga.open("/apps/shop/deliveries/" + id).says("The body is gone.").lacks("curl")
		olga.open("/apps/unknown").refused(404)
		require.NotContains(t, w.as("shop").open("/apps/shop/deliveries/"+id).text(), "For operators")
		for _, page := range []string{"/overview", "/apps", "/deliveries"} {
			w.as("shop").open(page).refused(404)
		}
		require.Contains(t, w.log.String(), "actor=olga")
	})
}

// Without access to a feature the pages say what to do, and a customer without
// endpoints is at home.
func TestEmptyStates(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	carl := w.as("shop")
	carl.open("/").says("No endpoints yet.", "Add the first one")
	carl.open("/apps/shop/deliveries").says("No deliveries yet.")
	carl.open("/apps/shop/replays").says("No replays yet.")
	carl.open("/apps/shop/deployment?id=dep_x").says("No delivery belongs to this deployment.")
	carl.open("/apps/shop/endpoints/ep_x").refused(404, "There is no such endpoint.", "Go to the endpoints")
	carl.open("/nonsense").refused(404, "There is no such page.")
}
