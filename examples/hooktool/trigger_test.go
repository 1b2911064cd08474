package main

import (
	"bufio"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every scheme that can sign reaches a listener that chooses it by the headers,
// and one that is told.
func TestTrigger_EachScheme(t *testing.T) {
	t.Parallel()
	for _, s := range schemes() {
		if s.name == "basic" || s.name == "body-only" || s.name == "httpsig" {
			continue // these need flags, see below
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			overTheWire(t, s, nil, nil)
		})
	}
	for name, flags := range map[string][]string{
		"basic": {"-user", "me"}, "body-only": {"-header", "X-Acme", "-signature-prefix", "v1=", "-base64"}, "httpsig": {"-key-id", "2026"},
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
	l := listenHere(t, e, append(listening, "-count", "1", "-source", "event")...)
	r := inProcess(e, "", append([]string{"trigger", "-url", l.url, "-scheme", s.name, "deploy.live"}, sending...)...)
	require.Equal(t, 0, r.code, r.stdout+r.stderr)
	require.Equal(t, 0, l.end())
	require.Equal(t, "authentic", l.lines[1]["result"])
	require.NotContains(t, r.stdout+r.stderr, secret)
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
	bodies, headers := service.got()
	require.Equal(t, sampleBody, bodies[0])
	for name, values := range rec.Header {
		require.Equal(t, values, headers[0][name])
	}

	l := listen(t, dir, env{"HOOKTOOL_SECRET": standardSecret}, "-count", "2")
	require.Equal(t, 1, program(t, dir, nil, "replay", "-url", l.url, ".").code)
	require.Equal(t, "stale", l.next()["verification"].(map[string]any)["fault"])
	require.Equal(t, 0, program(t, dir, env{"HOOKTOOL_SECRET": standardSecret}, "replay", "-url", l.url, ".").code)
	require.Equal(t, "authentic", l.next()["result"])
	require.Equal(t, 1, l.end())
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
