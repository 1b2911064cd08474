package console_test

import (
	"bytes"
	"compress/gzip"
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
	}, outbox.WithEventID(`<script>alert(5)</script>`))
	require.NoError(t, err)
	id := p.Deliveries[0].ID
	w.ended(app, id, outbox.Failed)
	require.NoError(t, w.App(app).Disable(t.Context(), e.ID, script))
	d, err := w.App(app).Delivery(t.Context(), id)
	require.NoError(t, err)
	replay, err := w.App(app).ReplayRange(t.Context(), outbox.DeliveryFilter{DeploymentID: script})
	require.NoError(t, err)

	gets := gets(visits(t, ids{app, e.ID, id, replay.ID, d.EventID}))
	gets = append(gets, "/endpoints?show=disabled", "/endpoints?show=all", "/apps/"+url.PathEscape(app)+"/deployment?id="+url.QueryEscape(script),
		"/apps/"+url.PathEscape(app)+"/deliveries?state=failed&deployment="+url.QueryEscape(script)+"&event="+url.QueryEscape(script),
		"/apps/"+url.PathEscape(app)+"/deliveries?done="+url.QueryEscape(script), "/"+url.PathEscape(script))
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
	all := gets(visits(t, w.filled(t, "a/b ?&")))
	seen := map[string]bool{}
	for _, who := range []string{"operator", "a/b ?&"} {
		todo := []string{w.url + "/"}
		for _, path := range all {
			if who != "operator" && !strings.HasPrefix(path, "/apps/a%2F") {
				continue
			}
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
	script := regexp.MustCompile(`src="([^"]*live-[^"]*)"`).FindStringSubmatch(page.Source)
	require.NotNil(t, script)
	var packed bytes.Buffer
	gz := gzip.NewWriter(&packed)
	for _, text := range []string{asset.Source, w.as("").Get(page.Resolve(script[1])).Source} {
		_, err := gz.Write([]byte(text))
		require.NoError(t, err)
	}
	require.NoError(t, gz.Close())
	t.Logf("assets have %d bytes, compressed", packed.Len())
	require.LessOrEqual(t, packed.Len(), 60<<10)
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
