package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/sender/outbox/console"
)

// ids names one of each thing that an app has.
type ids struct{ app, endpoint, delivery, replay, event string }

// visit is a request of the table that all tests of access use.
type visit struct {
	method, path string // with real IDs
	form         string // of a POST that would be accepted
	ofApp        bool   // the path names an app
	ofThing      bool   // it also names a thing of the app
	operator     bool   // for operators only
}

// forms are what each action accepts. An action that is missing is an error.
var forms = map[string]string{
	"/apps/{app}/endpoints/new":                "url=https%3A%2F%2F10.0.0.1%2F",
	"/apps/{app}/endpoints/{endpoint}/edit":    "url=https%3A%2F%2F10.0.0.1%2F&version=1",
	"/apps/{app}/endpoints/{endpoint}/rotate":  "version=1&grace=0",
	"/apps/{app}/endpoints/{endpoint}/test":    "type=webhook.test",
	"/apps/{app}/endpoints/{endpoint}/missed":  "since=2026-01-01T00%3A00%3A00Z",
	"/apps/{app}/endpoints/{endpoint}/enable":  "",
	"/apps/{app}/endpoints/{endpoint}/disable": "reason=x",
	"/apps/{app}/endpoints/{endpoint}/delete":  "",
	"/apps/{app}/deliveries/{delivery}/resend": "",
	"/apps/{app}/deliveries/{delivery}/verify": "headers=Webhook-Id%3A+x",
	"/apps/{app}/resend":                       "state=failed",
	"/apps/{app}/replays/{replay}/cancel":      "",
	"/apps/{app}/events/{event}/erase":         "",
}

// visits are all screens of the router with real IDs.
func visits(t *testing.T, of ids) (all []visit) {
	t.Helper()
	fill := strings.NewReplacer("{app}", url.PathEscape(of.app), "{endpoint}", of.endpoint, "{delivery}", of.delivery, "{replay}", of.replay,
		"{event}", url.PathEscape(of.event), "{type}", "deploy.live")
	known := 0
	for _, s := range console.Screens() {
		v := visit{method: s.Method, path: fill.Replace(s.Path), ofApp: strings.Contains(s.Path, "{app}"), operator: s.Operator}
		for _, thing := range []string{"{endpoint}", "{delivery}", "{replay}", "{event}"} {
			v.ofThing = v.ofThing || strings.Contains(s.Path, thing)
		}
		if s.Method == http.MethodPost {
			form, ok := forms[s.Path]
			require.True(t, ok, "forms has no entry for %s", s.Path)
			v.form, known = form, known+1
		}
		if strings.HasSuffix(s.Path, "/deployment") {
			v.path += "?id=dep_1"
		}
		all = append(all, v)
	}
	require.Len(t, forms, known, "forms has an action that does not exist")
	return all
}

// gets are the paths of pages.
func gets(all []visit) (paths []string) {
	for _, v := range all {
		if v.method == http.MethodGet {
			paths = append(paths, v.path)
		}
	}
	return paths
}

// posts are the actions.
func posts(all []visit) (actions []visit) {
	for _, v := range all {
		if v.method == http.MethodPost {
			actions = append(actions, v)
		}
	}
	return actions
}

// filled is an app with one of each thing.
func (w *world) filled(t *testing.T, app string) ids {
	t.Helper()
	require.NoError(t, w.RegisterApp(t.Context(), app))
	_, err := w.App(app).Publish(t.Context(), &payload.Event{Type: payload.DeployLive, Timestamp: time.Now(), DeploymentID: "dep_0", App: "a", Environment: "e"})
	require.NoError(t, err)
	e, _ := w.endpointAt(app, newTarget(t, 200).URL+"/hook-path")
	id := w.publish(app, "dep_1")
	d, err := w.App(app).Delivery(t.Context(), id)
	require.NoError(t, err)
	replay, err := w.App(app).SendMissed(t.Context(), e.ID, time.Now().Add(-time.Hour), outbox.WithBackground())
	require.NoError(t, err)
	return ids{app, e.ID, id, replay.ID, d.EventID}
}

// state is what the app has.
func (w *world) state(t *testing.T) any {
	t.Helper()
	endpoints, err := w.App("shop").Endpoints(t.Context())
	require.NoError(t, err)
	log, err := w.App("shop").Deliveries(t.Context(), outbox.DeliveryFilter{}, outbox.Page{})
	require.NoError(t, err)
	replays, err := w.App("shop").Replays(t.Context(), outbox.Page{})
	require.NoError(t, err)
	return []any{endpoints, log.Items, replays.Items}
}

// send makes the request of a visit as somebody.
func (w *world) send(who string, v visit, header ...string) int {
	return w.as(who).Do(v.method, w.url+v.path, v.form, header...).Status
}

// No page and no action reaches another app, whatever the path says.
func TestOtherApps(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	of := w.filled(t, "shop")
	w.filled(t, "rival")
	before := w.state(t)
	for _, v := range visits(t, of) {
		switch {
		case v.operator:
			require.Equal(t, 404, w.send("rival", v), v)
		case v.ofApp:
			w.as("rival").Do(v.method, w.url+v.path, v.form).Refused(404, "There is no such app.")
		}
		if v.ofThing { // the other app's IDs in the own app
			own := v
			own.path = strings.Replace(v.path, "/apps/shop", "/apps/rival", 1)
			if v.method == http.MethodGet && strings.HasSuffix(v.path, "/erase") {
				continue // a question that shows nothing of the event
			}
			require.Equal(t, 404, w.send("rival", own), own)
		}
		if v.method == http.MethodGet && v.ofApp {
			require.Less(t, w.send("shop", v), 400, v)
		}
	}
	for _, query := range []string{"endpoint=" + of.endpoint, "replay=" + of.replay} {
		w.as("rival").Open("/apps/rival/deliveries?" + query).Says("No delivery matches the filter.")
		w.as("rival").Open("/apps/rival/resend?state=canceled&" + query).Says("There is nothing to send again.")
	}
	require.Equal(t, before, w.state(t))
}

