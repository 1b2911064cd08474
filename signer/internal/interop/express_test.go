package interop

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

// expressAfter has the snippet of the guide about moving in.
func expressAfter(mux *http.ServeMux, secret string, notify func(context.Context, string) error) error {
	key, err := signer.NewLiteralSecret(secret)
	if err != nil {
		return err
	}
	scheme, err := signer.NewTimestamped(key)
	if err != nil {
		return err
	}
	store, err := dedupe.NewMemory()
	if err != nil {
		return err
	}
	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "platform"))
	if err != nil {
		return err
	}
	mux.Handle("POST /webhooks/deploy", rcv.Events(func(ctx context.Context, e *payload.Event) error {
		switch e.Type {
		case payload.DeployLive:
			return notify(ctx, e.App+" is live in "+e.Environment)
		case payload.DeployFailed:
			return notify(ctx, e.App+" failed: "+e.Error)
		}
		return nil
	}))
	return nil
}

const liveEvent = `{"event":"deploy.live","timestamp":"2026-03-12T14:22:01Z","deployment_id":"dep_1","app":"shop",` +
	`"environment":"production","url":"https://shop.example.com","commit":{"sha":"f4c8e2a","message":"caf\u00e9 🚀"}}`

// An Express receiver and its successor get the same requests.
func testNodeExpress(t *testing.T, n *node) {
	text, err := os.ReadFile(filepath.Join("testdata", "express.mjs"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(n.dir, "express.mjs"), text, 0o644))
	cmd := exec.CommandContext(t.Context(), "node", "express.mjs")
	cmd.Dir, cmd.Env, cmd.Stderr = n.dir, append(os.Environ(), "NODE_ENV=production", "WEBHOOK_SECRET="+literal), io.Discard
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() {
		require.NoError(t, stdin.Close())
		require.NoError(t, cmd.Wait())
	}()
	lines := bufio.NewScanner(stdout)
	require.True(t, lines.Scan())
	before := "http://127.0.0.1:" + lines.Text()

	var said []string
	mux := http.NewServeMux()
	require.NoError(t, expressAfter(mux, literal, func(_ context.Context, text string) error { said = append(said, text); return nil }))
	server := httptest.NewServer(mux)
	defer server.Close()

	ourScheme, err := newScheme("Timestamped", literal)
	require.NoError(t, err)
	ours := sign(t, ourScheme.(signer.Signer), time.Now(), []byte(liveEvent))
	theirs := theirOwn(t, literal, []byte(liveEvent))
	short := theirs.Clone()
	short.Set("X-Webhook-Signature", "00")
	for _, c := range []struct {
		name          string
		header        http.Header
		body          string
		before, after int
	}{
		{"signed by us", ours, liveEvent, 200, 200},
		{"signed by another sender", theirs, liveEvent, 200, 200},
		{"changed", theirs, liveEvent + " ", 401, 401},
		{"a signature of another length", short, liveEvent, 500, 401},
	} {
		require.Equal(t, c.before, postTo(t, before, c.header, c.body), c.name)
		require.Equal(t, c.after, postTo(t, server.URL, c.header, c.body), c.name)
	}
	for range 2 {
		require.True(t, lines.Scan())
		require.Equal(t, "deploy.live", lines.Text(), "Express handles the copy, too")
	}
	require.Equal(t, []string{"shop is live in production"}, said, "we do not")
}

func postTo(t *testing.T, url string, header http.Header, body string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/webhooks/deploy", strings.NewReader(body))
	require.NoError(t, err)
	r.Header = header.Clone()
	r.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

// The guide shows the receivers of testdata.
func TestGuide_ShowsExpress(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile(filepath.Join("..", "..", "..", "examples", "guides", "pages", "MOVING.md"))
	require.NoError(t, err)
	program, err := os.ReadFile(filepath.Join("testdata", "express.mjs"))
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(guide), "```js\n")
	require.True(t, ok)
	block, _, ok := strings.Cut(rest, "```")
	require.True(t, ok)
	require.Contains(t, string(program), block)
}
