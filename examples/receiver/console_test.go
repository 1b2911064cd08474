package main

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func text(t *testing.T, answer *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	return string(body)
}

// The console shows what was received, behind a login for development.
func TestConsole(t *testing.T) {
	t.Parallel()
	p := start(t, []string{"DEPLOYHOOK_API_KEYS=acme=" + apiKey}, "-store", "memory")
	require.NotEmpty(t, p.base, p.output())
	require.Contains(t, p.output(), "console="+p.base+"/console/")
	status, body := p.post("/api/webhooks/deployments", record, header("Authorization", "Bearer "+apiKey))
	require.Equal(t, http.StatusCreated, status, body)
	status, _ = p.post("/api/webhooks/deployments", record, header("Authorization", "Bearer wrong"))
	require.Equal(t, http.StatusUnauthorized, status)

	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	browser := &http.Client{Jar: jar, Transport: transport}
	login, err := browser.Get(p.base + "/console/")
	require.NoError(t, err)
	require.Contains(t, text(t, login), "may only read")
	require.Equal(t, "/console/login", login.Request.URL.Path)
	home, err := browser.PostForm(p.base+"/console/login", url.Values{})
	require.NoError(t, err)
	require.Equal(t, "/console/recent", home.Request.URL.Path)
	require.Contains(t, text(t, home), "The API key was missing or unknown.")
	for path, want := range map[string]string{"deployments": "api", "metrics": "api", "orgs/acme/metrics/report?service=api&environment=production": "Change fail rate"} {
		page, err := browser.Get(p.base + "/console/" + path)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, page.StatusCode)
		require.Contains(t, text(t, page), want)
	}
	require.Zero(t, p.stop(), p.output())
}

// The login refuses other sites and names that only lead to this machine. Its
// cookie is for the console alone, and no script can read it.
func TestConsole_Login(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "-store", "memory")
	require.NotEmpty(t, p.base, p.output())
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	send := func(method, path, origin, host string) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), method, p.base+path, strings.NewReader(""))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		r.Host = host
		answer, err := transport.RoundTrip(r)
		require.NoError(t, err)
		_ = text(t, answer)
		return answer
	}
	good := send("POST", "/console/login", p.base, "")
	require.Equal(t, http.StatusSeeOther, good.StatusCode)
	cookie := good.Cookies()[0]
	require.True(t, cookie.HttpOnly)
	require.Equal(t, http.SameSiteLaxMode, cookie.SameSite)
	require.Equal(t, "/console/", cookie.Path)
	require.Equal(t, http.StatusForbidden, send("POST", "/console/login", "https://evil.example", "").StatusCode)
	for _, path := range []string{"/console/", "/console/login", "/console/recent"} {
		require.Equal(t, http.StatusForbidden, send("GET", path, "", "evil.example:8080").StatusCode)
	}
	require.Equal(t, http.StatusUnauthorized, send("POST", "/console/inbox/replay", p.base, "").StatusCode)
	require.Zero(t, p.stop())
}

// A receiver on a network has no such login, and so no console.
func TestConsole_LoopbackOnly(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"127.0.0.1:8080": true, "localhost:80": true, "[::1]:0": true, "127.8.0.1": true, ":8080": false, "0.0.0.0:80": false, "[::]:80": false,
		"10.0.0.1:80": false, "example.com:80": false, "": false, "localhost.evil.example:80": false,
	} {
		require.Equal(t, want, isLoopback(address), address)
	}
	p := start(t, nil, "-store", "memory", "-addr", "0.0.0.0:0")
	require.NotEmpty(t, p.base, p.output())
	require.Contains(t, p.output(), `console="not served, because -addr is not loopback"`)
	answer, err := http.Get("http://127.0.0.1" + p.base[strings.LastIndex(p.base, ":"):] + "/console/")
	require.NoError(t, err)
	_ = text(t, answer)
	require.Equal(t, http.StatusNotFound, answer.StatusCode)
	http.DefaultClient.CloseIdleConnections()
	require.Zero(t, p.stop())
}
