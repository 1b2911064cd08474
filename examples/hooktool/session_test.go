package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// listening is a process of "hooktool listen -json".
type listening struct {
	t     *testing.T
	cmd   *exec.Cmd
	out   *bufio.Scanner
	url   string
	lines []map[string]any
}

// listen starts the program on a free port.
func listen(t *testing.T, dir string, e env, args ...string) *listening {
	t.Helper()
	l := &listening{t: t, cmd: prepared(t, dir, e, append([]string{"listen", "-addr", "127.0.0.1:0", "-json"}, args...)...)}
	pipe, err := l.cmd.StdoutPipe()
	require.NoError(t, err)
	l.cmd.Stderr = os.Stderr
	require.NoError(t, l.cmd.Start())
	l.out = bufio.NewScanner(pipe)
	l.out.Buffer(nil, 1<<20)
	l.url = l.next()["url"].(string)
	return l
}

func (l *listening) next() map[string]any {
	l.t.Helper()
	require.True(l.t, l.out.Scan(), "the output ended")
	var m map[string]any
	require.NoError(l.t, json.Unmarshal(l.out.Bytes(), &m), l.out.Text())
	l.lines = append(l.lines, m)
	return m
}

// end reads the rest of the output and returns the exit status.
func (l *listening) end() int {
	l.t.Helper()
	for l.out.Scan() {
		var m map[string]any
		require.NoError(l.t, json.Unmarshal(l.out.Bytes(), &m), l.out.Text())
		l.lines = append(l.lines, m)
	}
	_ = l.cmd.Wait() // the exit status tells
	return l.cmd.ProcessState.ExitCode()
}

// local is a service behind the listener, which keeps what it gets.
type local struct {
	url string

	mu      sync.Mutex
	headers []http.Header
	bodies  []string
}

func newLocal(t *testing.T, status int, text string) *local {
	t.Helper()
	got := &local{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // a cut body fails the test later
		got.mu.Lock()
		got.headers, got.bodies = append(got.headers, r.Header.Clone()), append(got.bodies, string(body))
		got.mu.Unlock()
		w.Header().Set("X-Local", "yes")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text) // the client is gone
	}))
	t.Cleanup(server.Close)
	got.url = server.URL
	return got
}

// A whole deployment is sent, received, verified, recorded and forwarded. It is
// then replayed and verified from its files.
func TestSession_ListenTriggerReplayVerify(t *testing.T) {
	t.Parallel()
	dir, e := t.TempDir(), env{"HOOKTOOL_SECRET": standardSecret}
	service := newLocal(t, http.StatusAccepted, `{"received":true}`)
	l := listen(t, dir, e, "-record", "requests", "-forward", service.url, "-count", "10")

	r := program(t, dir, e, "trigger", "-url", l.url+"/hooks?env=prod", "-app", "shop", "-deployment-id", "dep_4711", "-json", "rolled-back")
	require.Equal(t, 0, r.code, r.stdout+r.stderr)
	sent := r.lines(t)
	require.Len(t, sent, 6)
	types := []string{"deploy.started", "build.completed", "health_check.passed", "deploy.live", "deploy.rolled_back"}
	for i, want := range types {
		require.Equal(t, want, sent[i]["event"])
		require.InDelta(t, http.StatusAccepted, sent[i]["status"], 0, "the answer of the local service comes back")
		in := l.next()
		require.Equal(t, want, in["event"])
		require.Equal(t, "authentic", in["result"])
		require.Equal(t, "dep_4711", in["deployment"])
		require.Equal(t, "shop", in["app"])
		require.Equal(t, "/hooks?env=prod", in["path"])
		require.Equal(t, sent[i]["delivery"], in["verification"].(map[string]any)["id"])
	}

	// The replay goes through the listener again, signed anew.
	files, err := filepath.Glob(filepath.Join(dir, "requests", "*.json"))
	require.NoError(t, err)
	require.Len(t, files, 5)
	r = program(t, dir, e, "replay", "-url", l.url, "-rate", "1000", "-json", "requests")
	require.Equal(t, 0, r.code, r.stdout+r.stderr)
	for i, line := range r.lines(t)[:5] {
		require.Equal(t, sent[i]["delivery"], line["delivery"], "the ID stays")
		require.InDelta(t, 5, line["total"], 0)
	}
	require.Equal(t, 0, l.end())
	require.Equal(t, map[string]any{"kind": "summary", "requests": 10.0, "faults": 0.0}, l.lines[len(l.lines)-1])

	for i := range 5 {
		require.Equal(t, service.bodies[i], service.bodies[i+5], "the same bytes")
		r = program(t, dir, e, "verify", files[i])
		require.Equal(t, 0, r.code, r.stdout+r.stderr)
		require.Contains(t, r.stdout, "result  authentic")
	}
}

