package main

import (
	"context"
	"flag"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/programtest"
	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

const (
	allow = "127.0.0.0/8"
	// soon is the patience for deployments that never recover. How long it is
	// does not matter.
	soon = "100ms"
	// late is the patience for deployments that do recover, after any number of
	// tries.
	late = "10m"
)

// all is set by the gate. Each case compiles three versions of an app.
var all = flag.Bool("bot.all", false, "run every case of TestBot, and not only the most important ones")

// The bot and the platform are processes, and each case has its own app.
func TestBot(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the platform passes sockets to its apps, which Windows can't")
	}
	p := programtest.StartPlatform(t)
	t.Run("readme", func(t *testing.T) { testReadme(t, p) })
	for name, test := range map[string]func(t *testing.T, s *shop){
		"broken":     testBroken,
		"concurrent": testConcurrent,
		"postgres":   testPostgres,
		"cold":       testCold,
		"alert-only": testAlertOnly,
		"forbidden":  testForbidden,
		"lost":       testLostAnswer,
		"newer":      testNewer,
		"first":      testNothingBefore,
		"crash":      testCrash,
		"unasked":    testCrashBefore,
	} {
		t.Run(name, func(t *testing.T) {
			if !*all && !slices.Contains([]string{"broken", "cold", "crash", "newer"}, name) {
				t.Skip("without -bot.all")
			}
			t.Parallel()
			test(t, newShop(t, p, name))
		})
	}
}

func testBroken(t *testing.T, s *shop) {
	dir := t.TempDir()
	b := s.bot(dir, "-rollback", "-allow-networks", allow, "-patience", soon)
	s.listen(b, "")
	third := s.deploy("wrong", "v3")
	b.Says(`msg=rollback app=broken deployment=` + third.ID + ` version=v3 result="rolled back"`)
	handled(t, b, dir, 1)
	s.restored(b, third)
	require.Contains(t, b.Output(), `msg=smoke_test.failed`)
	require.Contains(t, b.Output(), `problem="GET /: status 500, want 200"`)
}

// restored requires that the third version was rolled back once, to the second.
func (s *shop) restored(b *programtest.Process, third deployment) {
	s.t.Helper()
	assert.Equal(s.t, payload.StatusRolledBack, s.get(third.ID).Status)
	assert.Equal(s.t, "hello from "+s.app+" v2\n", s.live(), "a second rollback would go back to v1")
	assert.EqualValues(s.t, 1, s.rollbacks.Load(), b.Output())
}

// Two endpoints make two deliveries of one event, with different IDs.
func testConcurrent(t *testing.T, s *shop) {
	dir := t.TempDir()
	b := s.bot(dir, "-rollback", "-allow-networks", allow, "-patience", soon)
	s.listen(b, "?one")
	s.listen(b, "?two")
	third := s.deploy("wrong", "v3")
	handled(t, b, dir, 2)
	s.restored(b, third)
}

// Two bots share a database, and each gets one of the two deliveries.
func testPostgres(t *testing.T, s *shop) {
	database := newDatabase(t, servicetest.PostgresURL(t))
	args := []string{"-rollback", "-allow-networks", allow, "-patience", soon, "-database", database}
	one, two := s.bot(t.TempDir(), args...), s.bot(t.TempDir(), args...)
	s.listen(one, "")
	s.listen(two, "")
	third := s.deploy("wrong", "v3")
	handledPostgres(t, one, database, 2)
	s.restored(two, third)
}

// A deployment that is merely slow to start stays. The first five answers of
// the app are 503.
func testCold(t *testing.T, s *shop) {
	dir := t.TempDir()
	b := s.bot(dir, "-rollback", "-allow-networks", allow, "-patience", late)
	s.listen(b, "")
	third := s.deploy("cold", "v3")
	b.Says("deployment=" + third.ID + " version=v3 outcome=passed tries=6")
	handled(t, b, dir, 1)
	assert.Equal(t, payload.StatusSuccess, s.get(third.ID).Status)
	assert.Equal(t, "hello from cold v3\n", s.live())
	assert.Zero(t, s.asked.Load())
	assert.NotContains(t, b.Output(), "smoke_test.failed")
}

func testAlertOnly(t *testing.T, s *shop) {
	alerts := make(chan *payload.Event, 10)
	secret := signer.GenerateSecret()
	scheme, err := signer.NewStandard(secret)
	require.NoError(t, err)
	store, err := dedupe.NewMemory()
	require.NoError(t, err)
	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "bot"), receiver.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	server := httptest.NewServer(rcv.Events(func(_ context.Context, e *payload.Event) error { alerts <- e; return nil }))
	t.Cleanup(server.Close)

	dir := t.TempDir()
	b := startBot(t, dir, []string{
		"ROLLBACKBOT_SECRET=" + s.secret.Reveal(), "ROLLBACKBOT_ALERT_URL=" + server.URL, "ROLLBACKBOT_ALERT_SECRET=" + secret.Reveal(),
	}, "-check", "/", "-allow-networks", allow, "-patience", soon)
	s.listen(b, "")
	third := s.deploy("wrong", "v3")
	handled(t, b, dir, 1)
	require.Contains(t, b.Output(), "msg=smoke_test.failed")
	e := <-alerts
	assert.Equal(t, smokeTestFailed, e.Type)
	assert.Equal(t, third.ID, e.DeploymentID)
	assert.Equal(t, "GET /: status 500, want 200", e.Error)
	assert.Equal(t, "v2", e.PreviousVersion)
	assert.Empty(t, alerts)
	assert.Equal(t, payload.StatusSuccess, s.get(third.ID).Status)
	assert.Equal(t, "the prices can't be read\n", s.live())
	assert.Zero(t, s.asked.Load())
}

