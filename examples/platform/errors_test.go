package main

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestErrorsOfTheAPI(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), nil)
	require.NotNil(t, p.api, p.output())
	p.must(http.StatusOK, "PUT", "/webhooks/apps/shop", "", nil)
	p.must(http.StatusOK, "PUT", "/webhooks/apps/blog", "", nil)
	p.must(http.StatusOK, "PUT", "/webhooks/apps/Shop!", "", nil) // the outbox allows more names
	p.begin("sick", "")

	for _, c := range []struct {
		method, path, body string
		status             int
		code, field, says  string
	}{
		{"POST", "/apps/shop/tokens", `{"name":"Shop!"}`, 422, "fields_invalid", "name", "lower-case"},
		{"POST", "/apps/shop/tokens", `{"name":"a","name":"b"}`, 400, "json_invalid", "", ""},
		{"POST", "/apps/shop/tokens", `{"nmae":"ci"}`, 422, "fields_invalid", "nmae", "no such member"},
		{"POST", "/apps/shop/tokens", `{"name":7}`, 422, "fields_invalid", "name", "wrong kind"},
		{"POST", "/apps/shop/tokens", `[]`, 400, "not_an_object", "", ""},
		{"POST", "/apps/shop/tokens", `{"name":"` + strings.Repeat("x", 70_000) + `"}`, 413, "body_too_large", "", "over 65536 bytes"},
		{"POST", "/apps/nosuch/tokens", `{"name":"ci"}`, 404, "unknown_app", "", ""},
		{"DELETE", "/apps/shop/tokens/nosuch", "", 404, "not_found", "", ""},
		{"POST", "/apps/nosuch/deployments", `{"source":"hello"}`, 404, "unknown_app", "", "no such app"},
		{"POST", "/apps/Shop!/deployments", `{"source":"hello"}`, 404, "unknown_app", "", "no such app"},
		{"POST", "/apps/nosuch/rollback", "", 404, "unknown_app", "", ""},
		{"GET", "/apps/nosuch/deployments", "", 404, "unknown_app", "", ""},
		{"GET", "/apps/shop/deployments?cursor=zzz", "", 422, "fields_invalid", "cursor", "not a cursor returned by this list"},
		{"GET", "/apps/shop/deployments?limit=0", "", 422, "fields_invalid", "limit", "1 to 200"},
		{"GET", "/apps/shop/deployments/nosuch", "", 404, "not_found", "", ""},
		{"POST", "/apps/shop/deployments", `{"source":"worm"}`, 422, "fields_invalid", "source", "no such program"},
		{"POST", "/apps/shop/deployments", `{"source":"hello","health_timeout_seconds":-1}`, 422, "fields_invalid", "health_timeout_seconds", "up to 3600"},
		{"POST", "/apps/shop/deployments", `{"source":"hello","watch_seconds":1e300}`, 422, "fields_invalid", "watch_seconds", "up to 3600"},
		{"POST", "/apps/blog/deployments", `{"source":"hello","commit":{"sha":"zzz"}}`, 422, "fields_invalid", "commit.sha", ""},
		{"POST", "/apps/shop/deployments", `{"source":"hello"}`, 409, "busy", "", "in progress"},
		{"POST", "/apps/shop/rollback", `{}`, 409, "busy", "", "in progress"},
		// of the mounted API, with the platform's formats, networks and prefix
		{"POST", "/webhooks/apps/shop/endpoints", `{"url":"http://10.0.0.1/hook"}`, 422, "fields_invalid", "url", ""},
		{"POST", "/webhooks/apps/shop/endpoints", `{"url":"https://user:hunter2@127.0.0.1/"}`, 422, "fields_invalid", "url", ""},
		{"POST", "/webhooks/apps/shop/endpoints", `{"url":"http://127.0.0.1:9/a","body_format":"fax"}`, 422, "fields_invalid", "body_format", ""},
		{"GET", "/webhooks/nosuch", "", 404, "unknown_path", "", ""},
	} {
		var answer struct {
			Code, Detail string
			Status       int
			Errors       []fieldFault
		}
		status, text := p.call(c.method, c.path, c.body)
		name := c.method + " " + c.path + " " + c.body[:min(len(c.body), 80)]
		require.NoError(t, decode(text, &answer), "%s: %s", name, text)
		assert.Equal(t, c.status, status, "%s: %s", name, text)
		assert.Equal(t, c.status, answer.Status, "%s: %s", name, text)
		assert.Equal(t, c.code, answer.Code, "%s: %s", name, text)
		assert.Contains(t, text, c.says, name)
		assert.NotContains(t, text, "hunter2")
		assert.NotRegexp(t, `AllowNetworks|With[A-Z]|Insecure|10\.0\.0\.1|outbox:|sender:`, text, name)
		if c.field != "" && assert.NotEmpty(t, answer.Errors, "%s: %s", name, text) {
			assert.Equal(t, c.field, answer.Errors[0].Field, name)
		}
	}
	for _, format := range []string{"envelope", "slack", "discord", "teams", "periscope", "cdevents"} {
		p.must(http.StatusCreated, "POST", "/webhooks/apps/shop/endpoints", `{"url":"http://127.0.0.1:9/`+format+`","body_format":"`+format+`"}`, nil)
	}
	status, _ := p.call("GET", "/apps/shop/live/", "")
	assert.Equal(t, http.StatusServiceUnavailable, status)
	resp, err := p.api.http.Get(p.api.base + "/apps/shop/live/")
	require.NoError(t, err)
	_ = resp.Body.Close()
	assert.Contains(t, resp.Header.Get("Content-Security-Policy"), "sandbox", "a customer's page must have another origin than the API")
	// while stopping, the queue may complain about a slow database
	require.NotContains(t, p.output(), "level=ERROR")
	require.Zero(t, p.stop(syscall.SIGTERM))
}

