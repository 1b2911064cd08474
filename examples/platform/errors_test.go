package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/examples/platform/internal/engine"
)

func TestErrorsOfTheAPI(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), nil)
	require.NotNil(t, p.api, p.output())
	p.must(http.StatusCreated, "POST", "/apps", `{"name":"shop"}`, nil)
	p.must(http.StatusOK, "POST", "/apps", `{"name":"shop"}`, nil)
	var created struct{ Endpoint endpoint }
	p.must(http.StatusCreated, "POST", "/apps/shop/endpoints", `{"url":"http://127.0.0.1:9/hook"}`, &created)
	at := "/apps/shop/endpoints/" + created.Endpoint.ID
	var slow engine.Deployment
	p.must(http.StatusAccepted, "POST", "/apps/shop/deployments", `{"source":"sick"}`, &slow)

	for _, c := range []struct {
		method, path, body string
		status             int
		field, says        string
	}{
		{"POST", "/apps", `{"name":"Shop!"}`, 422, "name", "lower-case"},
		{"POST", "/apps", `{"name":"a","name":"b"}`, 400, "", "not valid JSON"},
		{"POST", "/apps", `{"nmae":"shop"}`, 400, "nmae", "no such member"},
		{"POST", "/apps", `{"name":7}`, 400, "name", "wrong kind"},
		{"POST", "/apps", `[]`, 400, "", "must be a JSON object"},
		{"POST", "/apps", `{"name":"` + strings.Repeat("x", 70_000) + `"}`, 413, "", "over 65536 bytes"},
		{"POST", "/apps/nosuch/endpoints", `{"url":"https://example.com/"}`, 404, "", "no such app"},
		{"POST", "/apps/nosuch/deployments", `{"source":"hello"}`, 404, "", "no such app"},
		{"GET", "/apps/nosuch/deliveries", "", 404, "", "no such app"},
		{"GET", "/apps/nosuch/deployments", "", 404, "", "no such app"},
		{"POST", "/apps/shop/endpoints", `{}`, 422, "url", ""},
		{"POST", "/apps/shop/endpoints", `{"url":"http://127.0.0.1:9/hook"}`, 409, "", "with this URL already"},
		{"POST", "/apps/shop/endpoints", `{"url":"http://10.0.0.1/hook"}`, 422, "url", "does not resolve to an address that"},
		{"POST", "/apps/shop/endpoints", `{"url":"https://user:hunter2@127.0.0.1/"}`, 422, "url", ""},
		{"POST", "/apps/shop/endpoints", `{"url":"http://127.0.0.1:9/a","format":"fax"}`, 422, "format", ""},
		{"POST", "/apps/shop/endpoints", `{"url":"http://127.0.0.1:9/a","scheme":"rot13"}`, 422, "scheme", ""},
		{"POST", "/apps/shop/endpoints", `{"url":"http://127.0.0.1:9/a","secret":"hunter2"}`, 422, "secret", ""},
		{"POST", "/apps/shop/endpoints", `{"url":"http://127.0.0.1:9/a","events":["de*loy"]}`, 422, "events", ""},
		{"POST", "/apps/shop/endpoints", `{"url":"http://127.0.0.1:9/a","headers":{"x-a":"1","X-A":"2"}}`, 422, "headers", "X-A is given twice"},
		{"POST", "/apps/shop/endpoints", `{"url":"http://127.0.0.1:9/a","timeout_seconds":1e300}`, 422, "timeout_seconds", "up to 30"},
		{"PATCH", at, `{"timeout_seconds":-1e300}`, 422, "timeout_seconds", "up to 30"},
		{"GET", "/apps/shop/deployments?cursor=zzz", "", 422, "cursor", "not a cursor returned by this list"},
		{"POST", "/apps/shop/replay", `{"deployment_id":"\u0000"}`, 422, "filter", "nothing can match"},
		{"GET", "/apps/shop/endpoints/nosuch", "", 404, "", "no such endpoint"},
		{"PATCH", "/apps/shop/endpoints/nosuch", `{"description":"x"}`, 404, "", "no such endpoint"},
		{"PATCH", at, `{"scheme":"none"}`, 400, "scheme", "no such member"},
		{"POST", at + "/rotate", `{"grace_seconds":-1}`, 422, "grace_seconds", ""},
		{"POST", "/apps/shop/deployments", `{"source":"worm"}`, 422, "source", "no such program"},
		{"POST", "/apps/shop/deployments", `{"source":"hello","health_timeout_seconds":-1}`, 422, "health_timeout_seconds", "up to 3600"},
		{"POST", "/apps/shop/deployments", `{"source":"hello","watch_seconds":1e300}`, 422, "watch_seconds", "up to 3600"},
		{"POST", "/apps/shop/deployments", `{"source":"hello"}`, 409, "", "in progress"},
		{"POST", "/apps/shop/rollback", `{}`, 409, "", "in progress"},
		{"GET", "/deployments/nosuch", "", 404, "", "not found"},
		{"GET", "/apps/shop/deliveries/nosuch", "", 404, "", "no such delivery"},
		{"GET", "/apps/shop/deliveries/nosuch/attempts", "", 404, "", "no such delivery"},
		{"POST", "/apps/shop/deliveries/nosuch/replay", "", 404, "", "no such delivery"},
		{"GET", "/apps/shop/replays/nosuch", "", 404, "", "no such replay"},
		{"GET", "/apps/shop/deliveries?state=lost", "", 422, "state", ""},
		{"GET", "/apps/shop/deliveries?cursor=x", "", 422, "cursor", ""},
		{"GET", "/apps/shop/deliveries?limit=0", "", 400, "limit", "1 to 200"},
		{"GET", "/apps/shop/deliveries?since=yesterday", "", 400, "since", "want a time"},
		{"POST", "/apps/shop/replay", `{"rate_per_second":-1}`, 422, "rate_per_second", ""},
		{"POST", "/apps/shop/replay", `{"state":"pending"}`, 422, "state", ""},
		{"GET", "/nosuch", "", 404, "", "no such path"},
		{"DELETE", "/apps", "", 405, "", "GET, HEAD, POST"},
	} {
		var answer struct {
			Error  string
			Fields []fieldError
		}
		status, text := p.call(c.method, c.path, c.body)
		name := c.method + " " + c.path + " " + c.body[:min(len(c.body), 80)]
		require.NoError(t, decode(text, &answer), "%s: %s", name, text)
		assert.Equal(t, c.status, status, "%s: %s", name, text)
		assert.Contains(t, answer.Error, c.says, name)
		assert.NotContains(t, text, "hunter2")
		assert.NotRegexp(t, `AllowNetworks|With[A-Z]|Insecure|10\.0\.0\.1|outbox:|sender:`, text, name)
		if c.field != "" && assert.NotEmpty(t, answer.Fields, "%s: %s", name, text) {
			assert.Equal(t, c.field, answer.Fields[0].Field, name)
		}
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

// A body that never arrives does not hold the connection forever.
func TestBody_ThatNeverArrives(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), nil, "-read-timeout", "200ms")
	require.NotNil(t, p.api, p.output())
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.api.base, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = conn.Write([]byte("POST /apps HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"))
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Contains(t, string(answer), "HTTP/1.1 400 ")
	require.Contains(t, string(answer), "cannot read the body")
	require.Zero(t, p.stop(syscall.SIGTERM))
}

