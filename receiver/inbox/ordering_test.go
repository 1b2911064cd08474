package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
)

func TestOrdering_OneDeployment(t *testing.T) {
	t.Parallel()
	type step struct {
		typ    payload.Type
		second int
		want   inbox.State
	}
	const scaled, handled, superseded, dead = payload.Type("platform.scaled"), inbox.Handled, inbox.Superseded, inbox.Dead
	cases := map[string][]step{
		"in order": {
			{payload.DeployStarted, 0, handled},
			{payload.BuildCompleted, 1, handled},
			{payload.HealthCheckPassed, 2, handled},
			{payload.DeployLive, 3, handled},
			{payload.DeployRolledBack, 4, handled},
		},
		"late start": {
			{payload.DeployLive, 3, handled},
			{payload.DeployStarted, 0, superseded},
			{payload.BuildCompleted, 1, superseded},
		},
		"an earlier timestamp does not supersede an outcome": {
			{payload.DeployStarted, 9, handled},
			{payload.DeployLive, 3, handled},
		},
		"a later timestamp does not undo a status": {
			{payload.DeployLive, 3, handled},
			{payload.DeployStarted, 9, superseded},
		},
		"within a status by time": {
			{payload.HealthCheckPassed, 2, handled},
			{payload.BuildCompleted, 1, superseded},
			{payload.BuildCompleted, 2, handled},
			{payload.HealthCheckPassed, 3, handled},
		},
		"without a status by time": {
			{scaled, 1, handled},
			{scaled, 3, handled},
			{scaled, 2, superseded},
			{payload.DeployLive, 2, handled},
			{scaled, 2, superseded},
			{scaled, 4, handled},
		},
		"a contradiction": {
			{payload.DeployLive, 3, handled},
			{payload.DeployFailed, 4, dead},
			{payload.DeployFailed, 2, superseded},
			{payload.DeployRolledBack, 5, handled},
			{payload.DeployFailed, 6, superseded},
		},
	}
	for name, steps := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, open opener) {
				var seen calls
				in := open(seen.handle, inbox.WithOrdering())
				at := newEndpoint(t, in, "platform")
				start(t, in)
				var want []string
				for i, s := range steps {
					at.accept(eventText(s.typ, "dep", s.second))
					require.Eventually(t, func() bool { return stats(t, in).Pending == 0 }, patience, often)
					list, err := in.List(t.Context(), inbox.Filter{}, inbox.Page{Limit: 1})
					require.NoError(t, err)
					assert.Equal(t, s.want, list.Items[0].State, "step %d, %s", i, s.typ)
					if s.want == handled {
						want = append(want, string(s.typ)+" dep")
					}
					if s.want == dead {
						assert.Equal(t, inbox.ErrContradiction.Error(), list.Items[0].LastError)
					}
				}
				assert.Equal(t, want, seen.list())
			})
		})
	}
}

func TestOrdering_Backlog(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		var seen calls
		in := open(seen.handle, inbox.WithOrdering())
		at := newEndpoint(t, in, "platform")
		var want []string
		for i := range 30 {
			at.accept(eventText(payload.Type(fmt.Sprintf("platform.step%d", i)), "dep", i))
			want = append(want, fmt.Sprintf("platform.step%d dep", i))
		}
		start(t, in)
		reaches(t, in, inbox.Stats{Handled: 30})
		assert.Equal(t, want, seen.list(), "workers that start together go by the events' time")
	})
}

func TestOrdering_OtherDeploymentsAreNotDelayed(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		release := make(chan struct{})
		var seen calls
		in := open(func(ctx context.Context, e *payload.Event) error {
			if e.DeploymentID == "slow" {
				<-release
			}
			return seen.handle(ctx, e)
		}, inbox.WithOrdering(), inbox.WithWorkers(4))
		at := newEndpoint(t, in, "platform")
		for i := range 10 {
			at.accept(eventText(payload.BuildCompleted, "slow", i))
		}
		start(t, in)
		at.accept(started(1))
		at.accept(started(2))
		reaches(t, in, inbox.Stats{Handled: 2, Pending: 10})
		close(release)
		reaches(t, in, inbox.Stats{Handled: 12})
	})
}

func TestOrdering_FailedEventDelaysNoOther(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		var broken atomic.Bool
		broken.Store(true)
		var seen calls
		in := open(func(ctx context.Context, e *payload.Event) error {
			if e.Type == payload.DeployStarted && broken.Load() {
				return errors.New("broken")
			}
			return seen.handle(ctx, e)
		}, inbox.WithOrdering(), inbox.WithMaxAttempts(1000))
		at := newEndpoint(t, in, "platform")
		at.accept(eventText(payload.DeployStarted, "dep", 0))
		start(t, in)
		require.Eventually(t, func() bool { return only(t, in).Attempts > 1 }, patience, often)
		at.accept(eventText(payload.DeployLive, "dep", 1))
		reaches(t, in, inbox.Stats{Handled: 1, Superseded: 1})
		broken.Store(false)
		assert.Equal(t, []string{"deploy.live dep"}, seen.list())
	})
}

