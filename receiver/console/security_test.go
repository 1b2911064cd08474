package console_test

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/webui/webuitest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/console"
	"github.com/deployhook/deployhook/receiver/inbox"
)

// filled is a world with one of each thing, and all its paths.
func filled(t *testing.T, opts ...console.Option) (w *world, gets, posts []string) {
	t.Helper()
	w = onSQLite(t, opts...)
	w.fail("dep_dead", "no such app")
	w.start()
	id := w.receive("dep_dead")
	w.reaches(id, inbox.Dead, 1)
	w.deploy("acme", "dep_dead", payload.StatusSuccess, 30)
	w.deploy("acme", "dep_next", payload.StatusSuccess, 20, func(d *payload.Deployment) { d.RollbackOf = "dep_dead" })
	fill := strings.NewReplacer("{delivery}", fmt.Sprint(id), "{org}", "acme")
	for _, s := range w.handler.Screens() {
		method, path, _ := strings.Cut(s, " ")
		if path = fill.Replace(path); method == "GET" {
			switch {
			case strings.HasSuffix(path, "/deployment"):
				path += "?id=dep_dead"
			case strings.HasSuffix(path, "/history"), strings.HasSuffix(path, "/report"):
				path += "?service=api&environment=production"
			}
			gets = append(gets, path)
		} else {
			posts = append(posts, path)
		}
	}
	require.NotContains(t, strings.Join(append(gets, posts...), " "), "{")
	require.Greater(t, len(gets), 14)
	require.Len(t, posts, 2)
	return w, gets, posts
}

// Without access there is nothing to see.
func TestAccess(t *testing.T) {
	t.Parallel()
	w, gets, posts := filled(t)
	for who, status := range map[string]int{"": 401, "nobody": 403, "broken": 503} {
		for _, path := range append([]string{"/nonsense"}, gets...) {
			answer := w.as(who).Open(path).Refused(status)
			require.NotContains(t, answer.Source, "dep_dead")
			require.NotContains(t, answer.Source, `href="./inbox`)
		}
		for _, path := range posts {
			w.as(who).Do("POST", w.url+path, "").Refused(status)
		}
	}
	require.Contains(t, w.log.String(), "the authorizer failed")
}

// Who may only read sees no action, and can send no form.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	w, gets, posts := filled(t)
	for _, path := range gets {
		page := w.as("reader").Open(path)
		require.NotRegexp(t, `method="post"`, page.Source, path)
		if page.Status == 200 && !strings.HasSuffix(path, "/body") {
			page.Says("Read only")
		}
	}
	for _, path := range posts {
		w.as("reader").Do("POST", w.url+path, "").Refused(403, "Nothing was changed.")
	}
}

// A page of another site can't make a browser change something, and neither can
// another host of the same site.
func TestOrigins(t *testing.T) {
	t.Parallel()
	w, _, posts := filled(t, console.WithTrustedOrigins("https://admin.example"))
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Origin", "https://evil.example"},
		{"Origin", "null"},
		{"Origin", "null", "Sec-Fetch-Site", "cross-site"},
	} {
		for _, path := range posts {
			w.as("olga").Do("POST", w.url+path, "", header...).Refused(403, "The request came from a page of another site.")
		}
	}
	answer := w.as("olga").Do("POST", w.url+posts[0], "", "Origin", "https://admin.example")
	require.Equal(t, 303, answer.Status)
}

// No GET changes anything, and only forms are read.
func TestMethods(t *testing.T) {
	t.Parallel()
	w, gets, posts := filled(t)
	before, err := w.inbox.List(t.Context(), inbox.Filter{}, inbox.Page{})
	require.NoError(t, err)
	for _, path := range append(gets, posts...) {
		w.as("olga").Open(path)
		w.as("olga").Do("DELETE", w.url+path, "").Refused(405)
	}
	for _, path := range posts {
		for _, kind := range []string{"text/plain", "multipart/form-data; boundary=x", "application/json", ""} {
			w.as("olga").Do("POST", w.url+path, `{"a":1}`, "Content-Type", kind).Refused(400)
		}
	}
	after, err := w.inbox.List(t.Context(), inbox.Filter{}, inbox.Page{})
	require.NoError(t, err)
	require.Equal(t, before, after)
	w.as("olga").Do("POST", w.url+posts[0], "x="+strings.Repeat("x", 2<<20)).Refused(400, "could not be read")
}

const script = `<script>alert(1)</script><img src=x onerror=alert(2)>"'` + "`"

