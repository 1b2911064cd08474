package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/internal/programtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

// shop is one app on the platform, with a front that the bot calls instead of
// the platform.
type shop struct {
	t        *testing.T
	app      string
	platform *programtest.Process
	secret   signer.Secret
	front    *httptest.Server

	rollbacks atomic.Int64 // that the platform answered with 200
	asked     atomic.Int64 // requests to roll back
	// before is called before the platform gets a request to roll back, and
	// during before the bot gets the answer to a successful one. If they return
	// false, the request or the answer is lost.
	mu             sync.Mutex
	before, during func() bool
}

// newShop registers an app and deploys two good versions of it.
func newShop(t *testing.T, p *programtest.Process, app string) *shop {
	t.Helper()
	s := &shop{t: t, app: app, platform: p, secret: signer.GenerateSecret()}
	to, err := url.Parse(p.Base)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(to)
	s.front = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.forward(w, r, proxy) }))
	t.Cleanup(s.front.Close)
	s.must(http.StatusOK, "PUT", "/webhooks/apps/"+app, "", nil)
	s.deploy("hello", "v1")
	s.deploy("hello", "v2")
	require.Equal(t, "hello from "+app+" v2\n", s.live())
	return s
}

// forward passes a request to the platform, and counts those that roll back.
func (s *shop) forward(w http.ResponseWriter, r *http.Request, proxy http.Handler) {
	if !strings.HasSuffix(r.URL.Path, "/rollback") {
		proxy.ServeHTTP(w, r)
		return
	}
	s.mu.Lock()
	before, during := s.before, s.during
	s.mu.Unlock()
	if before != nil && !before() {
		panic(http.ErrAbortHandler)
	}
	answer := httptest.NewRecorder()
	proxy.ServeHTTP(answer, r.WithContext(context.WithoutCancel(r.Context())))
	s.asked.Add(1)
	if answer.Code == http.StatusOK {
		s.rollbacks.Add(1)
		if during != nil && !during() {
			panic(http.ErrAbortHandler)
		}
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// hook sets what happens before and after the platform rolls back.
func (s *shop) hook(before, during func() bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before, s.during = before, during
}

// bot starts a bot for the shop.
func (s *shop) bot(dir string, args ...string) *programtest.Process {
	s.t.Helper()
	env := []string{"ROLLBACKBOT_SECRET=" + s.secret.Reveal()}
	return startBot(s.t, dir, env, append([]string{"-check", "/", "-platform", s.front.URL}, args...)...)
}

// listen makes the platform send deploy.live events to the bot, once for each
// call. The query makes the URLs differ.
func (s *shop) listen(b *programtest.Process, query string) {
	s.t.Helper()
	in, err := json.Marshal(map[string]any{"url": b.Base + "/webhooks/deploy" + query, "secret": s.secret.Reveal(), "events": []string{"deploy.live"}})
	require.NoError(s.t, err)
	s.must(http.StatusCreated, "POST", "/webhooks/apps/"+s.app+"/endpoints", string(in), nil)
}

// send sends the bot an event about a deployment under an ID of its own.
func (s *shop) send(b *programtest.Process, d deployment) {
	s.t.Helper()
	scheme, err := signer.NewStandard(s.secret)
	require.NoError(s.t, err)
	from, err := sender.New(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")))
	require.NoError(s.t, err)
	defer from.Close()
	_, err = from.Send(s.t.Context(), sender.Endpoint{URL: sender.NewURL(b.Base + "/webhooks/deploy"), Signer: scheme, Timeout: programtest.Patience}, &payload.Event{
		Type: payload.DeployLive, Timestamp: time.Now(), DeploymentID: d.ID, App: s.app, Environment: "production",
		Version: d.Version, URL: s.platform.Base + "/apps/" + s.app + "/live/",
	})
	require.NoError(s.t, err, b.Output())
}

// deployment is what the tests read of one.
type deployment struct {
	ID, Version, Step string
	Status            payload.Status
}

// deploy deploys and waits until the platform has finished.
func (s *shop) deploy(source, version string) (d deployment) {
	s.t.Helper()
	s.must(http.StatusAccepted, "POST", "/apps/"+s.app+"/deployments", `{"source":"`+source+`","version":"`+version+`"}`, &d)
	programtest.Eventually(s.t, func() bool { return s.get(d.ID).Step == "done" }, func() string { return s.platform.Output() })
	return d
}

func (s *shop) get(id string) (d deployment) {
	s.t.Helper()
	s.must(http.StatusOK, "GET", "/apps/"+s.app+"/deployments/"+id, "", &d)
	return d
}

func (s *shop) live() string {
	s.t.Helper()
	_, text := s.call("GET", "/apps/"+s.app+"/live/", "")
	return text
}

func (s *shop) must(want int, method, path, body string, out any) {
	s.t.Helper()
	status, text := s.call(method, path, body)
	require.Equal(s.t, want, status, "%s %s: %s", method, path, text)
	if out != nil {
		require.NoError(s.t, json.Unmarshal([]byte(text), out), text)
	}
}

func (s *shop) call(method, path, body string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.platform.Base+path, bytes.NewBufferString(body))
	require.NoError(s.t, err)
	req.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: programtest.Patience}
	resp, err := client.Do(req)
	require.NoError(s.t, err, s.platform.Output())
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return resp.StatusCode, string(text)
}

// handled waits until the bot has handled events. It reads the inbox of another
// process.
func handled(t *testing.T, b *programtest.Process, dir string, want int) {
	t.Helper()
	in, err := inbox.OpenSQLite(t.Context(), filepath.Join(dir, "inbox.db"), ignore)
	require.NoError(t, err)
	handles(t, b, in, want)
}

// handledPostgres is handled for bots on PostgreSQL.
func handledPostgres(t *testing.T, b *programtest.Process, database string, want int) {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), database)
	require.NoError(t, err)
	defer pool.Close()
	in, err := inbox.NewPostgres(t.Context(), pool, ignore)
	require.NoError(t, err)
	handles(t, b, in, want)
}

