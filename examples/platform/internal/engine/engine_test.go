package engine_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/examples/platform/internal/engine"
	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/payload"
)

func TestMain(m *testing.M) {
	leaktest.Parallel(6)
	leaktest.Main(m)
}

// patience allows for a machine that compiles other things at the same time.
const patience = 10 * time.Minute

// bench is an engine with the steps that it recorded.
type bench struct {
	t      *testing.T
	engine *engine.Engine
	url    string

	mu     sync.Mutex
	events []*payload.Event
	states map[string]engine.Deployment
	refuse error // error that Record returns
}

func newBench(t *testing.T, change func(*engine.Config)) *bench {
	t.Helper()
	b := &bench{t: t, states: map[string]engine.Deployment{}}
	cfg := engine.Config{
		Dir: t.TempDir(), URL: func(app string) string { return "https://platform.example/apps/" + app + "/live/" }, Record: b.record,
		Logger: slog.New(slog.DiscardHandler), HealthTimeout: patience, CheckTimeout: patience, Watch: 50 * time.Millisecond,
	}
	if change != nil {
		change(&cfg)
	}
	e, err := engine.New(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	b.engine = e
	mux := http.NewServeMux()
	mux.HandleFunc("/apps/{app}/live/", e.Handler)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

func (b *bench) record(_ context.Context, d engine.Deployment, e *payload.Event) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuse != nil {
		return b.refuse
	}
	b.states[d.ID] = d
	if e != nil {
		b.events = append(b.events, e)
		return e.Validate()
	}
	return nil
}

func (b *bench) deploy(r engine.Request) engine.Deployment {
	b.t.Helper()
	if r.App == "" {
		r.App = "shop"
	}
	d, err := b.engine.Deploy(b.t.Context(), r)
	require.NoError(b.t, err)
	return d
}

// finished deploys and waits until the deployment is over.
func (b *bench) finished(r engine.Request) engine.Deployment {
	b.t.Helper()
	d := b.deploy(r)
	b.waitFor(d.ID, func(d engine.Deployment) bool { return d.Step == engine.StepDone })
	return b.state(d.ID)
}

func (b *bench) state(id string) engine.Deployment {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.states[id]
}

func (b *bench) waitFor(id string, is func(engine.Deployment) bool) {
	b.t.Helper()
	require.Eventually(b.t, func() bool { return is(b.state(id)) }, patience, 5*time.Millisecond)
}

func (b *bench) of(id string) (out []*payload.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		if e.DeploymentID == id {
			out = append(out, e)
		}
	}
	return out
}

func (b *bench) types(id string) (out []payload.Type) {
	for _, e := range b.of(id) {
		out = append(out, e.Type)
	}
	return out
}

// begin sends a request to the app and returns when the answer's header has
// arrived.
func (b *bench) begin(path string) *http.Response {
	b.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Get(b.url + "/apps/shop/live" + path)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func (b *bench) get(path string) (int, string) {
	b.t.Helper()
	resp := b.begin(path)
	text, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	_ = resp.Body.Close()
	return resp.StatusCode, strings.TrimSpace(string(text))
}

var wholeLife = []payload.Type{payload.DeployStarted, payload.BuildCompleted, payload.HealthCheckPassed, payload.DeployLive}

func TestDeploy_Events(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	status, _ := b.get("/")
	require.Equal(t, http.StatusServiceUnavailable, status)

	commit := &payload.Commit{SHA: "f4c8e2a", Message: "fix: timeout", Author: "dana@example.com", Branch: "main"}
	d := b.finished(engine.Request{Source: "hello", Version: "v1", Commit: commit, TriggeredBy: "git_push"})
	require.Equal(t, wholeLife, b.types(d.ID))
	require.Equal(t, payload.StatusSuccess, d.Status)
	require.NotNil(t, d.CompletedAt)
	status, body := b.get("/")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "hello from shop v1", body)

	events := b.of(d.ID)
	for i, e := range events {
		assert.Equal(t, "shop", e.App)
		assert.Equal(t, "production", e.Environment)
		assert.Equal(t, "git_push", e.TriggeredBy)
		assert.Equal(t, "v1", e.Version)
		assert.Equal(t, commit, e.Commit)
		assert.WithinDuration(t, time.Now(), e.Timestamp, patience)
		if i > 0 {
			assert.False(t, e.Timestamp.Before(events[i-1].Timestamp), "events are in the order of their times")
		}
	}
	built, healthy, live := events[1], events[2], events[3]
	assert.Positive(t, *built.BuildDurationSeconds)
	assert.Greater(t, *built.ImageSizeMB, 1.0)
	assert.False(t, *built.CacheHit)
	assert.Equal(t, "/health", healthy.HealthCheck.URL)
	assert.Equal(t, 200, *healthy.HealthCheck.StatusCode)
	assert.Positive(t, *healthy.HealthCheck.Attempts)
	assert.Equal(t, "https://platform.example/apps/shop/live/", live.URL)

	again := b.finished(engine.Request{Source: "hello", Version: "v2"})
	events = b.of(again.ID)
	assert.True(t, *events[1].CacheHit, "the same source is not compiled twice")
	assert.Equal(t, "v1", events[3].PreviousVersion)
	_, body = b.get("/")
	assert.Equal(t, "hello from shop v2", body)
}

