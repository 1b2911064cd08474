package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// goNames matches names of the Go API, which users of the command do not know.
var goNames = regexp.MustCompile(`\b(Allow|With|Insecure|Deny|New|Parse)[A-Z]\w+|Endpoint\.|Message\.|\b(sender|signer|payload|ci|context):|\bcontext\b`)

func TestErrors_NameFlagsAndNoGoIdentifiers(t *testing.T) {
	t.Parallel()
	answer := func(status int) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", map[int]string{503: "120"}[status])
			w.WriteHeader(status)
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	plain := answer(200)

	for name, c := range map[string]struct {
		env  env
		code int
		says string
	}{
		"wrong secret":         {env{"DEPLOYHOOK_URL": answer(401)}, 1, "gave up after 1 attempt: POST http://127.0.0.1:"},
		"no time for a retry":  {env{"DEPLOYHOOK_URL": answer(503), "DEPLOYHOOK_TIMEOUT": "60s"}, 1, "gave up after 1 attempt: the next retry would come after -timeout: POST"},
		"wrong path":           {env{"DEPLOYHOOK_URL": answer(404)}, 1, "404 Not Found; check the path of DEPLOYHOOK_URL"},
		"empty secret":         {env{"DEPLOYHOOK_SECRET": ""}, 2, "DEPLOYHOOK_SECRET is not set or empty; check the name of the secret in the CI system"},
		"http on this machine": {env{"DEPLOYHOOK_URL": "http://[::1]/", "DEPLOYHOOK_ALLOW_NETWORK": ""}, 2, "allow a private network with -allow-network ::1/128"},
		"gone":                 {env{"DEPLOYHOOK_URL": answer(410)}, 1, "the receiver accepts no more deliveries"},
		"no receiver":          {env{"DEPLOYHOOK_URL": "http://127.0.0.1:1", "DEPLOYHOOK_TIMEOUT": "3s"}, 1, "connection refused; check the host and the port of DEPLOYHOOK_URL"},
		"unknown certificate":  {env{"DEPLOYHOOK_URL": secure.URL, "DEPLOYHOOK_TIMEOUT": "3s"}, 1, "set SSL_CERT_FILE to its file"},
		"no TLS":               {env{"DEPLOYHOOK_URL": strings.Replace(plain, "http:", "https:", 1), "DEPLOYHOOK_TIMEOUT": "3s"}, 1, "does not speak TLS"},
		"private by name":      {env{"DEPLOYHOOK_URL": "https://localhost/", "DEPLOYHOOK_ALLOW_NETWORK": ""}, 1, "is not public; to send to it, give -allow-network CIDR"},
		"http by name":         {env{"DEPLOYHOOK_URL": "http://localhost/", "DEPLOYHOOK_ALLOW_NETWORK": "10.0.0.0/8"}, 1, "is not public; to send to it, give -allow-network CIDR"},
		"private by address":   {env{"DEPLOYHOOK_URL": "https://10.0.0.1/"}, 2, "DEPLOYHOOK_URL: https://10.0.0.1 is not a public address; to send to it, give -allow-network 10.0.0.1/32"},
		"http":                 {env{"DEPLOYHOOK_URL": "http://hooks.example.com/", "DEPLOYHOOK_ALLOW_NETWORK": ""}, 2, "DEPLOYHOOK_URL: the URL is http, not https"},
		"http by address":      {env{"DEPLOYHOOK_URL": "http://8.8.8.8/"}, 2, "is in no network that -allow-network allows for http"},
		"password":             {env{"DEPLOYHOOK_URL": "https://u:canary@hooks.example.com/"}, 2, "must not contain a user name or a password"},
		"fragment":             {env{"DEPLOYHOOK_URL": "https://hooks.example.com/#canary"}, 2, "DEPLOYHOOK_URL: the URL must not have a fragment"},
		"no URL":               {env{"DEPLOYHOOK_URL": "hooks.example.com"}, 2, "DEPLOYHOOK_URL: the URL must be an absolute URL"},
		"literal secret":       {env{"DEPLOYHOOK_SECRET": "a-canary-literal-secret"}, 2, "DEPLOYHOOK_SECRET with -scheme standard: lacks the whsec_ prefix; any other text is a secret for -scheme timestamped"},
		"short secret":         {env{"DEPLOYHOOK_SECRET": "canary", "DEPLOYHOOK_SCHEME": "stripe"}, 2, "DEPLOYHOOK_SECRET with -scheme stripe: 6 bytes; want at least 16"},
		"bad API key":          {env{"DEPLOYHOOK_SECRET": "", "DEPLOYHOOK_API_KEY": "canary canary canary"}, 2, "DEPLOYHOOK_API_KEY with -scheme bearer"},
		"mixed network":        {env{"DEPLOYHOOK_ALLOW_NETWORK": "::ffff:10.0.0.0/90"}, 2, `DEPLOYHOOK_ALLOW_NETWORK "::ffff:10.0.0.0/90": want a CIDR`},
		"huge message":         {env{"DEPLOYHOOK_URL": plain, "DEPLOYHOOK_METADATA": "note=" + strings.Repeat("x", 2<<20)}, 2, "the message is over the limit"},
		"metadata":             {env{"DEPLOYHOOK_METADATA": "note=\xff"}, 2, `DEPLOYHOOK_METADATA "note":`},
		"no environment":       {env{"DEPLOYHOOK_ENVIRONMENT": ""}, 2, "give -environment (or set DEPLOYHOOK_ENVIRONMENT)"},
		"name behind a proxy":  {env{"DEPLOYHOOK_URL": "https://name.invalid/", "DEPLOYHOOK_PROXY": "http://127.0.0.1:1", "DEPLOYHOOK_TIMEOUT": "3s"}, 1, "the host must resolve in the job, even with a proxy"},
		"bad proxy":            {env{"DEPLOYHOOK_PROXY": "socks5://u:canary@10.0.0.1"}, 2, "DEPLOYHOOK_PROXY: want env, or http:// or https://"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := with(with(githubPush(), target("https://hooks.example.com/")), env{"DEPLOYHOOK_ENVIRONMENT": "production"})
			code, _, stderr := inProcess(with(e, c.env), "-status", "success")
			require.Equal(t, c.code, code, stderr)
			require.Contains(t, stderr, c.says)
			require.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
			require.NotRegexp(t, goNames, stderr)
			require.NotContains(t, stderr, "canary")
		})
	}
}