// What senders and handlers wrote is text, wherever it is shown.
func TestStoredTexts(t *testing.T) {
	t.Parallel()
	w := onSQLite(t, console.WithName("Team "+script))
	w.fail(script, script)
	w.start()
	id := w.receive(script, func(e *payload.Event) {
		e.App, e.Environment, e.Version, e.TriggeredBy = script, script, script, script
		e.Commit = &payload.Commit{SHA: "f4c8e2a", Message: script, Author: script, Branch: script}
	})
	w.reaches(id, inbox.Dead, 1)
	change := func(d *payload.Deployment) {
		d.Service, d.Environment, d.Branch, d.TriggeredBy, d.PipelineName, d.Version = script, script, script, script, script, script
		d.PreviousCommitSHA, d.RollbackOf, d.PipelineURL = script, "run"+script, "https://ci.example/?q="+script
	}
	w.deploy("acme", "run"+script, payload.StatusSuccess, 30)
	w.deploy("acme", "run2"+script, payload.StatusSuccess, 20, change)
	scope := "service=" + url.QueryEscape(script) + "&environment=" + url.QueryEscape(script)
	_, err := w.ledger.RecordIncident(t.Context(), "acme", &payload.Incident{IncidentID: script, OpenedAt: time.Now().Add(-500 * time.Hour), Service: script, Environment: script})
	require.NoError(t, err)
	q := url.QueryEscape(script)
	page := fmt.Sprintf("/inbox/deliveries/%d", id)
	for _, path := range []string{
		"/", "/inbox", "/inbox/deliveries", "/inbox/deliveries?deployment=" + q, "/inbox/deliveries?error=" + q, "/inbox/deliveries?state=" + q,
		"/inbox/deliveries?done=" + q, page, page + "/replay", "/inbox/replay?error=" + q + "&deployment=" + q, "/inbox/replay?replayed=" + q, "/" + url.PathEscape(script),
		"/recent?source=" + q + "&range=" + q, "/orgs/acme/deployments", "/orgs/acme/deployments?text=" + q, "/orgs/acme/history?" + scope,
		"/orgs/acme/deployment?id=" + url.QueryEscape("run2"+script), "/orgs/acme/metrics", "/orgs/acme/metrics/report?" + scope,
		"/orgs/acme/metrics/report?zone=" + q, "/orgs/" + url.PathEscape(script) + "/deployments",
	} {
		requireEscaped(t, w.as("olga").Open(path))
	}
	w.as("olga").Open("/").Says(script).Follow(script).Says(script).Follow("Replay these").Says(script).Submit("Replay 1").Says("1 delivery is")
	w.as("olga").Open("/orgs/acme/deployments").Says(script).Follow(script + " in " + script).Says("run2" + script).Follow("run2" + script).Says("It is live.").Follow("run" + script)
	w.as("olga").Open("/orgs/acme/metrics/report?"+scope).Says("run2"+script, script+": no deployment had gone live before")
	w.as("olga").Open(page).Says(script, "Message", "Author")
	body := w.as("olga").Open(page + "/body")
	require.Equal(t, "application/octet-stream", body.Header.Get("Content-Type"))
	require.Contains(t, body.Header.Get("Content-Security-Policy"), "sandbox")
}

func requireEscaped(t *testing.T, page *webuitest.Shown) {
	t.Helper()
	require.NotContains(t, page.Source, "<script>alert", page.At)
	require.NotContains(t, page.Source, "<img src=x", page.At)
	require.NotContains(t, page.Source, `href="javascript:`, page.At)
}

// Every link of every page leads to a page.
func TestLinks(t *testing.T) {
	t.Parallel()
	w, gets, _ := filled(t)
	seen := map[string]bool{}
	for _, who := range []string{"olga", "reader"} {
		todo := []string{}
		for _, path := range gets {
			todo = append(todo, w.url+path)
		}
		for len(todo) > 0 && len(seen) < 400 {
			to := todo[0]
			todo = todo[1:]
			key := who + strings.SplitN(to, "#", 2)[0]
			if seen[key] {
				continue
			}
			seen[key] = true
			page := w.as(who).Get(to).Says()
			for n := range page.Root.Descendants() {
				for _, name := range []string{"href", "src"} {
					if reference := webuitest.Attr(n, name); reference != "" && !strings.HasPrefix(reference, "https://") {
						todo = append(todo, page.Resolve(reference))
					}
				}
			}
		}
	}
	require.Greater(t, len(seen), 20)
}

// Assets need no access, never change, and can't be anything else.
func TestAssets(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	page := w.as("").Open("/")
	style := regexp.MustCompile(`href="([^"]*style-[^"]*)"`).FindStringSubmatch(page.Source)
	require.NotNil(t, style)
	asset := w.as("").Get(page.Resolve(style[1])).Says()
	require.Contains(t, asset.Header.Get("Cache-Control"), "immutable")
	w.as("").Open("/assets/style.css").Refused(404)
	w.as("").Open("/assets/..%2fconsole.go").Refused(404)
}

// A handler that was not made with New permits nothing.
func TestZeroHandler(t *testing.T) {
	t.Parallel()
	for _, h := range []*console.Handler{nil, {}} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		require.Equal(t, 500, w.Code)
		require.Empty(t, h.Faults())
	}
}
