package main

import (
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

// A customer registers an endpoint, deploys, rolls back and sends missed
// deliveries again, on both databases and across a restart.
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
			endpoint := p.register(c, `,"header":{"X-Team":"canary-header-value"}`)
			token := p.newToken("shop", "ci", false)
			checkAccess(t, p, token)
			customer := p.as(token)
			checkDeployments(t, customer, c)
			checkReplay(t, customer, c)
			log := p.output()
			require.Zero(t, p.stop(syscall.SIGTERM), p.output())
			require.Contains(t, p.output(), "msg=stopped")

			// The next process has all data, and the app is live again.
			p = start(t, dir, env)
			require.NotNil(t, p.api, p.output())
			customer = p.as(token)
			require.True(t, assertEventually(func() bool { return customer.live() == "hello from shop v1" }), p.output())
			var page struct{ Items []delivery }
			customer.must(http.StatusOK, "GET", "/webhooks/apps/shop/deliveries?limit=200", "", &page)
			require.Len(t, page.Items, 4+2+4+1, "events of three deployments and a rollback")
			d := customer.deploy("hello", "v9")
			c.gets(d.ID, payload.DeployStarted, payload.BuildCompleted, payload.HealthCheckPassed, payload.DeployLive)
			require.Equal(t, "hello from shop v9", customer.live())
			require.Equal(t, "delivered", customer.testEndpoint(endpoint).State)

			p.must(http.StatusNoContent, "DELETE", "/apps/shop/tokens/ci", "", nil)
			customer.must(http.StatusUnauthorized, "GET", "/webhooks/apps/shop/deliveries", "", nil)
			require.Zero(t, p.stop(syscall.SIGTERM))
			checkNoSecrets(t, dir, log+p.output(), append(c.secrets, apiToken, token, "canary-in-the-url", "canary-header-value"))
		})
	}
}

// checkAccess requires that the platform's own operations and those of the
// mounted API obey the same tokens.
func checkAccess(t *testing.T, p *program, token string) {
	t.Helper()
	p.must(http.StatusOK, "PUT", "/webhooks/apps/blog", "", nil)
	blog, reader := p.newToken("blog", "ci", false), p.newToken("shop", "reader", true)
	for _, c := range []struct {
		method, path string
		// the codes that those get who may not, by their tokens
		codes map[string]string
	}{
		{"GET", "/sources", nil},
		{"GET", "/webhooks/event-types", nil},
		{"GET", "/metrics", map[string]string{token: "operators_only", reader: "operators_only", blog: "operators_only"}},
		{"GET", "/webhooks/apps", map[string]string{token: "operators_only", reader: "operators_only", blog: "operators_only"}},
		{"POST", "/apps/shop/tokens", map[string]string{token: "operators_only", reader: "operators_only", blog: "operators_only"}},
		{"DELETE", "/apps/shop/tokens/ci", map[string]string{token: "operators_only", reader: "operators_only", blog: "operators_only"}},
		{"GET", "/apps/shop/deployments", map[string]string{blog: "unknown_app"}},
		{"GET", "/apps/shop/deployments/dep_1", map[string]string{blog: "unknown_app"}},
		{"GET", "/webhooks/apps/shop/endpoints", map[string]string{blog: "unknown_app"}},
		{"POST", "/apps/shop/deployments", map[string]string{blog: "unknown_app", reader: "read_only"}},
		{"POST", "/apps/shop/rollback", map[string]string{blog: "unknown_app", reader: "read_only"}},
		{"POST", "/webhooks/apps/shop/endpoints", map[string]string{blog: "unknown_app", reader: "read_only"}},
	} {
		for _, who := range []string{"", "wrong", apiToken + "x", tokenPrefix + "wrong", token, reader, blog} {
			want, refused := c.codes[who]
			if !strings.HasPrefix(who, tokenPrefix) || strings.HasSuffix(who, "wrong") {
				want, refused = "unauthenticated", true
			}
			if !refused {
				continue
			}
			var answer struct{ Code string }
			status, text := p.as(who).call(c.method, c.path, "")
			require.NoError(t, decode(text, &answer), "%s %s: %s", c.method, c.path, text)
			require.Equal(t, want, answer.Code, "%s %s: %d", c.method, c.path, status)
		}
	}
	p.as(reader).must(http.StatusOK, "GET", "/webhooks/apps/shop/endpoints", "", nil)
	p.as(reader).must(http.StatusOK, "GET", "/apps/shop/deployments", "", nil)
	status, metrics := p.call("GET", "/metrics", "")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, metrics, `deployhook_service_ready{deployhook_check="outbox"`)
	p.must(http.StatusConflict, "POST", "/apps/shop/tokens", `{"name":"ci"}`, nil)
	p.must(http.StatusNotFound, "DELETE", "/apps/shop/tokens/nosuch", "", nil)
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
	status, text := p.call("POST", "/apps/shop/rollback", `{"reason":"prices are wrong","deployment_id":"`+good.ID+`"}`)
	require.Equal(t, http.StatusConflict, status, text)
	require.Contains(t, text, `"code":"not_live"`)
	p.must(http.StatusOK, "POST", "/apps/shop/rollback", `{"reason":"prices are wrong","deployment_id":"`+next.ID+`"}`, nil)
	c.getsType(payload.DeployRolledBack)
	require.Equal(t, "hello from shop v1", p.live())

	// Paging returns every deployment once.
	var ids []string
	for cursor := ""; ; {
		var page struct {
			Live  string `json:"live_version"`
			Items []struct{ ID string }
			Next  string
		}
		p.must(http.StatusOK, "GET", "/apps/shop/deployments?limit=2&cursor="+cursor, "", &page)
		require.Equal(t, "v1", page.Live)
		for _, d := range page.Items {
			ids = append(ids, d.ID)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	require.Equal(t, []string{next.ID, broken.ID, good.ID}, ids)
}

// checkReplay sends deliveries again. The receiver has had them already.
func checkReplay(t *testing.T, p *program, c *listener) {
	t.Helper()
	before := len(c.all())
	var replay struct {
		ID        string
		Complete  bool
		Delivered int
	}
	p.must(http.StatusAccepted, "POST", "/webhooks/apps/shop/replays", `{"filter":{"states":["delivered"],"type":"deploy.started"},"rate_per_second":100}`, &replay)
	require.True(t, assertEventually(func() bool {
		p.must(http.StatusOK, "GET", "/webhooks/apps/shop/replays/"+replay.ID, "", &replay)
		return replay.Complete && replay.Delivered == 3
	}), "%+v", replay)
	var page struct{ Items []delivery }
	p.must(http.StatusOK, "GET", "/webhooks/apps/shop/deliveries?type=deploy.started", "", &page)
	require.Len(t, page.Items, 3)
	for _, d := range page.Items {
		p.must(http.StatusOK, "GET", "/webhooks/apps/shop/deliveries/"+d.ID, "", &d)
		require.Equal(t, 2, d.Attempts)
		require.Len(t, d.Log, 2)
		require.JSONEq(t, `{"received":true,"duplicate":true}`, d.Log[1].Body)
		require.Contains(t, d.Body, `"delivery_id":"`+d.ID+`"`)
	}
	require.Len(t, c.all(), before, "they were handled before")
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
