package outbox_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// step is an event of a deployment that no other supersedes.
func step(deployment string, second int) *payload.Event {
	e := event("platform.step", deployment)
	e.Timestamp = e.Timestamp.Add(time.Duration(second) * time.Second)
	return e
}

// failing answers 500 to the deliveries that were added.
type failing struct {
	mu  sync.Mutex
	ids map[string]bool
}

func (f *failing) set(id string, fails bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ids == nil {
		f.ids = map[string]bool{}
	}
	f.ids[id] = fails
}

func (f *failing) answer(_ int, r received) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ids[r.header.Get("Webhook-Id")] {
		return 500
	}
	return 200
}

// ordered has an endpoint whose retries come an hour later. No attempt fails
// because the machine is slow.
func ordered(t *testing.T, w *world, opts ...outbox.Option) (o *outbox.Outbox, h *hook, f *failing) {
	f = &failing{}
	h = newHook(t, f.answer)
	o = w.open(t, append([]outbox.Option{outbox.WithOrdering(), outbox.WithSchedule("hourly", hourly), outbox.WithMaxTimeout(patience)}, opts...)...)
	c := endpointAt(h.URL)
	c.Schedule, c.Timeout = "hourly", patience
	create(t, o.App("shop"), c)
	return o, h, f
}

// attempted waits until a delivery has failed once.
func attempted(t *testing.T, o *outbox.Outbox, id string) {
	t.Helper()
	eventually(t, func() bool {
		d := find(t, o, id)
		return d.Attempts == 1 && d.State == outbox.Pending
	}, "no attempt")
}

// The first delivery of a deployment is retried in an hour. The next ones wait
// without an attempt, whether they were published before or after. Another
// deployment, another endpoint and another app are not delayed. When the first
// one is accepted, the others follow in order.
func TestOrdering_NewerWaitsForOlder(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o, h, f := ordered(t, w)
		fine := newHook(t, nil)
		c := endpointAt(fine.URL)
		c.Timeout = patience
		create(t, o.App("shop"), c)
		create(t, o.App("other"), c)
		at := func(deployment string, second int) string {
			return publish(t, o.App("shop"), step(deployment, second)).Deliveries[0].ID
		}
		third, head, next := at("dep_1", 3), at("dep_1", 1), at("dep_1", 2)
		f.set(head, true)
		require.NoError(t, o.Start(t.Context()))
		attempted(t, o, head)
		last := at("dep_1", 4)
		settled(t, o, at("dep_2", 9), outbox.Delivered)
		settled(t, o, publish(t, o.App("other"), step("dep_1", 9)).Deliveries[0].ID, outbox.Delivered)
		eventually(t, func() bool { return fine.count() == 6 }, "the other endpoint waits")
		for _, id := range []string{next, third, last} {
			d := find(t, o, id)
			require.Contains(t, []outbox.State{outbox.Pending, outbox.Delivering}, d.State) // its job may run and find the older one
			require.Zero(t, d.Attempts)
			require.Empty(t, h.sent(id))
		}

		f.set(head, false)
		require.NoError(t, o.App("shop").Replay(t.Context(), head))
		for _, id := range []string{head, next, third, last} {
			settled(t, o, id, outbox.Delivered)
		}
		var order []string
		for _, r := range h.requests()[1:] {
			if id := r.header.Get("Webhook-Id"); id == head || id == next || id == third || id == last {
				order = append(order, id)
			}
		}
		require.Equal(t, []string{head, next, third, last}, order[len(order)-4:])
	})
}

// However a delivery ends, the next one is sent at once.
func TestOrdering_NextFollowsEveryEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end   func(t *testing.T, o *outbox.Outbox, event string)
		state outbox.State
	}{
		"superseded": {func(t *testing.T, o *outbox.Outbox, _ string) {
			live := event(payload.DeployLive, "dep_1")
			live.Timestamp = live.Timestamp.Add(time.Minute)
			publish(t, o.App("shop"), live)
		}, outbox.Superseded},
		"erased": {func(t *testing.T, o *outbox.Outbox, event string) {
			require.NoError(t, o.App("shop").EraseEvent(t.Context(), event))
		}, outbox.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, w *world) {
				o, _, f := ordered(t, w, outbox.WithSupersession())
				p := publish(t, o.App("shop"), event(payload.DeployStarted, "dep_1"))
				head := p.Deliveries[0].ID
				f.set(head, true)
				next := publish(t, o.App("shop"), step("dep_1", 1)).Deliveries[0].ID
				require.NoError(t, o.Start(t.Context()))
				attempted(t, o, head)
				w.blocked(t, o, next)
				c.end(t, o, p.EventID)
				settled(t, o, head, c.state)
				settled(t, o, next, outbox.Delivered)
			})
		})
	}
}