// TestRedirect_ReportedAndNotRetried has time for a retry.
func TestRedirect_ReportedAndNotRetried(t *testing.T) {
	t.Parallel()
	for location, says := range map[string]string{
		"/canary-elsewhere":                  "it redirects to another path of the same host, and redirects are never followed; give the new address with -url",
		"https://new.example/canary":         "it redirects to https://new.example, and redirects are never followed; give the new address with -url",
		"https://new.example/hook?k=canary":  "it redirects to the same path at https://new.example, and redirects are never followed",
		"https://u:canary@new.example/hook/": "redirects are never followed",
	} {
		var calls atomic.Int32
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusMovedPermanently)
		}))
		code, _, stderr := inProcess(with(githubPush(), target(server.URL+"/hook?k=canary")), "-environment", "production", "-status", "success")
		server.Close()
		require.Equal(t, 1, code, stderr)
		require.Contains(t, stderr, "gave up after 1 attempt: POST "+server.URL+": 301 Moved Permanently: ")
		require.Contains(t, stderr, says)
		require.NotContains(t, stderr, "canary")
		require.EqualValues(t, 1, calls.Load(), location)
	}
}

// The URL or its query may be a credential.
func TestDryRun_ShowsNoCredential(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"event", "deployment", "cdevents"} {
		for _, url := range []string{
			"https://hooks.example.com/services/canary-path/x", "https://hooks.example.com/?token=canary-token", "https://hooks.example.com/%63anary-path",
		} {
			e := with(githubPush(), env{"DEPLOYHOOK_URL": url, "DEPLOYHOOK_SECRET": secretText})
			code, stdout, stderr := inProcess(e, "-environment", "production", "-status", "success", "-dry-run", "-format", format)
			require.Equal(t, 0, code, stderr)
			require.Contains(t, stdout, `"url":"https://hooks.example.com",`)
			require.NotContains(t, stdout+stderr, "anary", "neither in one spelling nor in another")
			require.NotContains(t, stdout+stderr, strings.TrimPrefix(secretText, "whsec_"))
		}
	}
}

// The values of the CI system that were not used are printed.
func TestDryRun_PrintsUnusedValues(t *testing.T) {
	t.Parallel()
	code, _, stderr := inProcess(with(with(githubPush(), hook()), env{"GITHUB_SHA": "not-hex"}),
		"-environment", "production", "-status", "success", "-dry-run")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stderr, "deploynotify: note: commitSha: GITHUB_SHA is not a commit")
	require.Contains(t, stderr, "deploynotify: note: deploymentId: GITHUB_JOB is the same in all legs of a matrix")
}

// connecting is a forward proxy that connects every request to one address.
func connecting(t *testing.T, to, password string) (address string, asked *atomic.Value) {
	t.Helper()
	asked = &atomic.Value{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.Method + " " + r.Host)
		probe := &http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
		if _, given, _ := probe.BasicAuth(); given != password {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		out, err := net.Dial("tcp", to)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer out.Close()
		in, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer in.Close()
		_, _ = io.WriteString(in, "HTTP/1.1 200 Connection established\r\n\r\n")
		go func() { _, _ = bufio.NewReader(buffered).WriteTo(out) }()
		_, _ = io.Copy(in, out)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), asked
}

