package console_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/webui/webuitest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// walk is what walk.mjs has to know.
type walk struct {
	Target     string `json:"target"`
	Failing    string `json:"failing"`
	Delivery   string `json:"delivery"`
	Deployment string `json:"deployment"`
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
	})
}

// furnish fills the world with what a customer would have.
func (w *world) furnish(t *testing.T) (c walk) {
	t.Helper()
	require.NoError(t, w.Start(t.Context()))
	good, bad := newTarget(t, http.StatusOK), newTarget(t, http.StatusUnauthorized)
	bad.answer = `{"error":"Invalid signature"}`
	good.answer = "<script>alert('answer')</script>"
	shop := w.App("shop")
	for _, e := range []outbox.EndpointConfig{
		{URL: sender.NewURL(good.URL + "/chat"), Description: "Chat room of the platform team", Events: []string{"deploy.*"}},
		{URL: sender.NewURL(bad.URL + "/payments"), Description: "Payments", Header: sender.NewHeader(http.Header{"X-Team": {"<b>payments</b>"}})},
		{URL: sender.NewURL(good.URL + "/archive"), Description: "Archive <script>alert('description')</script>", Events: []string{"deploy.live"}},
	} {
		made, _, err := shop.CreateEndpoint(t.Context(), e)
		require.NoError(t, err)
		if e.Header.IsZero() {
			continue
		}
		c.Failing = made.ID
	}
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