// Requests that never arrive as a whole do not hold the connection forever.
func TestReadTimeout(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), []string{"PLATFORM_API_TOKEN=" + apiToken}, "-read-timeout", "200ms")
	require.NotNil(t, p.api, p.output())
	const body = "Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{"
	const credentials = "Authorization: Bearer " + apiToken + "\r\n"
	for request, want := range map[string]string{
		"":                         "",
		"POST /apps/shop/tokens H": "HTTP/1.1 400 ",
		"POST /apps/shop/tokens HTTP/1.1\r\nHost: localhost\r\n":                                  "",
		"POST /apps/shop/tokens HTTP/1.1\r\nHost: localhost\r\n" + body:                           "HTTP/1.1 401 ",
		"POST /apps/shop/tokens HTTP/1.1\r\nHost: localhost\r\n" + credentials + body:             "body_timeout",
		"POST /webhooks/apps/shop/endpoints HTTP/1.1\r\nHost: localhost\r\n" + body:               "HTTP/1.1 401 ",
		"POST /webhooks/apps/shop/endpoints HTTP/1.1\r\nHost: localhost\r\n" + credentials + body: "body_timeout",
		"POST /apps/shop/live/ HTTP/1.1\r\nHost: localhost\r\n" + body:                            "HTTP/1.1 503 ",
	} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(p.api.base, "http://"))
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
		_, err = io.WriteString(conn, request)
		require.NoError(t, err)
		answer, err := io.ReadAll(conn)
		require.NoError(t, err, "the platform closes it: %s", request)
		require.Contains(t, string(answer), want, request)
	}
	require.Zero(t, p.stop(syscall.SIGTERM))
}

