package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

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
	arrived, headers := service.got()
	for i, body := range bodies {
		require.Equal(t, body, arrived[i])
		h := headers[i].Clone()
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
	bodies, _ := service.got()
	require.Len(t, bodies, 1)

	all := listen(t, t.TempDir(), good, "-forward", service.url, "-forward-all", "-count", "1")
	require.Equal(t, 0, program(t, t.TempDir(), bad, "trigger", "-url", all.url, "deploy.live").code)
	require.Equal(t, 1, all.end())
	bodies, _ = service.got()
	require.Len(t, bodies, 2)
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

// The IDs of the services of one pipeline run differ only at their end.
func TestListen_ShowsBothEndsOfALongID(t *testing.T) {
	t.Parallel()
	l := newScreen(t, nil, "-count", "1")
	body := `{"event":"deploy.live","timestamp":"2026-11-28T12:00:00Z","deployment_id":"github-actions:1658821493:1:deploy:production:web","app":"web","environment":"production"}`
	res, err := http.Post(l.url, "application/json", reader(body))
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Contains(t, l.rest(), " github-actions:16588…ploy:production:web ")
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
