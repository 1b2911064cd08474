package console_test

import (
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/webui/webuitest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/sender/outbox/console"
)

// walk is what walk.mjs has to know.
type walk struct {
	Target     string `json:"target"`
	Failing    string `json:"failing"`
	Delivery   string `json:"delivery"`
	Deployment string `json:"deployment"`
	Archive    string `json:"archive"` // an endpoint that missed something
	Replay     string `json:"replay"`  // of the app "blog", which takes days
}

// A real browser walks through every screen and action. No page breaks the
// Content-Security-Policy or has a problem that axe-core knows, and none is
// wider than the screen.
func TestBrowser(t *testing.T) {
	webuitest.Walk(t, "testdata/browser/walk.mjs", 40, func(t *testing.T, s *webuitest.Settings) {
		w := onSQLite(t)
		if s.Postgres() {
			w = onPostgres(t)
		}
		s.URL, s.World = w.url, w.furnish(t)
		t.Cleanup(func() {
			if !t.Failed() {
				w.requireVisited(t)
			}
		})
	})
}

// requireVisited requires that every screen and action was used.
func (w *world) requireVisited(t *testing.T) {
	t.Helper()
	for _, s := range console.Screens() {
		pattern := regexp.MustCompile(`^` + s.Method + ` ` + regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(s.Path, `[^/]+`) + `$`)
		require.True(t, w.seen.any(pattern.MatchString), "the walk leaves out %s %s", s.Method, s.Path)
	}
}

// furnish fills the world with what a customer would have.
func (w *world) furnish(t *testing.T) (c walk) {
	t.Helper()
	require.NoError(t, w.Start(t.Context()))
	good, bad := newTarget(t, http.StatusOK), newTarget(t, http.StatusUnauthorized)
	bad.answer = `{"error":"Invalid signature"}`
	good.answer = "<script>alert('answer')</script>"
	shop := w.App("shop")
	require.NoError(t, w.RegisterApp(t.Context(), "shop"))
	w.publish("shop", "dep_before") // which all endpoints miss
	for _, e := range []outbox.EndpointConfig{
		{URL: sender.NewURL(good.URL + "/chat"), Description: "Chat room of the platform team", Events: []string{"deploy.*"}},
		{URL: sender.NewURL(bad.URL + "/payments"), Description: "Payments", Header: sender.NewHeader(http.Header{"X-Team": {"<b>payments</b>"}})},
		{URL: sender.NewURL(good.URL + "/archive"), Description: "Archive <script>alert('description')</script>", Events: []string{"deploy.live"}},
	} {
		made, _, err := shop.CreateEndpoint(t.Context(), e)
		require.NoError(t, err)
		if c.Archive = made.ID; e.Header.IsZero() {
			continue
		}
		c.Failing = made.ID
	}
	c.Replay = w.furnishBlog(t, bad.URL)
	c.Target, c.Deployment = good.URL, "dep_01HQ8XK2M3"
	for i := range 6 {
		typ := []payload.Type{payload.DeployStarted, payload.BuildCompleted, payload.DeployLive, payload.DeployFailed}[i%4]
		id := c.Deployment
		if i > 3 {
			id = "dep_" + strconv.Itoa(i)
		}
		event := &payload.Event{
			Type: typ, Timestamp: time.Now(), DeploymentID: id, App: "api-service", Environment: "production",
			Commit: &payload.Commit{SHA: "f4c8e2a", Message: "fix: <script>alert('message')</script>", Author: "dana@example.com", Branch: "main"},
		}
		if typ == payload.DeployFailed {
			event.Error = "health check timed out"
		}
		p, err := shop.Publish(t.Context(), event)
		require.NoError(t, err)
		for _, d := range p.Deliveries {
			want := outbox.Delivered
			if d.Endpoint == c.Failing {
				want = outbox.Failed
				if typ == payload.DeployFailed {
					c.Delivery = d.ID
				}
			}
			w.ended("shop", d.ID, want)
		}
	}
	return c
}

// furnishBlog makes another app, with a replay that takes days.
func (w *world) furnishBlog(t *testing.T, to string) (replay string) {
	t.Helper()
	require.NoError(t, w.RegisterApp(t.Context(), "blog"))
	w.endpointAt("blog", to+"/blog")
	for i := range 3 {
		w.ended("blog", w.publish("blog", "dep_"+strconv.Itoa(i)), outbox.Failed)
	}
	const aDay = 1.0 / 86400
	s, err := w.App("blog").ReplayRange(t.Context(), outbox.DeliveryFilter{}, outbox.WithReplayRate(aDay))
	require.NoError(t, err)
	return s.ID
}