func ignore(context.Context, *payload.Event) error { return nil }

// handles closes the inbox.
func handles(t *testing.T, b *programtest.Process, in *inbox.Inbox, want int) {
	t.Helper()
	defer func() { assert.NoError(t, in.Close()) }()
	var stats inbox.Stats
	programtest.Eventually(t, func() bool {
		var err error
		stats, err = in.Stats(t.Context())
		require.NoError(t, err)
		return stats.Handled == want
	}, b.Output)
	require.Zero(t, stats.Pending+stats.Dead, b.Output())
}

// newDatabase creates a database on a server.
func newDatabase(t *testing.T, server string) string {
	t.Helper()
	at, err := url.Parse(server)
	require.NoError(t, err)
	name := "rollbackbot_" + strings.ToLower(rand.Text())
	admin := func(statement string) {
		ctx, cancel := context.WithTimeout(context.Background(), programtest.Patience)
		defer cancel()
		conn, err := pgx.Connect(ctx, server)
		require.NoError(t, err)
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, statement)
		require.NoError(t, err)
	}
	admin("CREATE DATABASE " + name)
	t.Cleanup(func() { admin("DROP DATABASE " + name + " WITH (FORCE)") })
	at.Path = "/" + name
	return at.String()
}

func writeChecks(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "checks.json")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// leaseEnds waits until nobody holds the claim of a deployment.
func leaseEnds(t *testing.T, dir, app, id string) {
	t.Helper()
	claims, err := sqldedupe.OpenSQLite(t.Context(), filepath.Join(dir, "claims.db"))
	require.NoError(t, err)
	defer func() { assert.NoError(t, claims.Close()) }()
	programtest.Eventually(t, func() bool {
		c, err := claims.Claim(t.Context(), dedupe.NewKey("rollbackbot", app, id), programtest.Patience)
		require.NoError(t, err)
		if c.State != dedupe.Claimed {
			return false
		}
		require.NoError(t, claims.Release(t.Context(), c))
		return true
	}, func() string { return "the lease does not end" })
}