// handledOrder is shared by a property test's handlers. It records what was
// handled for each deployment, and how many handlers run.
type handledOrder struct {
	mu      sync.Mutex
	inside  map[string]int
	handled map[string][]payload.Status
	calls   int
}

func (l *handledOrder) enter(t *testing.T, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inside[id]++
	l.calls++
	assert.Equal(t, 1, l.inside[id], "two handlers at once for %s", id)
}

func (l *handledOrder) leave(id string, handled payload.Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inside[id]--
	if handled != "" {
		l.handled[id] = append(l.handled[id], handled)
	}
}

// TestOrdering_Property sends the events of deployments in random order through
// two inboxes on one database, with handlers that fail randomly. Each
// deployment's status only moves forward, and the last one is always its final
// status.
func TestOrdering_Property(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		const deployments = 12
		seed := rand.Uint64()
		random := rand.New(rand.NewPCG(seed, 1))
		t.Logf("seed %d", seed)
		l := &handledOrder{inside: make(map[string]int), handled: make(map[string][]payload.Status)}
		handler := func(_ context.Context, e *payload.Event) error {
			l.enter(t, e.DeploymentID)
			status, _ := e.DeploymentStatus()
			switch rand.IntN(4) {
			case 0:
				l.leave(e.DeploymentID, "")
				return errors.New("at random")
			case 1:
				defer l.leave(e.DeploymentID, "")
				panic("at random")
			case 2:
				// simulated work, during which other events arrive
				time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
			}
			l.leave(e.DeploymentID, status)
			return nil
		}
		var endpoints []*endpoint
		var last *inbox.Inbox
		scheme := newScheme(t)
		for range 2 {
			last = open(handler, inbox.WithOrdering(), inbox.WithMaxAttempts(1000))
			h, err := last.Handler(scheme, "platform", receiver.WithLogger(quiet()))
			require.NoError(t, err)
			endpoints = append(endpoints, &endpoint{t: t, scheme: scheme, h: h})
			start(t, last)
		}
		type sending struct{ id, body string }
		var all []sending
		ends := make(map[string]payload.Status)
		for i := range deployments {
			id := fmt.Sprintf("dep_%d", i)
			life := []payload.Type{payload.DeployStarted, payload.BuildCompleted, payload.HealthCheckPassed, payload.DeployLive}
			ends[id] = payload.StatusSuccess
			switch i % 3 {
			case 0:
				life = append(life, payload.DeployRolledBack)
				ends[id] = payload.StatusRolledBack
			case 1:
				life = []payload.Type{payload.DeployStarted, payload.BuildCompleted, payload.DeployFailed}
				ends[id] = payload.StatusFailure
			}
			for second, typ := range life {
				all = append(all, sending{payload.NewDeliveryID(), eventText(typ, id, second)})
			}
		}
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		var senders sync.WaitGroup
		for first := range 4 {
			senders.Go(func() {
				for i := first; i < len(all); i += 4 {
					code := endpoints[i%2].post(all[i].id, all[i].body).Code
					assert.Equal(t, http.StatusAccepted, code)
				}
			})
		}
		senders.Wait()
		require.Eventually(t, func() bool { return stats(t, last).Pending == 0 }, patience, 20*time.Millisecond)
		s := stats(t, last)
		assert.Zero(t, s.Dead)
		assert.Equal(t, len(all), s.Handled+s.Superseded)
		l.mu.Lock()
		defer l.mu.Unlock()
		for id, want := range ends {
			got := l.handled[id]
			require.NotEmpty(t, got, id)
			assert.Equal(t, want, got[len(got)-1], "%s handled %v", id, got)
			for i, status := range got[1:] {
				assert.Contains(t, []payload.Transition{payload.Legal, payload.Repeated}, got[i].Transition(status), "%s handled %v", id, got)
			}
		}
	})
}

// One inbox takes a deployment and never returns. Another takes over when the
// lease ends.
func TestOrdering_LeaseOfDeadProcessEnds(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		var seen calls
		in := open(seen.handle, inbox.WithOrdering())
		at := newEndpoint(t, in, "platform")
		at.accept(started(1))
		require.True(t, in.TakeLease(t.Context(), only(t, in).ID))
		require.False(t, in.TakeLease(t.Context(), only(t, in).ID), "it is taken")
		const rest = 700 * time.Millisecond
		begin := time.Now().Truncate(time.Millisecond)
		in.EndLeases(t.Context(), rest)
		start(t, open(seen.handle, inbox.WithOrdering(), inbox.WithRescueAfter(time.Second)))
		reaches(t, in, inbox.Stats{Handled: 1})
		assert.GreaterOrEqual(t, time.Since(begin), rest)
	})
}