// The local service gets the exact bytes and headers, and the sender its
// answer. The recorded file has the same bytes.
func TestListen_KeepsEveryByte(t *testing.T) {
	t.Parallel()
	service := newLocal(t, http.StatusTeapot, "short and stout")
	dir := t.TempDir()
	bodies := []string{"", "{}", "\ufeff{\"a\": 1}\r\n", "\x00\xff\xfe", "\u2028 <&> \\u00e7 ç", string(bytesOf(256))}
	l := listen(t, dir, nil, "-record", "r", "-forward", service.url, "-count", "6")
	for _, body := range bodies {
		r, err := http.NewRequest(http.MethodPut, l.url+"/a%20b", nil)
		require.NoError(t, err)
		r.Body, r.ContentLength = io.NopCloser(reader(body)), int64(len(body))
		r.Header = http.Header{"X-Twice": {"b", "a"}, "User-Agent": {"desk"}, "Authorization": {"Bearer canary"}, "Accept-Encoding": {"br"}}
		res, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, "short and stout", string(text))
		require.Equal(t, "yes", res.Header.Get("X-Local"))
	}
	require.Equal(t, 1, l.end(), "the service refused them")
	files, err := filepath.Glob(filepath.Join(dir, "r", "*.json"))
	require.NoError(t, err)
	require.Len(t, files, len(bodies))
	c := &call{}
	for i, body := range bodies {
		require.Equal(t, body, service.bodies[i])
		h := service.headers[i].Clone()
		delete(h, "Content-Length")
		require.Equal(t, http.Header{"X-Twice": {"b", "a"}, "User-Agent": {"desk"}, "Authorization": {"Bearer canary"}, "Accept-Encoding": {"br"}}, h)
		rec, err := c.readRecorded(t.Context(), files[i])
		require.NoError(t, err)
		require.Equal(t, body, string(rec.body()))
		require.Equal(t, "/a%20b", rec.URL)
		require.Equal(t, http.MethodPut, rec.Method)
		require.Equal(t, []string{"b", "a"}, rec.Header["X-Twice"])
		require.Equal(t, []string{redacted}, rec.Header["Authorization"])
		info, err := os.Stat(files[i])
		require.NoError(t, err)
		if runtime.GOOS != "windows" {
			require.Zero(t, info.Mode().Perm()&0o077)
		}
	}
}

func bytesOf(n int) (out []byte) {
	for i := range n {
		out = append(out, byte(i))
	}
	return out
}

// What is not authentic is explained, and reaches the service only on request.
func TestListen_RefusesAndExplains(t *testing.T) {
	t.Parallel()
	service := newLocal(t, http.StatusOK, "")
	good, bad := env{"HOOKTOOL_SECRET": standardSecret}, env{"HOOKTOOL_SECRET": otherSecret}
	l := listen(t, t.TempDir(), good, "-forward", service.url, "-count", "3")
	require.Equal(t, 1, program(t, t.TempDir(), bad, "trigger", "-url", l.url, "deploy.live").code)
	in := l.next()
	require.Equal(t, "REFUSED", in["result"])
	require.InDelta(t, http.StatusUnauthorized, in["answer"], 0)
	require.Equal(t, "secret-or-body", in["verification"].(map[string]any)["fault"])
	r := program(t, t.TempDir(), nil, "trigger", "-url", l.url, "deploy.live")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.stderr, "not signed")
	require.Equal(t, "no-signature", l.next()["verification"].(map[string]any)["fault"])
	require.Equal(t, 0, program(t, t.TempDir(), good, "trigger", "-url", l.url, "deploy.live").code)
	require.Equal(t, 1, l.end())
	require.Len(t, service.bodies, 1)

	all := listen(t, t.TempDir(), good, "-forward", service.url, "-forward-all", "-count", "1")
	require.Equal(t, 0, program(t, t.TempDir(), bad, "trigger", "-url", all.url, "deploy.live").code)
	require.Equal(t, 1, all.end())
	require.Len(t, service.bodies, 2)
}