func TestDeploy_BrokenBuildFails(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.finished(engine.Request{Source: "hello", Version: "v1"})
	d := b.finished(engine.Request{Source: "broken", Version: "v2"})
	require.Equal(t, []payload.Type{payload.DeployStarted, payload.DeployFailed}, b.types(d.ID))
	e := b.of(d.ID)[1]
	assert.Contains(t, e.Error, "build failed: ")
	assert.Contains(t, e.Error, "main.go:7:28: undefined: app")
	assert.Less(t, len(e.Error), 2100)
	assert.Equal(t, payload.StatusFailure, e.Status)
	_, body := b.get("/")
	assert.Equal(t, "hello from shop v1", body)
}

func TestDeploy_UnhealthyVersionIsRolledBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	first, _ := b.unhealthy("v0")
	require.Equal(t, []payload.Type{payload.DeployStarted, payload.BuildCompleted, payload.DeployFailed}, b.types(first.ID), "there is nothing to go back to")
	require.Equal(t, payload.StatusFailure, first.Status)

	b.finished(engine.Request{Source: "hello", Version: "v1"})
	d, limit := b.unhealthy("v2")
	require.Equal(t, []payload.Type{payload.DeployStarted, payload.BuildCompleted, payload.DeployFailed, payload.DeployRolledBack}, b.types(d.ID))
	require.Equal(t, payload.StatusRolledBack, d.Status)
	failed, back := b.of(d.ID)[2], b.of(d.ID)[3]
	assert.Contains(t, failed.Error, "not healthy within "+limit.String())
	assert.Contains(t, failed.Error, "/health answered 503")
	assert.Contains(t, failed.Error, "waiting for a database migration", "what the program said")
	assert.Equal(t, "v1", back.PreviousVersion)
	assert.Equal(t, "v1", back.Rollback.RestoredVersion)
	assert.True(t, *back.Rollback.Automatic)
	assert.Equal(t, "v2 did not become healthy", back.Rollback.Reason)
	_, body := b.get("/")
	assert.Equal(t, "hello from shop v1", body)
}

// unhealthy deploys a version that runs and does not become healthy. The time
// limit is longer on a machine that is slow to start it.
func (b *bench) unhealthy(version string) (d engine.Deployment, limit time.Duration) {
	b.t.Helper()
	for limit = 300 * time.Millisecond; ; limit *= 2 {
		d = b.finished(engine.Request{Source: "sick", Version: version, HealthTimeout: limit})
		failed := b.of(d.ID)[2].Error
		if strings.Contains(failed, "/health answered 503") {
			return d, limit
		}
		require.Less(b.t, limit, patience/4, failed)
	}
}

func TestDeploy_ExitedVersionFailsAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *engine.Config) { c.HealthTimeout = time.Hour })
	d := b.finished(engine.Request{Source: "unconfigured", Version: "v1"})
	require.Equal(t, []payload.Type{payload.DeployStarted, payload.BuildCompleted, payload.DeployFailed}, b.types(d.ID))
	require.Contains(t, d.Error, "exit status 2")
	require.Contains(t, d.Error, "DATABASE_URL is not set")
}

func TestDeploy_CrashAfterLiveIsRolledBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *engine.Config) { c.Watch = patience })
	d := b.deploy(engine.Request{Source: "crashing", Version: "v0"})
	b.waitFor(d.ID, func(d engine.Deployment) bool { return d.Step == engine.StepDone })
	require.Equal(t, wholeLife, b.types(d.ID))
	taken := b.state(d.ID)
	require.Contains(t, taken.Error, "exit status 3", "there is no previous version, so the record has the error")
	require.Equal(t, payload.StatusRolledBack, taken.Status, "a success would be started again after a restart")
	require.Empty(t, taken.URL)

	b2 := newBench(t, nil)
	b2.finished(engine.Request{Source: "hello", Version: "v1"})
	d = b2.finished(engine.Request{Source: "crashing", Version: "v2", Watch: patience})
	require.Equal(t, append(wholeLife[:len(wholeLife):len(wholeLife)], payload.DeployRolledBack), b2.types(d.ID))
	back := b2.of(d.ID)[4]
	assert.Contains(t, back.Rollback.Reason, "exit status 3")
	assert.Contains(t, back.Rollback.Reason, "out of memory")
	assert.Equal(t, "v1", back.PreviousVersion)
	_, body := b2.get("/")
	assert.Equal(t, "hello from shop v1", body)
}

func TestDeploy_SlowVersion(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	d := b.finished(engine.Request{Source: "slow", Version: "v1"})
	require.Equal(t, wholeLife, b.types(d.ID))
	built, healthy := b.of(d.ID)[1], b.of(d.ID)[2]
	require.GreaterOrEqual(t, healthy.Timestamp.Sub(built.Timestamp), 2*time.Second)
	require.Greater(t, *healthy.HealthCheck.Attempts, 1)

	// The old version finishes a request that it started before the traffic was
	// switched.
	resp := b.begin("/slow")
	next := b.deploy(engine.Request{Source: "hello", Version: "v2"})
	b.waitFor(next.ID, func(d engine.Deployment) bool { return d.Status == payload.StatusSuccess })
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "slow hello from shop v1\n", string(text))
	b.waitFor(next.ID, func(d engine.Deployment) bool { return d.Step == engine.StepDone })
	_, body := b.get("/")
	require.Equal(t, "hello from shop v2", body)
}

func TestRollback_OnRequest(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	_, err := b.engine.Rollback(t.Context(), "shop", "", "why")
	require.ErrorIs(t, err, engine.ErrNothingLive)
	b.finished(engine.Request{Source: "hello", Version: "v1"})
	_, err = b.engine.Rollback(t.Context(), "shop", "", "why")
	require.ErrorIs(t, err, engine.ErrNothingBefore)
	b.finished(engine.Request{Source: "hello", Version: "v2"})
	third := b.finished(engine.Request{Source: "hello", Version: "v3"})

	d, err := b.engine.Rollback(t.Context(), "shop", third.ID, "prices are wrong")
	require.NoError(t, err)
	require.Equal(t, third.ID, d.ID, "it is the third deployment that is rolled back")
	_, body := b.get("/")
	require.Equal(t, "hello from shop v2", body)
	b.waitFor(d.ID, func(d engine.Deployment) bool {
		return d.Step == engine.StepDone && d.Status == payload.StatusRolledBack
	})
	events := b.of(d.ID)
	back := events[len(events)-1]
	require.Equal(t, payload.DeployRolledBack, back.Type)
	require.Equal(t, "v2", back.PreviousVersion)
	require.False(t, *back.Rollback.Automatic)
	require.Equal(t, "prices are wrong", back.Rollback.Reason)

	_, err = b.engine.Rollback(t.Context(), "shop", third.ID, "the answer was lost")
	require.ErrorIs(t, err, engine.ErrNotLive)
	_, body = b.get("/")
	require.Equal(t, "hello from shop v2", body, "the deployment was rolled back before, and only once")

	_, err = b.engine.Rollback(t.Context(), "shop", "", "even older")
	require.NoError(t, err)
	_, body = b.get("/")
	require.Equal(t, "hello from shop v1", body)
}