// Without access there is nothing to see.
func TestAccess(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	all := append(visits(t, w.filled(t, "shop")), visit{method: http.MethodGet, path: "/nonsense"})
	before := w.state(t)
	for who, status := range map[string]int{"": 401, "nobody": 403, "broken": 503} {
		for _, v := range all {
			answer := w.as(who).Do(v.method, w.url+v.path, v.form).Refused(status)
			require.NotContains(t, answer.Source, "shop", v)
			require.NotContains(t, answer.Source, "All endpoints", "what the authorizer returned with an error counts for nothing")
		}
	}
	require.Equal(t, before, w.state(t))
	require.Contains(t, w.log.String(), "the authorizer failed")
}

// Who may read only sees no URL and no action, and can send no form.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	all := visits(t, w.filled(t, "shop"))
	before := w.state(t)
	for _, who := range []string{"shop readonly", "operator readonly"} {
		for _, v := range all {
			if v.operator && who == "shop readonly" {
				continue // see TestOtherApps
			}
			if v.method == http.MethodPost {
				w.as(who).Do(v.method, w.url+v.path, v.form).Refused(403, "Nothing was changed.")
				continue
			}
			page := w.as(who).Open(v.path)
			require.NotRegexp(t, `method="post"`, page.Source, v)
			require.NotContains(t, page.Source, "/hook-path", v)
			if page.Status == 200 && !strings.HasSuffix(v.path, "/body") {
				page.Says("Read only")
			}
		}
	}
	require.Equal(t, before, w.state(t))
}

// A page of another site can't make a browser change something, and neither can
// another host of the same site.
func TestOrigins(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	all := posts(visits(t, w.filled(t, "shop")))
	before := w.state(t)
	host := strings.TrimSuffix(strings.TrimPrefix(w.url, "http://"), prefix)
	name, _, _ := strings.Cut(host, ":")
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Sec-Fetch-Site", "cross-site", "Origin", "http://" + host}, // forged
		{"Sec-Fetch-Site", "same-site", "Origin", "http://" + host},
		{"Sec-Fetch-Site", "cross-site", "Origin", "null"},
		{"Origin", "null"},
		{"Origin", "https://evil.example"},
		{"Origin", "http://" + host + ".evil.example"},
		{"Origin", "http://evil.example@" + host + ".evil.example"},
		{"Origin", "http://evil." + host},
		{"Origin", "http://" + name},
		{"Origin", "http://" + name + ":1"},
		{"Origin", host},
		{"Origin", "http://evil.example, http://" + host},
	} {
		for _, v := range all {
			w.as("shop").Do("POST", w.url+v.path, v.form, header...).Refused(403, "The request came from a page of another site.")
			require.Equal(t, 403, w.send("operator", v, header...), v)
		}
	}
	require.Equal(t, before, w.state(t))
	trusting := onSQLite(t, console.WithTrustedOrigins("https://admin.example"))
	trusting.endpointAt("shop", newTarget(t, 200).URL)
	answer := trusting.as("shop").Do("POST", trusting.url+"/apps/shop/endpoints/new", "url=x", "Origin", "https://admin.example")
	answer.Refused(422)
}

// No GET changes anything, and only forms are read.
func TestMethods(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	all := visits(t, w.filled(t, "shop"))
	before := w.state(t)
	for _, v := range all {
		w.as("operator").Open(v.path)
		for _, method := range []string{"DELETE", "PUT", "PATCH", "OPTIONS"} {
			w.as("operator").Do(method, w.url+v.path, "").Refused(405)
		}
		w.as("operator").Do("GET", w.url+v.path, "", "X-HTTP-Method-Override", "POST")
	}
	for _, v := range posts(all) {
		for _, kind := range []string{"text/plain", "multipart/form-data; boundary=x", "application/json", ""} {
			w.as("operator").Do("POST", w.url+v.path, v.form, "Content-Type", kind).Refused(400)
		}
	}
	require.Equal(t, before, w.state(t))
	w.as("shop").Do("POST", w.url+posts(all)[0].path, "url="+strings.Repeat("x", 2<<20)).Refused(400, "could not be read")
}

// Each action of the table is accepted from who may do it, so that the tests
// above refuse what would work.
func TestForms_AreAccepted(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	for _, form := range posts(visits(t, w.filled(t, "shop"))) {
		of := w.filled(t, "fresh "+url.PathEscape(form.path))
		for _, v := range posts(visits(t, of)) {
			if strings.HasSuffix(v.path, form.path[strings.LastIndex(form.path, "/"):]) {
				status := w.send(of.app, v, "Sec-Fetch-Site", "same-origin")
				require.Contains(t, []int{200, 201, 303, 422}, status, v)
				require.False(t, status == 422 && !strings.Contains(v.form, "url="), v) // only URLs are refused, which have no public address
			}
		}
	}
}
