package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
)

func decode(text string, out any) error {
	return json.Unmarshal([]byte(text), out, json.MatchCaseInsensitiveNames(true))
}

// Tests the whole API on both databases, across a restart.
func TestAPI(t *testing.T) {
	t.Parallel()
	for name, where := range map[string]func(*testing.T) string{
		"sqlite":   func(*testing.T) string { return "" },
		"postgres": database,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, c := t.TempDir(), listen(t)
			env := []string{"PLATFORM_SEALING_KEY=" + newKey(), "PLATFORM_API_TOKEN=" + apiToken, "PLATFORM_DATABASE=" + where(t)}
			p := start(t, dir, env)
			require.NotNil(t, p.api, p.output())
			endpointID := p.register(c, "")
			checkEndpoints(t, p, c, endpointID)
			checkDeployments(t, p, c)
			checkRotation(t, p, c, endpointID)
			checkReplay(t, p, c)
			log := p.output()
			require.Zero(t, p.stop(syscall.SIGTERM), p.output())
			require.Contains(t, p.output(), "msg=stopped")

			// The next process has all data, and the app is live again.
			p = start(t, dir, env)
			require.NotNil(t, p.api, p.output())
			require.True(t, assertEventually(func() bool { return p.live() == "hello from shop v1" }), p.output())
			var endpoints struct{ Endpoints []endpoint }
			p.must(http.StatusOK, "GET", "/apps/shop/endpoints", "", &endpoints)
			require.Len(t, endpoints.Endpoints, 1)
			var page struct{ Deliveries []delivery }
			p.must(http.StatusOK, "GET", "/apps/shop/deliveries?limit=200", "", &page)
			require.Len(t, page.Deliveries, 4+2+4+1+5, "events of three deployments and a rollback, and the tests of the endpoint")
			d := p.deploy("hello", "v9")
			c.gets(d.ID, payload.DeployStarted, payload.BuildCompleted, payload.HealthCheckPassed, payload.DeployLive)
			require.Equal(t, "hello from shop v9", p.live())
			p.must(http.StatusNoContent, "DELETE", "/apps/shop/endpoints/"+endpointID, "", nil)
			p.must(http.StatusNotFound, "GET", "/apps/shop/endpoints/"+endpointID, "", nil)
			require.Zero(t, p.stop(syscall.SIGTERM))
			checkNoSecrets(t, dir, log+p.output(), append(c.secrets, apiToken, "canary-in-the-url", "canary-header-value"))
		})
	}
}

func checkEndpoints(t *testing.T, p *program, c *listener, id string) {
	t.Helper()
	status, text := p.call("GET", "/apps/shop/endpoints", "")
	require.Equal(t, http.StatusOK, status)
	require.NotContains(t, text, "canary", "of a URL only scheme and host are shown")
	require.NotContains(t, text, "whsec_")
	require.Contains(t, text, id)
	require.NotContains(t, text, "rate_limit", "fields that are not set are omitted")

	var e endpoint
	p.must(http.StatusOK, "PATCH", "/apps/shop/endpoints/"+id, `{"description":"the shop's own","events":["deploy.*","build.*","health_check.passed"],"headers":{"X-Team":"canary-header-value"},"timeout_seconds":10,"metadata":{"team":"checkout"}}`, &e)
	require.Equal(t, "the shop's own", e.Description)
	require.Equal(t, []string{"X-Team"}, e.Headers)
	require.InDelta(t, 10, e.TimeoutSeconds, 0.001)
	require.Equal(t, map[string]string{"team": "checkout"}, e.Metadata)
	var url struct{ URL string }
	p.must(http.StatusOK, "GET", "/apps/shop/endpoints/"+id+"/url", "", &url)
	require.Contains(t, url.URL, "canary-in-the-url")

	p.must(http.StatusCreated, "POST", "/apps", `{"name":"blog"}`, nil)
	for _, path := range []string{"", "/url"} {
		p.must(http.StatusNotFound, "GET", "/apps/blog/endpoints/"+id+path, "", nil)
	}
	p.must(http.StatusNotFound, "DELETE", "/apps/blog/endpoints/"+id, "", nil)
	var own struct{ Endpoint endpoint }
	p.must(http.StatusCreated, "POST", "/apps/blog/endpoints", `{"url":"http://127.0.0.1:9/hook","disabled":true}`, &own)
	require.Equal(t, "disabled", own.Endpoint.State)
	p.must(http.StatusOK, "POST", "/apps/shop/endpoints/"+id+"/disable", `{"reason":"maintenance"}`, &e)
	require.Equal(t, "disabled", e.State)
	require.Equal(t, "maintenance", e.Reason)
	e = endpoint{}
	p.must(http.StatusOK, "POST", "/apps/shop/endpoints/"+id+"/enable", "", &e)
	require.Equal(t, "active", e.State)
	require.Empty(t, e.Reason)

	var test struct {
		Delivery delivery
		Attempt  attempt
	}
	p.must(http.StatusOK, "POST", "/apps/shop/endpoints/"+id+"/test", "", &test)
	require.Equal(t, "delivered", test.Delivery.State)
	require.Equal(t, 200, test.Attempt.Status)
	c.getsType("webhook.test")
}