func TestDeploy_OneAtATime(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	d := b.deploy(engine.Request{Source: "slow"})
	for range 5 {
		_, err := b.engine.Deploy(t.Context(), engine.Request{App: "shop", Source: "hello"})
		require.ErrorIs(t, err, engine.ErrBusy)
	}
	other := b.finished(engine.Request{App: "blog", Source: "hello"})
	require.Equal(t, wholeLife, b.types(other.ID), "another app is not affected")
	b.waitFor(d.ID, func(d engine.Deployment) bool { return d.Step == engine.StepDone })
	require.Equal(t, wholeLife, b.types(d.ID))
	b.finished(engine.Request{Source: "hello"})
}

func TestDeploy_RequestErrors(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	var field *engine.FieldError
	_, err := b.engine.Deploy(t.Context(), engine.Request{App: "shop", Source: "../hello"})
	require.ErrorAs(t, err, &field)
	require.Equal(t, "source", field.Field)
	_, err = b.engine.Deploy(t.Context(), engine.Request{App: "shop", Source: "hello", Version: "v 1"})
	require.ErrorAs(t, err, &field)
	require.Equal(t, "version", field.Field)
	var invalid *payload.ValidationError
	_, err = b.engine.Deploy(t.Context(), engine.Request{App: "shop", Source: "hello", Commit: &payload.Commit{SHA: "nope"}})
	require.ErrorAs(t, err, &invalid)
	b.refuse = errors.New("the database is away")
	_, err = b.engine.Deploy(t.Context(), engine.Request{App: "shop", Source: "hello"})
	require.ErrorIs(t, err, b.refuse, "a deployment that cannot be recorded does not start")
	b.refuse = nil
	require.Equal(t, wholeLife, b.types(b.finished(engine.Request{Source: "hello"}).ID), "none of them blocks the app")
}

func TestClose_LeavesNoProcess(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	running := b.finished(engine.Request{Source: "hello", Version: "v1"})
	d := b.deploy(engine.Request{Source: "sick", Version: "v2"})
	b.waitFor(d.ID, func(d engine.Deployment) bool { return d.Step == engine.StepStarting })
	b.engine.Close()
	got := b.types(d.ID)
	require.Equal(t, payload.DeployFailed, got[len(got)-1])
	failed := b.of(d.ID)[len(got)-1]
	assert.Equal(t, payload.StatusCancelled, failed.Status)
	assert.Contains(t, failed.Error, "cancelled")
	assert.Equal(t, engine.StepDone, b.state(d.ID).Step)
	id := strings.TrimPrefix(b.of(running.ID)[3].ContainerID, "process-")
	pid, err := strconv.Atoi(id)
	require.NoError(t, err)
	process, err := os.FindProcess(pid)
	if err == nil {
		err = process.Signal(syscall.Signal(0)) // signal 0 only checks whether the process exists
	}
	assert.ErrorIs(t, err, os.ErrProcessDone, "the live instance has ended too")
	_, err = b.engine.Deploy(t.Context(), engine.Request{App: "shop", Source: "hello"})
	assert.ErrorIs(t, err, engine.ErrClosed)
}

func TestResume_StartsLiveVersion(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	one := b.finished(engine.Request{Source: "hello", Version: "v1"})
	two := b.finished(engine.Request{Source: "hello", Version: "v2"})
	b.engine.Close()

	next := newBench(t, nil)
	require.NoError(t, next.engine.Resume("shop", []engine.Deployment{one, two}))
	require.Eventually(t, func() bool { _, body := next.get("/"); return body == "hello from shop v2" }, patience, 20*time.Millisecond)
	require.Eventually(t, func() bool {
		_, err := next.engine.Rollback(t.Context(), "shop", "", "back")
		return err == nil
	}, patience, 20*time.Millisecond)
	_, body := next.get("/")
	require.Equal(t, "hello from shop v1", body)

	killed := two
	killed.Status, killed.Step, killed.CompletedAt = payload.StatusInProgress, engine.StepStarting, nil
	require.NoError(t, next.engine.Abandon(t.Context(), killed))
	require.Equal(t, payload.StatusCancelled, next.state(two.ID).Status)
	require.Contains(t, next.types(two.ID), payload.DeployFailed)
}
