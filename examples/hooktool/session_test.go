package main

import (
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

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

	bodies, _ := service.got()
	for i := range 5 {
		require.Equal(t, bodies[i], bodies[i+5], "the same bytes")
		r = program(t, dir, e, "verify", files[i])
		require.Equal(t, 0, r.code, r.stdout+r.stderr)
		require.Contains(t, r.stdout, "result  authentic")
	}
}
