package console_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/deployhook/deployhook/internal/webui/webuitest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/inbox"
)

// A person of the team finds out why deliveries are dead, fixes the cause, and
// replays one delivery and then all with the same error.
func TestInbox(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		ops := w.as("olga")
		ops.Open("/").Says("Inbox", "No deliveries yet.", "There are none.")
		for _, id := range []string{"dep_1", "dep_2", "dep_3"} {
			w.fail(id, "the chat room is gone\ndetails for "+id)
		}
		w.fail("dep_4", "another error")
		w.start()
		ids := map[string]int64{}
		for _, id := range []string{"dep_1", "dep_2", "dep_3", "dep_4"} {
			ids[id] = w.receive(id)
			w.reaches(ids[id], inbox.Dead, 1)
		}
		good := w.receive("dep_good")
		w.reaches(good, inbox.Handled, 1)

		home := ops.Open("/").Says("Dead letters 4", "the chat room is gone", "another error")
		dead := home.Follow("the chat room is gone").Says("dep_1", "dep_2", "dep_3")
		require.NotContains(t, tableOf(dead), "dep_4")
		one := ops.Open(fmt.Sprintf("/inbox/deliveries/%d", ids["dep_1"]))
		one.Says("Dead", "the chat room is gone", "Fix the cause, and replay the delivery.", "details for dep_1", "v1.4.2", `"deployment_id":"dep_1"`)
		download := one.Follow("Download the exact bytes")
		require.Contains(t, download.Header.Get("Content-Disposition"), "attachment")
		require.True(t, strings.HasPrefix(download.Source, "{"))

		w.fail("dep_1", "")
		one.Submit("Replay").Says("The delivery is pending again.")
		w.reaches(ids["dep_1"], inbox.Handled, 1)
		ops.Open(fmt.Sprintf("/inbox/deliveries/%d", ids["dep_1"])).Says("The handler has handled it.").
			Follow("Replay").Says("its effect takes place again").Submit("Replay").Says("pending again")

		w.fail("dep_2", "")
		w.fail("dep_3", "")
		ask := ops.Open("/").Follow("Replay those with the chat room is gone").Says("Dead letters 2", "the chat room is gone", "Replay 2")
		ask.Submit("Replay 2").Says("2 deliveries are pending again.", "There is nothing to replay.")
		w.reaches(ids["dep_2"], inbox.Handled, 1)
		w.reaches(ids["dep_3"], inbox.Handled, 1)
		w.reaches(ids["dep_4"], inbox.Dead, 1)
		require.Contains(t, w.log.String(), `actor="olga of the team"`)
		require.Contains(t, w.log.String(), "deliveries=2")

		ops.Open("/inbox/deliveries?state=dead").Follow("Replay these").Says("Dead letters 1", "Any").Submit("Replay 1").Says("1 delivery is pending again.")
	})
}

// tableOf is the text of the list.
func tableOf(s *webuitest.Shown) string {
	if table := s.Find(func(n *html.Node) bool { return n.Data == "tbody" }); table != nil {
		return webuitest.TextOf(table)
	}
	return ""
}

// Each state of a delivery has its reason.
func TestDelivery_Reasons(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	w.fail("dep_retry", "retry: the database is down")
	w.fail("dep_order", inbox.ErrContradiction.Error())
	fresh := w.receive("dep_new")
	page := w.as("olga").Open(fmt.Sprintf("/inbox/deliveries/%d", fresh))
	page.Says("Pending", "It waits for its first attempt.").Lacks("Replay")
	w.start()
	retried := w.receive("dep_retry")
	w.reaches(retried, inbox.Pending, 1)
	w.as("olga").Open(fmt.Sprintf("/inbox/deliveries/%d", retried)).
		Says("Failed, will be retried", "The last attempt failed: retry: the database is down", "Next attempt:", "in 59 min")
	order := w.receive("dep_order")
	w.reaches(order, inbox.Dead, 1)
	w.as("olga").Open(fmt.Sprintf("/inbox/deliveries/%d", order)).Says("two different ends of one deployment")
	w.as("olga").Do("POST", fmt.Sprintf("%s/inbox/deliveries/%d/replay", w.url, retried), "").Refused(409, "The delivery is pending already.")
	w.as("olga").Open(fmt.Sprintf("/inbox/deliveries/%d/replay", retried)).Refused(409)
	for _, id := range []string{"999", "0", "x", "99999999999999999999"} {
		w.as("olga").Open("/inbox/deliveries/"+id).Refused(404, "There is no such delivery.", "Go to the first page")
	}
}

// An event in an envelope has the same page.
func TestDelivery_InAnEnvelope(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	body := `{"type":"deploy.live","timestamp":"2026-03-12T14:22:01Z","data":{"deployment_id":"dep_1","app":"shop","environment":"production","version":"v1.4.2"}}`
	require.Equal(t, http.StatusAccepted, w.post([]byte(body)))
	list, err := w.inbox.List(t.Context(), inbox.Filter{DeploymentID: "dep_1"}, inbox.Page{Limit: 1})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
	w.as("olga").Open(fmt.Sprintf("/inbox/deliveries/%d", list.Items[0].ID)).
		Says("Environment production", "Version v1.4.2", `"type":"deploy.live"`).Lacks("not a valid event")
}

// The list has pages and filters.
func TestDeliveries(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		ops := w.as("olga")
		ops.Open("/inbox/deliveries").Says("No deliveries yet.")
		for range 51 {
			w.receive("dep_many")
		}
		w.receive("dep_one", func(e *payload.Event) { e.Type = payload.DeployStarted })
		first := ops.Open("/inbox/deliveries?deployment=dep_many")
		require.Equal(t, 50, strings.Count(tableOf(first), "dep_many"))
		older := first.Follow("Older").Says("These are the oldest.")
		require.Equal(t, 1, strings.Count(tableOf(older), "dep_many"))
		older.Follow("Latest")
		for query, want := range map[string]int{"state=pending": 1, "state=dead": 0, "deployment=dep_one": 1, "deployment=none": 0, "error=x": 0, "state=pending&error=x": 0} {
			page := ops.Open("/inbox/deliveries?" + query).Says()
			require.Equal(t, want, strings.Count(tableOf(page), "dep_one"), query)
			if want == 0 {
				page.Says("No delivery matches the filter.").Follow("Clear the filter").Says("dep_one")
			}
		}
		first.Submit("Filter", "state", "handled").Says("No delivery matches")
		ops.Open("/inbox/deliveries?state=weird").Refused(422, "There is no such state")
		ops.Open("/inbox/deliveries?cursor=weird").Refused(422, "Begin again with the first page.")
		ops.Open("/inbox/replay?error=none").Says("There is nothing to replay.")
	})
}

// tableAt is the text of one of the tables.
func tableAt(s *webuitest.Shown, i int) string {
	for n := range s.Root.Descendants() {
		if n.Data == "tbody" {
			if i == 0 {
				return webuitest.TextOf(n)
			}
			i--
		}
	}
	return ""
}