// Every scheme that can sign reaches a listener that chooses it by the headers,
// and one that is told.
func TestTrigger_EachScheme(t *testing.T) {
	t.Parallel()
	for _, s := range schemes() {
		if s.name == "azure" || s.name == "body-only" || s.name == "httpsig" {
			continue // these need flags, see below
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			overTheWire(t, s, nil, nil)
		})
	}
	for name, flags := range map[string][]string{
		"azure": {"-user", "me"}, "body-only": {"-header", "X-Acme", "-signature-prefix", "v1=", "-base64"}, "httpsig": {"-key-id", "2026"},
		"timestamped": {"-header-prefix", "X-Temps"}, "bearer": {"-header", "X-Api-Key"}, "stripe": {"-header", "X-Acme-Signature"},
	} {
		t.Run(name+" with flags", func(t *testing.T) {
			t.Parallel()
			s, err := schemeNamed(name)
			require.NoError(t, err)
			overTheWire(t, s, flags, append([]string{"-scheme", name}, flags...))
		})
	}
}

func overTheWire(t *testing.T, s scheme, sending, listening []string) {
	t.Helper()
	secret := literalText
	if s.standard {
		secret = standardSecret
	}
	e := env{"HOOKTOOL_SECRET": secret}
	l := listen(t, t.TempDir(), e, append(listening, "-count", "1", "-source", "event")...)
	r := program(t, t.TempDir(), e, append([]string{"trigger", "-url", l.url, "-scheme", s.name, "deploy.live"}, sending...)...)
	require.Equal(t, 0, r.code, r.stdout+r.stderr)
	require.Equal(t, 0, l.end())
	require.Equal(t, "authentic", l.lines[1]["result"])
	require.NotContains(t, r.stdout+r.stderr, secret)
}

// A signal is the normal end of a listener, but not of one that counts.
func TestListen_EndsBySignal(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there is no SIGTERM")
	}
	l := listen(t, t.TempDir(), nil)
	require.NoError(t, l.cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(t, 0, l.end())
	l = listen(t, t.TempDir(), nil, "-count", "1")
	require.NoError(t, l.cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(t, 3, l.end())
	last := l.lines[len(l.lines)-1]
	require.Equal(t, "error", last["kind"])
	require.Contains(t, last["error"], "interrupted by a signal")
	l = listen(t, t.TempDir(), nil, "-count", "1", "-timeout", "10ms")
	require.Equal(t, 3, l.end())
	require.Contains(t, l.lines[len(l.lines)-1]["error"], "-timeout expired")
}

// A pause ends with the signal, and the output says how far it came. So does a
// request without an answer.
func TestTrigger_EndsBySignal(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("a process can't send an interrupt to another")
	}
	service := newLocal(t, http.StatusOK, "")
	for _, args := range [][]string{
		{"trigger", "-url", service.url, "-interval", "1h", "-json", "live"},
		{"replay", "-url", service.url, "-rate", "0.001", "-json", "requests"},
	} {
		dir := t.TempDir()
		require.NoError(t, os.Mkdir(filepath.Join(dir, "requests"), 0o700))
		for i := range 2 {
			_, err := signedRecord(t, "standard", standardSecret, schemeFlags{}).write(filepath.Join(dir, "requests"), i, "")
			require.NoError(t, err)
		}
		cmd := prepared(t, dir, env{"HOOKTOOL_SECRET": standardSecret}, args...)
		pipe, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		l := &listening{t: t, cmd: cmd, out: bufio.NewScanner(pipe)}
		require.Equal(t, "delivery", l.next()["kind"])
		require.NoError(t, cmd.Process.Signal(os.Interrupt))
		require.Equal(t, 3, l.end())
		require.Contains(t, l.lines[len(l.lines)-1]["error"], "interrupted by a signal")
		require.Contains(t, l.lines[len(l.lines)-1]["error"], "1 of ")
	}
	hang := make(chan struct{})
	arrived := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(hang) })
	cmd := prepared(t, t.TempDir(), nil, "trigger", "-url", server.URL, "deploy.live")
	require.NoError(t, cmd.Start())
	<-arrived
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	_ = cmd.Wait() // the exit status tells
	require.Equal(t, 3, cmd.ProcessState.ExitCode())
}

// Bodies also come from a template, a recorded request and other formats.
func TestTrigger_OtherBodies(t *testing.T) {
	t.Parallel()
	dir, e := t.TempDir(), env{"HOOKTOOL_SECRET": standardSecret}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "body.tmpl"), []byte(`{"kind":{{json .Event}},"name":{{json .App}}}`), 0o600))
	path, err := signedRecord(t, "standard", otherSecret, schemeFlags{}).write(dir, 1, "")
	require.NoError(t, err)
	l := listen(t, dir, e, "-count", "6")
	run := func(args ...string) {
		r := program(t, dir, e, append([]string{"trigger", "-url", l.url}, args...)...)
		require.Equal(t, 0, r.code, r.stdout+r.stderr)
	}
	run("-template", "body.tmpl", "-app", `a"b`, "deploy.live")
	require.Equal(t, "authentic", l.next()["result"])
	run("-from", path)
	in := l.next()
	require.Equal(t, "dep_1", in["deployment"])
	require.NotEqual(t, "whk_1", in["verification"].(map[string]any)["id"], "it is a new delivery")
	run("-format", "deployment", "deploy.failed")
	in = l.next()
	require.Equal(t, "deployment", in["source"])
	require.Equal(t, "failure", in["event"])
	run("-format", "envelope", "-app", "wrapped", "deploy.live")
	require.Equal(t, "wrapped", l.next()["app"])
	run("-format", "cdevents", "deploy.live")
	require.Equal(t, "cdevents", l.next()["source"])
	run("-H", "X-Extra: 1", "-environment", "staging", "deploy.started")
	require.Equal(t, "staging", l.next()["environment"])
	require.Equal(t, 0, l.end())
}