// Without a token any client on this machine may call the API, except web pages
// in its browser.
func TestAPI_RefusesPagesInABrowser(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), nil)
	require.NotNil(t, p.api, p.output())
	at, err := url.Parse(p.api.base)
	require.NoError(t, err)
	for name, change := range map[string]func(*http.Request){
		"another site's form": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"an old browser":      func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
		"a plain body":        func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
		"DNS rebinding":       func(r *http.Request) { r.Host = "evil.example:" + at.Port() },
		"":                    func(*http.Request) {},
	} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", p.api.base+"/apps", strings.NewReader(`{"name":"shop"}`))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		change(r)
		resp, err := p.api.http.Do(r)
		require.NoError(t, err)
		_ = resp.Body.Close()
		if name == "" {
			assert.Less(t, resp.StatusCode, 300)
		} else {
			assert.Contains(t, []int{http.StatusForbidden, http.StatusUnsupportedMediaType}, resp.StatusCode, name)
		}
	}
	require.Zero(t, p.stop(syscall.SIGTERM))
}

func TestToken(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), []string{"PLATFORM_API_TOKEN=" + apiToken}, "-addr", "0.0.0.0:0")
	require.NotNil(t, p.api, p.output())
	_, port, _ := strings.Cut(strings.TrimPrefix(p.api.base, "http://["), "]")
	p.api.base = "http://127.0.0.1" + port
	p.must(http.StatusOK, "GET", "/apps", "", nil)
	for _, token := range []string{"", "wrong", apiToken + "x", apiToken[1:]} {
		p.api.token = token
		for _, path := range []string{"/apps", "/apps/shop/deliveries", "/nosuch"} {
			p.must(http.StatusUnauthorized, "GET", path, "", nil)
		}
	}
	p.must(http.StatusOK, "GET", "/livez", "", nil)
	// visitors of apps have no token
	p.must(http.StatusServiceUnavailable, "GET", "/apps/shop/live/", "", nil)

	p.api.token = apiToken
	p.must(http.StatusCreated, "POST", "/apps", `{"name":"shop"}`, nil)
	p.deploy("hello", "v1")
	for token, want := range map[string]string{apiToken: "hello from shop v1", "a visitor's": "hello from shop v1, Bearer a visitor's"} {
		p.api.token = token
		require.Equal(t, want, p.live(), "an app sees its visitors' credentials, but not the platform's")
	}
	for _, pid := range childrenOf(t, p.cmd.Process.Pid) {
		env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
		require.NoError(t, err)
		require.Contains(t, string(env), "VERSION=v1")
		require.NotContains(t, string(env), "PLATFORM_", "an app gets nothing of the platform's environment")
	}
	require.Zero(t, p.stop(syscall.SIGTERM))
	require.NotContains(t, p.output(), apiToken)
}

