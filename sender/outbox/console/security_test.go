package console_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/webui/webuitest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/sender/outbox/console"
)

// paths are all paths with real IDs.
func paths(t *testing.T, app, endpoint, delivery, replay, event string) (gets, posts []string) {
	t.Helper()
	fill := strings.NewReplacer("{app}", url.PathEscape(app), "{endpoint}", endpoint, "{delivery}", delivery, "{replay}", replay, "{event}", event, "{type}", "deploy.live")
	for _, s := range console.Screens() {
		method, path, _ := strings.Cut(s, " ")
		if !strings.Contains(path, "{app}") {
			continue
		}
		if path = fill.Replace(path); method == "GET" {
			if strings.HasSuffix(path, "/deployment") {
				path += "?id=dep_1"
			}
			gets = append(gets, path)
		} else {
			posts = append(posts, path)
		}
	}
	require.Greater(t, len(gets), 15)
	require.Greater(t, len(posts), 10)
	return gets, posts
}

// filled is an app with one of each thing.
func (w *world) filled(t *testing.T, app string) (gets, posts []string) {
	t.Helper()
	require.NoError(t, w.RegisterApp(t.Context(), app))
	_, err := w.App(app).Publish(t.Context(), &payload.Event{Type: payload.DeployLive, Timestamp: time.Now(), DeploymentID: "dep_0", App: "a", Environment: "e"})
	require.NoError(t, err)
	e, _ := w.endpointAt(app, newTarget(t, 200).URL)
	id := w.publish(app, "dep_1")
	d, err := w.App(app).Delivery(t.Context(), id)
	require.NoError(t, err)
	replay, err := w.App(app).SendMissed(t.Context(), e.ID, time.Now().Add(-time.Hour), outbox.WithBackground())
	require.NoError(t, err)
	return paths(t, app, e.ID, id, replay.ID, d.EventID)
}

// No page and no action reaches another app, whatever the path says.
func TestOtherApps(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	gets, posts := w.filled(t, "shop")
	_, _ = w.filled(t, "rival")
	rival := w.as("rival")
	for _, path := range gets {
		w.as("shop").Open(path).Says()
		rival.Open(path).Refused(404, "There is no such app.")
		if !strings.HasSuffix(path, "/new") && !strings.Contains(path, "/types") && !strings.Contains(path, "/events/") {
			own := rival.Open(strings.Replace(path, "/apps/shop", "/apps/rival", 1)) // with the other app's IDs
			if regexp.MustCompile(`_[0-9a-f]{20}`).MatchString(path) {
				own.Refused(404)
			}
		}
	}
	for _, path := range posts {
		rival.Do("POST", w.url+path, "").Refused(404, "There is no such app.")
		own := strings.Replace(path, "/apps/shop", "/apps/rival", 1)
		if regexp.MustCompile(`_[0-9a-f]{20}`).MatchString(path) {
			rival.Do("POST", w.url+own, "version=1&grace=0&type=webhook.test&since=2026-01-01T00:00:00Z&headers=a%3Ab").Refused(404)
		}
	}
}

// Without access there is nothing to see.
func TestAccess(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	gets, posts := w.filled(t, "shop")
	for who, status := range map[string]int{"": 401, "nobody": 403, "broken": 503} {
		for _, path := range append([]string{"/", "/overview", "/apps", "/deliveries", "/nonsense"}, gets...) {
			answer := w.as(who).Open(path).Refused(status)
			require.NotContains(t, answer.Source, "shop")
		}
		for _, path := range posts {
			w.as(who).Do("POST", w.url+path, "").Refused(status)
		}
	}
	require.Contains(t, w.log.String(), "the authorizer failed")
}

// Who may read only sees no URL and no action, and can send no form.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	gets, posts := w.filled(t, "shop")
	for _, who := range []string{"shop readonly", "operator readonly"} {
		for _, path := range gets {
			page := w.as(who).Open(path)
			require.NotRegexp(t, `method="post"`, page.Source, path)
			require.NotContains(t, page.Source, "/hook-path", path)
			if page.Status == 200 && !strings.HasSuffix(path, "/body") {
				page.Says("Read only")
			}
		}
		for _, path := range posts {
			w.as(who).Do("POST", w.url+path, "").Refused(403, "Nothing was changed.")
		}
	}
}

// A page of another site can't make a browser change something, and neither can
// another host of the same site.
func TestOrigins(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	_, posts := w.filled(t, "shop")
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Origin", "https://evil.example"},
		{"Origin", "null"},
		{"Origin", "null", "Sec-Fetch-Site", "cross-site"},
	} {
		for _, path := range posts {
			w.as("shop").Do("POST", w.url+path, "", header...).Refused(403, "The request came from a page of another site.")
		}
	}
	trusting := onSQLite(t, console.WithTrustedOrigins("https://admin.example"))
	trusting.endpointAt("shop", newTarget(t, 200).URL)
	answer := trusting.as("shop").Do("POST", trusting.url+"/apps/shop/endpoints/new", "url=x", "Origin", "https://admin.example")
	answer.Refused(422)
}