// Runs the program as a process, with a real environment. The addresses are
// reserved for documentation, so none of them answers.
func TestProxy_IsUsedWhenAskedFor(t *testing.T) {
	t.Parallel()
	got := receive(t, nil)
	host := strings.TrimPrefix(got.url, "http://")
	proxy, asked := connecting(t, host, "")
	guarded, askedGuarded := connecting(t, host, "canary-password")
	e := with(with(githubPush(), target("http://192.0.2.1:8080/events")), env{"DEPLOYHOOK_ALLOW_NETWORK": "192.0.2.0/24"})
	args := []string{"-environment", "production", "-status", "success", "-timeout", "60s"}
	for name, c := range map[string]struct {
		env   env
		args  []string
		asked *atomic.Value
	}{
		"-proxy URL":       {env{}, []string{"-proxy", "http://" + proxy}, asked},
		"DEPLOYHOOK_PROXY": {env{"DEPLOYHOOK_PROXY": "http://u:canary-password@" + guarded}, nil, askedGuarded},
		"-proxy env":       {env{"HTTP_PROXY": "http://u:canary-password@" + guarded}, []string{"-proxy", "env"}, askedGuarded},
		"-proxy env wins":  {env{"DEPLOYHOOK_PROXY": "http://127.0.0.1:1", "http_proxy": "http://" + proxy}, []string{"-proxy", "env"}, asked},
	} {
		c.asked.Store("")
		code, _, stderr := program(t, with(with(env{}, e), c.env), append(args, c.args...)...)
		require.Equal(t, 0, code, "%s: %s", name, stderr)
		require.Equal(t, "CONNECT 192.0.2.1:8080", c.asked.Load(), name)
		require.NotContains(t, stderr, "canary")
	}
	events, _, _ := got.all()
	require.Len(t, events, 4)

	asked.Store("")
	code, _, stderr := program(t, with(with(env{}, e), env{"DEPLOYHOOK_URL": got.url + "/events", "DEPLOYHOOK_ALLOW_NETWORK": "127.0.0.0/8", "HTTP_PROXY": "http://" + proxy}), args...)
	require.Equal(t, 0, code, stderr)
	require.Equal(t, "", asked.Load(), "without -proxy none is used")

	code, _, stderr = program(t, with(with(env{}, e), env{}), append(args, "-proxy", "http://u:canary-password@"+guarded)...)
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "-proxy: other users of the machine can read the password in a flag; set DEPLOYHOOK_PROXY instead")
	require.NotContains(t, stderr, "canary")
}

// The variable is named only if no receiver answered.
func TestProxy_IgnoredVariableIsNamed(t *testing.T) {
	t.Parallel()
	unauthorized := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	t.Cleanup(unauthorized.Close)
	proxy := &url.URL{Scheme: "http", User: url.UserPassword("u", "canary"), Host: "127.0.0.1:1"}
	through := func(*http.Request) (*url.URL, error) { return proxy, nil }
	for name, c := range map[string]struct {
		url, variable string
		proxy         func(*http.Request) (*url.URL, error)
		says          string // "" if none is named
		args          []string
	}{
		"https":                 {"https://127.0.0.1:1", "HTTPS_PROXY", through, "HTTPS_PROXY is set but ignored; to use it, give -proxy env", nil},
		"http":                  {"http://127.0.0.1:1", "http_proxy", through, "http_proxy is set but ignored; to use it, give -proxy env", nil},
		"not for this host":     {"http://127.0.0.1:1", "http_proxy", func(*http.Request) (*url.URL, error) { return nil, nil }, "", nil},
		"a proxy that is used":  {"http://127.0.0.1:1", "http_proxy", through, "", []string{"-proxy", "env"}},
		"a receiver that spoke": {unauthorized.URL, "http_proxy", through, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := with(with(githubPush(), target(c.url)), env{c.variable: "http://u:canary@127.0.0.1:1"})
			var errs bytes.Buffer
			code := run(t.Context(), append([]string{"-environment", "production", "-status", "success", "-timeout", "3s"}, c.args...), system{
				getenv: func(name string) string { return e[name] }, files: fstest.MapFS{}, proxy: c.proxy,
				git:    func(context.Context, ...string) (string, error) { return "", errors.New("no git") },
				stdout: io.Discard, stderr: &errs,
			})
			require.Equal(t, 1, code)
			require.Contains(t, errs.String(), c.says)
			require.Equal(t, c.says != "", strings.Contains(errs.String(), "is set but ignored"), errs.String())
			require.NotContains(t, errs.String(), "canary")
		})
	}
}