// An invalid ID is unknown, and is never passed to a database that would refuse
// it.
func TestAPI_InvalidIDs(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), []string{"PLATFORM_DATABASE=" + database(t), "PLATFORM_SEALING_KEY=" + newKey()})
	require.NotNil(t, p.api, p.output())
	p.must(http.StatusCreated, "POST", "/apps", `{"name":"shop"}`, nil)
	for _, text := range []string{"%00", "%ff", "dep_%00", "..%2f"} {
		for _, path := range []string{
			"/deployments/" + text, "/apps/shop/endpoints/" + text, "/apps/shop/deliveries/" + text, "/apps/shop/deliveries/" + text + "/attempts",
			"/apps/shop/replays/" + text, "/apps/" + text + "/endpoints/ep_1", "/apps/" + text + "/endpoints", "/apps/" + text + "/deployments",
		} {
			status, answer := p.call("GET", path, "")
			assert.Equal(t, http.StatusNotFound, status, "%s: %s", path, answer)
		}
		for _, path := range []string{"/apps/shop/deployments?cursor=", "/apps/shop/deliveries?cursor="} {
			status, answer := p.call("GET", path+text, "")
			assert.Equal(t, http.StatusUnprocessableEntity, status, "%s: %s", path+text, answer)
		}
	}
	// while stopping, the queue may complain about a slow database
	require.NotContains(t, p.output(), "level=ERROR")
	require.Zero(t, p.stop(syscall.SIGTERM))
}

// The time limit for a body does not end a request that runs longer after its
// body has arrived.
func TestBody_LimitDoesNotEndTheRequest(t *testing.T) {
	t.Parallel()
	const limit = 100 * time.Millisecond
	server := httptest.NewServer((&platform{o: &options{read: limit}}).answer(func(r *http.Request) (int, any, error) {
		if _, err := read[struct{}](r); err != nil {
			return 0, nil, err
		}
		select {
		case <-r.Context().Done():
			return 0, nil, badRequest("ended: %v", r.Context().Err())
		case <-time.After(10 * limit):
			return http.StatusNoContent, nil, nil
		}
	}))
	t.Cleanup(server.Close)
	for _, body := range []string{"", "{}"} {
		t.Run("body "+body, func(t *testing.T) {
			t.Parallel()
			resp, err := server.Client().Post(server.URL, "application/json", strings.NewReader(body))
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, http.StatusNoContent, resp.StatusCode)
		})
	}
}