// Without a secret the exact bytes are sent again, with a warning.
func TestReplay_ExactBytesAreStale(t *testing.T) {
	t.Parallel()
	service := newLocal(t, http.StatusOK, "")
	dir := t.TempDir()
	rec := signedRecord(t, "standard", standardSecret, schemeFlags{})
	_, err := rec.write(dir, 1, "deploy.live")
	require.NoError(t, err)
	r := program(t, dir, nil, "replay", "-url", service.url, ".")
	require.Equal(t, 0, r.code, r.stderr)
	require.Contains(t, r.stderr, "calls them stale")
	require.Equal(t, sampleBody, service.bodies[0])
	for name, values := range rec.Header {
		require.Equal(t, values, service.headers[0][name])
	}

	l := listen(t, dir, env{"HOOKTOOL_SECRET": standardSecret}, "-count", "2")
	require.Equal(t, 1, program(t, dir, nil, "replay", "-url", l.url, ".").code)
	require.Equal(t, "stale", l.next()["verification"].(map[string]any)["fault"])
	require.Equal(t, 0, program(t, dir, env{"HOOKTOOL_SECRET": standardSecret}, "replay", "-url", l.url, ".").code)
	require.Equal(t, "authentic", l.next()["result"])
	require.Equal(t, 1, l.end())
}

// Texts of a sender can't move the cursor or hide what follows.
func TestListen_ShowsHostileTextsSafely(t *testing.T) {
	t.Parallel()
	l := newScreen(t, env{"HOOKTOOL_SECRET": standardSecret}, "-count", "1")
	body := `{"event":"deploy.live","timestamp":"2026-11-28T12:00:00Z","deployment_id":"dep\u202e1","app":"a\u009b2J","environment":"e\u001b[2J\u0007"}`
	r, err := http.NewRequest(http.MethodPost, l.url, reader(body))
	require.NoError(t, err)
	r.Header = http.Header{"X-Evil-Signature": {"\u009b2J"}}
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	screen := l.rest()
	require.Contains(t, screen, "REFUSED")
	require.Contains(t, screen, "X-Evil-Signature")
	for _, c := range screen {
		require.True(t, c == '\n' || unicode.IsPrint(c), "%q in %q", c, screen)
	}
}

// A mistake in the secret is found before the first request.
func TestListen_UsageErrors(t *testing.T) {
	t.Parallel()
	for says, c := range map[string]struct {
		env  env
		args []string
	}{
		"has quotation marks around it":       {env{"HOOKTOOL_SECRET": `"` + literalText + `"`}, nil},
		"nothing has expanded":                {env{"HOOKTOOL_SECRET": "$(SECRET)"}, nil},
		"lacks the whsec_ prefix":             {env{"HOOKTOOL_SECRET": literalText}, []string{"-scheme", "standard"}},
		"no secret for -scheme github":        {nil, []string{"-scheme", "github"}},
		"-forward: want an absolute":          {nil, []string{"-forward", "127.0.0.1:3000"}},
		"need -forward":                       {nil, []string{"-forward-all"}},
		"-count -1":                           {nil, []string{"-count", "-1"}},
		"-max-body 0":                         {nil, []string{"-max-body", "0"}},
		"-source \"jira\"":                    {nil, []string{"-source", "jira"}},
		"-addr":                               {nil, []string{"-addr", "nonsense"}},
		"-record":                             {nil, []string{"-record", os.Args[0]}},
		"unexpected argument":                 {nil, []string{"whsec_canary"}},
		"-header-prefix":                      {env{"HOOKTOOL_SECRET": literalText}, []string{"-scheme", "timestamped", "-header-prefix", "X Temps"}},
		"-scheme body-only needs the header":  {env{"HOOKTOOL_SECRET": literalText}, []string{"-scheme", "body-only"}},
		"flag provided but not defined: -foo": {nil, []string{"-foo"}},
	} {
		r := inProcess(c.env, "", append([]string{"listen"}, c.args...)...)
		require.Equal(t, 2, r.code, "%s: %s", says, r.stderr)
		require.Contains(t, r.stderr, says)
		require.NotContains(t, r.stderr, "canary")
		require.NotContains(t, r.stderr, literalText)
		require.NotRegexp(t, goNames, r.stderr)
	}
}