// No GET changes anything, and only forms are read.
func TestMethods(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	gets, posts := w.filled(t, "shop")
	before := w.state(t)
	for _, path := range append(gets, posts...) {
		w.as("shop").Open(path)
		w.as("shop").Do("DELETE", w.url+path, "").Refused(405)
	}
	for _, path := range posts {
		for _, kind := range []string{"text/plain", "multipart/form-data; boundary=x", "application/json", ""} {
			w.as("shop").Do("POST", w.url+path, `{"a":1}`, "Content-Type", kind).Refused(400)
		}
	}
	require.Equal(t, before, w.state(t))
	w.as("shop").Do("POST", w.url+posts[0], "url="+strings.Repeat("x", 2<<20)).Refused(400, "could not be read")
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

// What customers and endpoints write is text, wherever it is shown.
func TestStoredTexts(t *testing.T) {
	t.Parallel()
	const script = `<script>alert(1)</script><img src=x onerror=alert(2)>"'` + "`"
	app := `a/b <i>&?#`
	w := onSQLite(t)
	require.NoError(t, w.Start(t.Context()))
	g := newTarget(t, 500)
	g.answer = script
	e, _, err := w.App(app).CreateEndpoint(t.Context(), outbox.EndpointConfig{
		URL: sender.NewURL(g.URL + "/?q=<script>alert(3)</script>"), Description: script, Events: []string{"deploy.*"},
		Header: sender.NewHeader(http.Header{"X-Script": {script}}),
	})
	require.NoError(t, err)
	p, err := w.App(app).Publish(t.Context(), &payload.Event{
		Type: payload.DeployFailed, Timestamp: time.Now(), DeploymentID: script, App: script, Environment: script, Error: script,
		Commit: &payload.Commit{SHA: "f4c8e2a", Message: script},
	})
	require.NoError(t, err)
	id := p.Deliveries[0].ID
	w.ended(app, id, outbox.Failed)
	require.NoError(t, w.App(app).Disable(t.Context(), e.ID, script))
	d, err := w.App(app).Delivery(t.Context(), id)
	require.NoError(t, err)
	replay, err := w.App(app).ReplayRange(t.Context(), outbox.DeliveryFilter{DeploymentID: script})
	require.NoError(t, err)

	gets, _ := paths(t, app, e.ID, id, replay.ID, d.EventID)
	gets = append(gets, "/apps/"+url.PathEscape(app)+"/deployment?id="+url.QueryEscape(script),
		"/apps/"+url.PathEscape(app)+"/deliveries?state=failed&deployment="+url.QueryEscape(script)+"&event="+url.QueryEscape(script),
		"/apps/"+url.PathEscape(app)+"/deliveries?done="+url.QueryEscape(script), "/apps", "/overview", "/deliveries", "/"+url.PathEscape(script))
	for _, who := range []string{app, "operator", app + " readonly"} {
		for _, path := range gets {
			page := w.as(who).Open(path)
			if !strings.HasPrefix(page.Header.Get("Content-Type"), "text/html") {
				require.Equal(t, "application/octet-stream", page.Header.Get("Content-Type"))
				require.Contains(t, page.Header.Get("Content-Disposition"), "attachment")
				require.Contains(t, page.Header.Get("Content-Security-Policy"), "sandbox")
				continue
			}
			require.NotContains(t, page.Source, "<script>alert", path)
			require.NotContains(t, page.Source, "<img src=x", path)
			require.NotContains(t, page.Source, "<i>&", path)
		}
	}
	w.as(app).Open("/").Says(script).Follow("Deliveries").Follow("deploy.failed").Says(script, "X-Script")
	w.as(app).Open("/apps/"+url.PathEscape(app)+"/deployment?id="+url.QueryEscape(script)).Says("Deployment "+script, "deploy.failed")
}

// Every link of every page leads to a page, also from an app with a strange
// name.
func TestLinks(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	gets, _ := w.filled(t, "a/b ?&")
	seen := map[string]bool{}
	for _, who := range []string{"operator", "a/b ?&"} {
		todo := []string{w.url + "/"}
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
				if n.Data == "a" || n.Data == "link" || n.Data == "script" {
					for _, name := range []string{"href", "src"} {
						if reference := webuitest.Attr(n, name); reference != "" {
							todo = append(todo, page.Resolve(reference))
						}
					}
				}
			}
		}
	}
	require.Greater(t, len(seen), 60)
}

// Checks of endpoints are limited for each app, because they resolve names.
func TestLimit(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	refused := 0
	for range 40 {
		if w.as("shop").Do("POST", w.url+"/apps/shop/endpoints/new", "url=x").Status == 429 {
			refused++
		}
	}
	require.Positive(t, refused)
	w.as("other").Do("POST", w.url+"/apps/other/endpoints/new", "url=x").Refused(422)
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
	require.Contains(t, asset.Header.Get("Content-Type"), "text/css")
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