// The URL of an event is from outside. What the guard refuses is not tested,
// and what is not tested is not rolled back.
func testForbidden(t *testing.T, s *shop) {
	dir := t.TempDir()
	b := s.bot(dir, "-rollback", "-patience", late)
	third := s.deploy("wrong", "v3")
	s.send(b, third)
	handled(t, b, dir, 1)
	require.Contains(t, b.Output(), "outcome=untested tries=1")
	require.Contains(t, b.Output(), "the URL is not https")
	assert.Equal(t, payload.StatusSuccess, s.get(third.ID).Status)
	assert.Zero(t, s.asked.Load())
}

// If the platform's answer is lost, the bot asks again. The platform refuses
// the second time, because another deployment is live then.
func testLostAnswer(t *testing.T, s *shop) {
	dir := t.TempDir()
	b := s.bot(dir, "-rollback", "-allow-networks", allow, "-patience", soon)
	s.hook(nil, func() bool { return false })
	s.listen(b, "")
	third := s.deploy("wrong", "v3")
	b.Says(`result="already rolled back"`)
	handled(t, b, dir, 1)
	s.restored(b, third)
}

// A newer deployment went live after the tests. It stays.
func testNewer(t *testing.T, s *shop) {
	dir := t.TempDir()
	b := s.bot(dir, "-rollback", "-allow-networks", allow, "-patience", soon)
	third := s.deploy("wrong", "v3")
	var fourth deployment
	s.hook(func() bool {
		fourth = s.deploy("hello", "v4")
		return true
	}, nil)
	s.send(b, third)
	b.Says(`result="no longer live"`)
	handled(t, b, dir, 1)
	assert.Equal(t, payload.StatusSuccess, s.get(fourth.ID).Status)
	assert.Equal(t, "hello from newer v4\n", s.live())
	assert.Zero(t, s.rollbacks.Load())
}

// Nothing can be restored, so people are told, and the bot does not insist.
func testNothingBefore(t *testing.T, s *shop) {
	dir := t.TempDir()
	s.must(http.StatusOK, "POST", "/apps/"+s.app+"/rollback", `{}`, nil)
	b := s.bot(dir, "-rollback", "-allow-networks", allow, "-patience", soon, "-checks", writeChecks(t, `{"checks":[{"path":"/","contains":"v7"}]}`))
	var page struct{ Items []deployment }
	s.must(http.StatusOK, "GET", "/apps/"+s.app+"/deployments", "", &page)
	first := page.Items[len(page.Items)-1]
	require.Equal(t, "v1", first.Version)
	s.send(b, first)
	handled(t, b, dir, 1)
	require.Contains(t, b.Output(), "msg=rollback.failed")
	require.Contains(t, b.Output(), "nothing_before")
	assert.Equal(t, "hello from first v1\n", s.live())
}

// The bot is killed when the platform has rolled back and before it knows. The
// next bot takes over when the lease has ended.
func testCrash(t *testing.T, s *shop) {
	b, third := s.crash(func(kill func()) {
		s.hook(nil, func() bool { kill(); return false })
	})
	b.Says("not tested, because the deployment was rolled back")
	s.restored(b, third)
	require.NotContains(t, b.Output(), "msg=rollback ", "it asks for the state before it asks for a rollback")
}

// The bot is killed before the platform gets its request. The next bot tests
// the deployment again.
func testCrashBefore(t *testing.T, s *shop) {
	b, third := s.crash(func(kill func()) {
		s.hook(func() bool { kill(); return false }, nil)
	})
	b.Says(`result="rolled back"`)
	s.restored(b, third)
}

// crash sends an event to a bot that is killed by one of the hooks, and another
// event about the same deployment to the next bot.
func (s *shop) crash(when func(kill func())) (next *programtest.Process, third deployment) {
	s.t.Helper()
	dir := s.t.TempDir()
	args := []string{"-rollback", "-allow-networks", allow, "-patience", soon, "-lease", "1s"}
	killed := make(chan struct{})
	first := s.bot(dir, args...)
	when(sync.OnceFunc(func() { first.Kill(); close(killed) }))
	third = s.deploy("wrong", "v3")
	s.send(first, third)
	<-killed
	s.hook(nil, nil)
	next = s.bot(dir, args...)
	leaseEnds(s.t, dir, s.app, third.ID)
	s.send(next, third)
	return next, third
}