func checkDeployments(t *testing.T, p *program, c *listener) {
	t.Helper()
	good := p.deploy("hello", "v1")
	require.Equal(t, payload.StatusSuccess, good.Status)
	c.gets(good.ID, payload.DeployStarted, payload.BuildCompleted, payload.HealthCheckPassed, payload.DeployLive)
	require.Equal(t, "hello from shop v1", p.live())

	broken := p.deploy("broken", "v2")
	require.Equal(t, payload.StatusFailure, broken.Status)
	require.Contains(t, broken.Error, "undefined: app")
	c.gets(broken.ID, payload.DeployStarted, payload.DeployFailed)
	require.Equal(t, "hello from shop v1", p.live())

	next := p.deploy("hello", "v3")
	c.gets(next.ID, payload.DeployStarted, payload.BuildCompleted, payload.HealthCheckPassed, payload.DeployLive)
	p.must(http.StatusOK, "POST", "/apps/shop/rollback", `{"reason":"prices are wrong"}`, nil)
	c.getsType(payload.DeployRolledBack)
	require.Equal(t, "hello from shop v1", p.live())

	// Paging returns every deployment once.
	var ids []string
	for cursor := ""; ; {
		var page struct {
			Deployments []struct{ ID string }
			Cursor      string
		}
		p.must(http.StatusOK, "GET", "/apps/shop/deployments?limit=2&cursor="+cursor, "", &page)
		for _, d := range page.Deployments {
			ids = append(ids, d.ID)
		}
		if cursor = page.Cursor; cursor == "" {
			break
		}
	}
	require.Equal(t, []string{next.ID, broken.ID, good.ID}, ids)
}

func checkRotation(t *testing.T, p *program, c *listener, id string) {
	t.Helper()
	var rotated struct{ Secret string }
	p.must(http.StatusOK, "POST", "/apps/shop/endpoints/"+id+"/rotate", `{"grace_seconds":3600}`, &rotated)
	require.NotEqual(t, c.secrets[0], rotated.Secret)
	verified := func(want string) {
		var test struct{ Delivery delivery }
		p.must(http.StatusOK, "POST", "/apps/shop/endpoints/"+id+"/test", "", &test)
		require.Equal(t, want, test.Delivery.State)
	}
	verified("delivered") // by the old secret, which is still in its grace period
	c.accept(rotated.Secret)
	verified("delivered") // by the new secret
	p.must(http.StatusOK, "POST", "/apps/shop/endpoints/"+id+"/rotate", `{"grace_seconds":0}`, &rotated)
	verified("failed") // the old secret is revoked at once
	c.accept(rotated.Secret)
	verified("delivered")
}

