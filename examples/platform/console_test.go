package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// watched is the output of a demonstration that keeps running.
type watched struct {
	mu   sync.Mutex
	text bytes.Buffer
	line chan string // gets the address of the console
}

var lookAround = regexp.MustCompile(`Look around in (\S+),`)

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.text.Write(p)
	if m := lookAround.FindSubmatch(p); m != nil {
		w.line <- string(m[1])
	}
	return n, err
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// openConsole logs in as a customer, and returns the first page.
func openConsole(t *testing.T, address, app string) string {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	browser := &http.Client{Jar: jar, Transport: transport}
	login, err := browser.Get(address)
	require.NoError(t, err)
	text := body(t, login)
	require.Equal(t, "/console/login", login.Request.URL.Path)
	require.Contains(t, text, "customer: "+app)
	home, err := browser.PostForm(login.Request.URL.String(), url.Values{"app": {app}})
	require.NoError(t, err)
	text = body(t, home)
	require.Equal(t, http.StatusOK, home.StatusCode)
	require.Equal(t, "/console/apps/"+app, home.Request.URL.Path)
	return text
}

func body(t *testing.T, answer *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	return string(text)
}

// The login for development belongs to a loopback address. Its cookie is for
// the console alone, and no script can read it.
func TestConsole_Login(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), nil)
	require.NotNil(t, p.api, p.output())
	p.must(http.StatusOK, "PUT", "/webhooks/apps/shop", "", nil)
	require.Contains(t, openConsole(t, p.api.base+"/console/", "shop"), "No endpoints yet.")

	post := func(form, origin string) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), "POST", p.api.base+"/console/login", strings.NewReader(form))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", origin)
		answer, err := p.api.http.Transport.RoundTrip(r)
		require.NoError(t, err)
		_ = body(t, answer)
		return answer
	}
	operator := post("app=", p.api.base)
	require.Equal(t, http.StatusSeeOther, operator.StatusCode)
	cookie := operator.Cookies()[0]
	require.True(t, cookie.HttpOnly)
	require.Equal(t, http.SameSiteLaxMode, cookie.SameSite)
	require.Equal(t, "/console/", cookie.Path)
	require.Equal(t, http.StatusForbidden, post("app=", "https://evil.example").StatusCode)
	require.Equal(t, http.StatusNotFound, post("app=unknown", p.api.base).StatusCode)
	require.Zero(t, p.stop(syscall.SIGTERM))
}

// A platform with a token may be on a network, so it has no such login.
func TestConsole_NeedsTheToken(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), []string{"PLATFORM_API_TOKEN=" + apiToken})
	require.NotNil(t, p.api, p.output())
	for path, status := range map[string]int{"/console/": 401, "/console/login": 401, "/console/overview": 401} {
		answer, err := p.api.http.Get(p.api.base + path)
		require.NoError(t, err)
		require.NotContains(t, body(t, answer), "may only read")
		require.Equal(t, status, answer.StatusCode)
	}
	require.Zero(t, p.stop(syscall.SIGTERM))
}