// Another process takes the deployment while its handler runs. The handler's
// context ends, and the event is not marked as handled.
func TestOrdering_LostLeaseEndsHandler(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		entered, told, release := make(chan struct{}, 1), make(chan error, 1), make(chan struct{})
		var n, handled atomic.Int32
		in := open(func(ctx context.Context, _ *payload.Event) error {
			if n.Add(1) == 1 {
				entered <- struct{}{}
				<-ctx.Done()
				told <- context.Cause(ctx)
				return nil
			}
			select {
			case <-release:
				handled.Add(1)
			case <-ctx.Done(): // a slow machine loses a lease, too
			}
			return context.Cause(ctx)
		}, inbox.WithOrdering(), inbox.WithRescueAfter(4*time.Second), inbox.WithHandlerTimeout(time.Hour))
		at := newEndpoint(t, in, "platform")
		at.accept(started(1))
		start(t, in)
		<-entered
		in.StealLeases(t.Context())
		require.ErrorIs(t, <-told, inbox.ErrLeaseLost)
		require.Eventually(t, func() bool { return n.Load() > 1 }, patience, often)
		assert.Equal(t, inbox.Pending, only(t, in).State)
		close(release)
		reaches(t, in, inbox.Stats{Handled: 1})
		assert.EqualValues(t, 1, handled.Load())
		assert.Equal(t, 1, only(t, in).Attempts, "the one that was lost does not count")
	})
}

// Runs a handler longer than its lease lasts without renewal. On a machine that
// was too slow to renew it, a longer lease is tried.
func TestOrdering_LongHandlerKeepsLease(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		for lease := 6 * time.Second; ; lease *= 2 {
			calls, overlaps := handleForLong(t, open, lease)
			if calls == 2 && overlaps == 0 {
				return
			}
			require.Less(t, lease, patience/4, "%d calls, %d of them during another", calls, overlaps)
		}
	})
}

// handleForLong has two inboxes on one database handle two events of a
// deployment. The first takes longer than the lease. It returns how often a
// handler was called, and how often while another was running.
func handleForLong(t *testing.T, open opener, lease time.Duration) (calls, overlaps int32) {
	t.Helper()
	var called, inside, both atomic.Int32
	handler := func(ctx context.Context, e *payload.Event) error {
		called.Add(1)
		if inside.Add(1) > 1 {
			both.Add(1)
		}
		defer inside.Add(-1)
		if e.Timestamp.Second() == 1 {
			select {
			case <-time.After(lease + 500*time.Millisecond):
			case <-ctx.Done():
			}
		}
		return ctx.Err()
	}
	one := open(handler, inbox.WithOrdering(), inbox.WithRescueAfter(lease))
	before := stats(t, one)
	at, deployment := newEndpoint(t, one, "platform"), "dep_"+lease.String()
	at.accept(eventText(payload.BuildCompleted, deployment, 1))
	at.accept(eventText(payload.BuildCompleted, deployment, 2))
	start(t, one)
	other := open(handler, inbox.WithOrdering(), inbox.WithRescueAfter(lease))
	start(t, other)
	before.Handled += 2
	before.OldestPending = time.Time{}
	reaches(t, one, before)
	for _, in := range []*inbox.Inbox{one, other} {
		require.NoError(t, in.Stop(context.WithoutCancel(t.Context())))
	}
	return called.Load(), both.Load()
}

// Each change in the table belongs to one claim. It never renews or releases a
// lease that has ended, nor one of another worker in the same process.
func TestLeaseTable_ChangesOnlyOwnClaim(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		in := open(func(context.Context, *payload.Event) error { return nil }, inbox.WithOrdering())
		table, key := in.LeaseTable(), []byte("deployment")
		take := func(claim int64) bool {
			t.Helper()
			ok, err := table.Take(t.Context(), key, claim, time.Hour)
			require.NoError(t, err)
			return ok
		}
		renew := func(claims ...int64) []int64 {
			t.Helper()
			renewed, err := table.Renew(t.Context(), claims, time.Hour)
			require.NoError(t, err)
			return renewed
		}
		require.True(t, take(1))
		require.False(t, take(2))
		require.Equal(t, []int64{1}, renew(1, 2))
		in.EndLeases(t.Context(), 0)
		require.Empty(t, renew(1), "it has ended")
		require.True(t, take(2))
		require.Equal(t, []int64{2}, renew(1, 2), "the first belongs to another worker of the same process")
		require.NoError(t, table.Release(t.Context(), []int64{1}))
		require.False(t, take(3), "the second is still there")
		require.NoError(t, table.Release(t.Context(), []int64{2}))
		require.True(t, take(3))
	})
}

// Several apps that one pipeline run deploys may share a deployment ID.
func TestOrdering_PerAppAndDeployment(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		var seen calls
		in := open(seen.handle, inbox.WithOrdering())
		at := newEndpoint(t, in, "platform")
		start(t, in)
		for i, app := range []string{"api", "web", "worker"} {
			at.accept(fmt.Sprintf(`{"event":"deploy.live","timestamp":"2026-03-12T14:22:%02dZ","deployment_id":"dep","app":%q,"environment":"e"}`, 30-i, app))
			reaches(t, in, inbox.Stats{Handled: i + 1})
		}
	})
}