func checkReplay(t *testing.T, p *program, c *listener) {
	t.Helper()
	var page struct {
		Deliveries []delivery
		Cursor     string
	}
	seen := map[string]bool{}
	for cursor := ""; ; {
		page.Deliveries, page.Cursor = nil, ""
		p.must(http.StatusOK, "GET", "/apps/shop/deliveries?state=delivered&type=deploy.started&limit=1&cursor="+cursor, "", &page)
		for _, d := range page.Deliveries {
			require.False(t, seen[d.ID])
			seen[d.ID] = true
			require.Equal(t, "deploy.started", d.Type)
		}
		if cursor = page.Cursor; cursor == "" {
			break
		}
	}
	require.Len(t, seen, 3)
	for id := range seen {
		before := len(c.all())
		var d delivery
		p.must(http.StatusOK, "GET", "/apps/shop/deliveries/"+id, "", &d)
		require.Contains(t, d.Body, `"delivery_id":"`+id+`"`)
		p.must(http.StatusAccepted, "POST", "/apps/shop/deliveries/"+id+"/replay", "", nil)
		require.True(t, assertEventually(func() bool {
			p.must(http.StatusOK, "GET", "/apps/shop/deliveries/"+id, "", &d)
			return d.Attempts == 2 && d.State == "delivered"
		}))
		var log struct{ Attempts []attempt }
		p.must(http.StatusOK, "GET", "/apps/shop/deliveries/"+id+"/attempts", "", &log)
		require.Len(t, log.Attempts, 2)
		require.JSONEq(t, `{"received":true}`, log.Attempts[0].ResponseBody)
		require.NotContains(t, log.Attempts[0].RequestHeaders["X-Team"], "canary-header-value")
		require.Positive(t, log.Attempts[1].LatencyMS)
		// The receiver only knows the last secret now, so it accepts the event
		// once more, but not a third time.
		require.LessOrEqual(t, len(c.all()), before+1)
		break
	}
}

// checkNoSecrets looks for credentials in the log and in stored data.
func checkNoSecrets(t *testing.T, dir, log string, secrets []string) {
	t.Helper()
	stored := ""
	for _, name := range []string{"platform.db", "platform.db-wal"} {
		text, err := os.ReadFile(filepath.Join(dir, "platform-data", name))
		if err == nil {
			stored += string(text)
		}
	}
	for _, s := range secrets {
		assert.NotContains(t, log, s, "a secret in the log")
		assert.False(t, strings.Contains(stored, s), "a secret in the database: %.10s…", s)
		assert.False(t, strings.Contains(stored, strings.TrimPrefix(s, "whsec_")), "a secret in the database: %.10s…", s)
	}
}

// Events that an outage left undelivered are replayed with a rate limit and
// visible progress.
func TestReplay_ShowsProgress(t *testing.T) {
	t.Parallel()
	c := listen(t)
	p := start(t, t.TempDir(), nil, "-retry-scale", "0")
	require.NotNil(t, p.api, p.output())
	p.register(c, `,"schedule":"once"`)
	c.down.Store(true)
	ids := []string{p.deploy("hello", "v1").ID, p.deploy("hello", "v2").ID}
	failed := func() int {
		var page struct{ Deliveries []delivery }
		p.must(http.StatusOK, "GET", "/apps/shop/deliveries?state=failed", "", &page)
		return len(page.Deliveries)
	}
	require.True(t, assertEventually(func() bool { return failed() == 8 }), "%d failed", failed())
	c.down.Store(false)

	unblock := c.block()
	var r replay
	p.must(http.StatusAccepted, "POST", "/apps/shop/replay", `{"state":"failed","since":"2026-01-01T00:00:00Z","rate_per_second":20}`, &r)
	require.Equal(t, 8, r.Total)
	p.says(fmt.Sprintf("msg=replaying replay=%s done=0 total=8", r.ID))
	unblock()
	var done []int
	require.True(t, assertEventually(func() bool {
		p.must(http.StatusOK, "GET", "/apps/shop/replays/"+r.ID, "", &r)
		done = append(done, r.Done)
		return r.Finished
	}), "%+v", r)
	require.Equal(t, 8, r.Delivered)
	require.IsNonDecreasing(t, done)
	for _, id := range ids {
		c.gets(id, payload.DeployStarted, payload.BuildCompleted, payload.HealthCheckPassed, payload.DeployLive)
	}
	p.says(fmt.Sprintf("msg=replaying replay=%s done=8 total=8", r.ID))
	p.must(http.StatusAccepted, "POST", "/apps/shop/replays/"+r.ID+"/resume", "", &r)
	require.True(t, r.Finished)
	require.Zero(t, p.stop(syscall.SIGTERM))
}