// Without an operator's token any client on this machine may call the API,
// except web pages in its browser.
func TestAPI_RefusesPagesInABrowser(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), nil)
	require.NotNil(t, p.api, p.output())
	p.must(http.StatusOK, "PUT", "/webhooks/apps/shop", "", nil)
	at, err := url.Parse(p.api.base)
	require.NoError(t, err)
	for _, c := range []struct {
		name, code string
		change     func(*http.Request)
	}{
		{"another site's form", "cross_origin", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }},
		{"an old browser", "cross_origin", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }},
		{"a plain body", "content_type", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }},
		{"DNS rebinding", "forbidden", func(r *http.Request) { r.Host = "evil.example:" + at.Port() }},
		{"a client", "", func(*http.Request) {}},
	} {
		for path, body := range map[string]string{
			"/apps/shop/tokens": `{"name":"ci"}`, "/webhooks/apps/shop/endpoints": `{"url":"http://127.0.0.1:9/hook"}`,
		} {
			r, err := http.NewRequestWithContext(t.Context(), "POST", p.api.base+path, strings.NewReader(body))
			require.NoError(t, err)
			r.Header.Set("Content-Type", "application/json")
			c.change(r)
			resp, err := p.api.http.Do(r)
			require.NoError(t, err)
			var answer struct{ Code string }
			text, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.NoError(t, decode(string(text), &answer), "%s", text)
			assert.Equal(t, c.code, answer.Code, c.name)
		}
	}
	require.Zero(t, p.stop(syscall.SIGTERM))
}

// Visitors of apps need no token, and apps never see one of the platform.
func TestToken_IsHiddenFromApps(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), []string{"PLATFORM_API_TOKEN=" + apiToken}, "-addr", "0.0.0.0:0")
	require.NotNil(t, p.api, p.output())
	_, port, _ := strings.Cut(strings.TrimPrefix(p.api.base, "http://["), "]")
	p.api.base = "http://127.0.0.1" + port
	p.must(http.StatusOK, "PUT", "/webhooks/apps/shop", "", nil)
	p.as("").must(http.StatusOK, "GET", "/livez", "", nil)
	p.as("").must(http.StatusServiceUnavailable, "GET", "/apps/shop/live/", "", nil)
	for _, path := range []string{"/apps/shop/deployments", "/webhooks/apps"} {
		resp, err := p.api.http.Get(p.api.base + path)
		require.NoError(t, err)
		_ = resp.Body.Close()
		require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
		require.Equal(t, "Bearer", resp.Header.Get("WWW-Authenticate"))
	}
	p.deploy("hello", "v1")
	own := p.newToken("shop", "ci", false)
	for token, want := range map[string]string{
		apiToken: "hello from shop v1", own: "hello from shop v1", "a visitor's": "hello from shop v1, Bearer a visitor's",
	} {
		require.Equal(t, want, p.as(token).live(), "an app sees its visitors' credentials, but not the platform's")
	}
	for _, pid := range childrenOf(t, p.cmd.Process.Pid) {
		env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
		require.NoError(t, err)
		require.Contains(t, string(env), "VERSION=v1")
		require.NotContains(t, string(env), "PLATFORM_", "an app gets nothing of the platform's environment")
	}
	require.Zero(t, p.stop(syscall.SIGTERM))
	require.NotContains(t, p.output(), apiToken)
	require.NotContains(t, p.output(), own)
}

// An invalid ID is unknown, and is never passed to a database that would refuse
// it.
func TestAPI_InvalidIDs(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), []string{"PLATFORM_DATABASE=" + database(t), "PLATFORM_SEALING_KEY=" + newKey()})
	require.NotNil(t, p.api, p.output())
	p.must(http.StatusOK, "PUT", "/webhooks/apps/shop", "", nil)
	for _, text := range []string{"%00", "%ff", "dep_%00", "..%2f"} {
		for _, path := range []string{"/apps/shop/deployments/" + text, "/apps/" + text + "/deployments", "/webhooks/apps/shop/deliveries/" + text} {
			status, answer := p.call("GET", path, "")
			assert.Equal(t, http.StatusNotFound, status, "%s: %s", path, answer)
		}
		status, answer := p.call("DELETE", "/apps/shop/tokens/"+text, "")
		assert.Equal(t, http.StatusNotFound, status, "%s: %s", text, answer)
		status, answer = p.call("GET", "/apps/shop/deployments?cursor="+text, "")
		assert.Equal(t, http.StatusUnprocessableEntity, status, "%s: %s", text, answer)
		status, answer = p.as(tokenPrefix+text).call("GET", "/sources", "")
		assert.Equal(t, http.StatusUnauthorized, status, "%s: %s", text, answer)
	}
	// while stopping, the queue may complain about a slow database
	require.NotContains(t, p.output(), "level=ERROR")
	require.Zero(t, p.stop(syscall.SIGTERM))
}