// trigger refuses calls that it does not understand.
func TestTrigger_UsageErrors(t *testing.T) {
	t.Parallel()
	good := env{"HOOKTOOL_SECRET": standardSecret}
	for says, args := range map[string][]string{
		"no event":                      nil,
		"\"deploy.alive\": want live":   {"deploy.alive"},
		"-format \"xml\"":               {"-format", "xml", "live"},
		"-count 0":                      {"-count", "0", "live"},
		"-interval -1s":                 {"-interval", "-1s", "live"},
		"-url":                          {"-url", "ftp://a.example", "live"},
		"must not contain a user name":  {"-url", "http://u:canary@127.0.0.1/", "live"},
		"-from gives the body":          {"-from", "x.json", "live"},
		"exclude each other":            {"-format", "event", "-template", "x", "live"},
		"want 'Name: value'":            {"-H", "nonsense", "live"},
		"HOOKTOOL_SECRET with -scheme":  {"-scheme", "httpsig", "-key-id", "1", "-app", "a", "live"},
		"-scheme httpsig needs the key": {"-scheme", "httpsig", "live"},
	} {
		e := good
		if says == "HOOKTOOL_SECRET with -scheme" {
			e = env{"HOOKTOOL_SECRET": literalText}
		}
		r := inProcess(e, "", append([]string{"trigger"}, args...)...)
		require.Equal(t, 2, r.code, "%s: %s%s", says, r.stdout, r.stderr)
		require.Contains(t, r.stderr, says)
		require.NotContains(t, r.stderr, "canary")
		require.NotRegexp(t, goNames, r.stderr)
	}
}

// screen is a listener that prints for people.
type screen struct {
	t   *testing.T
	cmd *exec.Cmd
	out *bufio.Reader
	url string
}

func newScreen(t *testing.T, e env, args ...string) *screen {
	t.Helper()
	s := &screen{t: t, cmd: prepared(t, t.TempDir(), e, append([]string{"listen", "-addr", "127.0.0.1:0"}, args...)...)}
	pipe, err := s.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Start())
	s.out = bufio.NewReader(pipe)
	first, err := s.out.ReadString('\n')
	require.NoError(t, err)
	s.url = strings.Fields(first)[1]
	return s
}

// rest returns what is printed until the end.
func (s *screen) rest() string {
	s.t.Helper()
	text, err := io.ReadAll(s.out)
	require.NoError(s.t, err)
	_ = s.cmd.Wait() // the caller does not need the exit status
	return string(text)
}

// sign prints headers that verify, also as a curl command.
func TestSign(t *testing.T) {
	t.Parallel()
	dir, e := t.TempDir(), env{"HOOKTOOL_SECRET": standardSecret}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "body.json"), []byte(sampleBody), 0o600))
	r := program(t, dir, e, "sign", "body.json")
	require.Equal(t, 0, r.code, r.stderr)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "headers.txt"), []byte(r.stdout), 0o600))
	v := program(t, dir, e, "verify", "-headers", "headers.txt", "-body", "body.json")
	require.Equal(t, 0, v.code, v.stdout)
	r = program(t, dir, e, "sign", "-curl", "http://127.0.0.1:8787/it's", "body.json")
	require.Equal(t, 0, r.code, r.stderr)
	require.Contains(t, r.stdout, `'http://127.0.0.1:8787/it'\''s'`)
	require.Contains(t, r.stdout, "--data-binary '@body.json'")
	r = program(t, dir, env{"HOOKTOOL_SECRET": literalText}, "sign", "-scheme", "bearer", "body.json")
	require.Equal(t, 2, r.code)
	require.NotContains(t, r.stdout+r.stderr, literalText)
	key := "whpk_" + base64.StdEncoding.EncodeToString(make([]byte, 32))
	r = program(t, dir, env{"HOOKTOOL_SECRET": key}, "sign", "body.json")
	require.Equal(t, 2, r.code)
}

func reader(text string) io.Reader { return &stringReader{text} }

// stringReader hides the length of a text from net/http.
type stringReader struct{ rest string }

func (r *stringReader) Read(p []byte) (int, error) {
	if r.rest == "" {
		return 0, io.EOF
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