// A dead letter delays no other delivery. A replay of it comes late.
func TestOrdering_DeadLetterLetsOthersPass(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o, h, f := ordered(t, w, outbox.WithSchedule("hourly", sender.Once))
		head := publish(t, o.App("shop"), step("dep_1", 1)).Deliveries[0].ID
		f.set(head, true)
		next := publish(t, o.App("shop"), step("dep_1", 2)).Deliveries[0].ID
		require.NoError(t, o.Start(t.Context()))
		settled(t, o, head, outbox.Failed)
		settled(t, o, next, outbox.Delivered)
		f.set(head, false)
		require.NoError(t, o.App("shop").Replay(t.Context(), head))
		settled(t, o, head, outbox.Delivered)
		require.Len(t, h.sent(next), 1)
	})
}

// blocked waits until a delivery waits for an older one.
func (w *world) blocked(t *testing.T, o *outbox.Outbox, id string) {
	t.Helper()
	eventually(t, func() bool {
		d := find(t, o, id)
		require.Contains(t, []outbox.State{outbox.Pending, outbox.Delivering}, d.State)
		require.Zero(t, d.Attempts)
		return time.Until(d.NextAt) > time.Minute
	}, "it is due")
}

// Deployments with many events of two endpoints, which fail at random, are
// delivered by processes that stop and start again. Each endpoint accepts the
// events of a deployment in the order of their times.
func TestOrdering_Property(t *testing.T) {
	t.Parallel()
	const deployments, events = 5, 12
	onEach(t, func(t *testing.T, w *world) {
		accepted := [2]*acceptance{newAcceptance(), newAcceptance()}
		opts := []outbox.Option{
			outbox.WithOrdering(), outbox.WithSchedule(outbox.SchedulePlatform, platformIn(40)), outbox.WithBreaker(1000, time.Second, time.Second),
			outbox.WithStopTimeout(patience),
		}
		o := w.open(t, opts...)
		for _, a := range accepted {
			create(t, o.App("shop"), endpointAt(newHook(t, a.answer).URL))
		}
		done, restarts := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(restarts)
			for {
				p, err := w.tryOpen(opts...)
				if err != nil || p.Start(context.Background()) != nil {
					t.Error("a process did not start", err)
					return
				}
				for range rand.N(30) {
					select {
					case <-accepted[0].requests:
					case <-done:
					}
				}
				if err := p.Close(); err != nil {
					t.Error(err)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		}()
		w.start(t, opts...)
		var ids []string
		for n := range events {
			for d := range deployments {
				e := step("dep_"+strconv.Itoa(d), n)
				for _, ref := range publish(t, o.App("shop"), e).Deliveries {
					ids = append(ids, ref.ID)
				}
			}
		}
		for _, id := range ids {
			settled(t, o, id, outbox.Delivered)
		}
		close(done)
		<-restarts
		for _, a := range accepted {
			a.require(t, deployments*events)
		}
	})
}

// acceptance is what an endpoint that fails at random has accepted.
type acceptance struct {
	requests chan struct{} // gets a value for each request, if it is read

	mu       sync.Mutex
	first    map[string]bool
	last     map[string]time.Time // of each deployment
	failures []string
}

func newAcceptance() *acceptance {
	return &acceptance{requests: make(chan struct{}), first: map[string]bool{}, last: map[string]time.Time{}}
}

func (a *acceptance) answer(_ int, r received) int {
	select {
	case a.requests <- struct{}{}:
	default:
	}
	if rand.N(4) == 0 {
		return 500
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	id := r.header.Get("Webhook-Id")
	e, err := payload.DecodeEvent(r.body)
	if err != nil || a.first[id] {
		return 200
	}
	a.first[id] = true
	if last := a.last[e.DeploymentID]; e.Timestamp.Before(last) {
		a.failures = append(a.failures, fmt.Sprintf("%s: %v after %v", e.DeploymentID, e.Timestamp, last))
	}
	a.last[e.DeploymentID] = e.Timestamp
	return 200
}

func (a *acceptance) require(t *testing.T, n int) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	require.Empty(t, a.failures)
	require.Len(t, a.first, n)
}
