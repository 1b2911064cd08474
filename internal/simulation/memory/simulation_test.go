package memory

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/simulation/sim"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

const rotated = "operator: rotates the secret"

// TestSimulation runs worlds on memory stores.
func TestSimulation(t *testing.T) {
	t.Parallel()
	flags.Run(t, sim.Simulation{Build: build, Enough: 10_000, Expect: slices.Concat(
		sim.NetworkFaults(), storeFaults, handlerFaults, ledgerFaults,
		[]string{"kill", rotated, storeOutage, signerFails, signerSlow, clockStep, clockDrift},
		[]string{
			"claim: fresh", "claim: duplicate", "claim: in flight", "claim: lease had ended", "claim: full",
			"claim: again after a release", "claim: again after the TTL", "renew", "renew: lease lost",
			"complete", "complete: fenced", "complete: after the lease had ended",
			"release", "release: fenced", "release: after the lease had ended",
			"effect: first", "effect: again", "effect: write of an old token refused",
			"transaction: committed", "transaction: failed or its answer lost",
			"receiver: handled", "receiver: duplicate", "receiver: in_flight", "receiver: refused", "receiver: unauthenticated",
			"receiver: failed", "receiver: panicked", "receiver: unavailable",
			"attempt: delivered ", "attempt: failed status", "attempt: failed connect", "attempt: failed reset",
			"attempt: failed timeout", "attempt: failed signer", "attempt: canceled canceled",
			"delivery: delivered", "delivery: failed", "retry: after Retry-After",
			"retry: pipeline after attempt 6", "retry: platform after attempt 5", "retry: standard after attempt 9",
			"ledger: created", "ledger: updated", "ledger: stale",
		},
	)})
}

// scenario is the world of one seed.
type scenario struct {
	w    *sim.World
	rand *rand.Rand
	calm *calm

	// what the seed chose
	mode          mode
	private       bool // each receiver process has its own store
	lease         time.Duration
	storeTimeout  time.Duration
	ttl           time.Duration
	capacity      int
	timeout       time.Duration // of an attempt
	maxRetryAfter time.Duration
	schedule      int
	receivers     int
	outages       int // of the store, for each receiver
	storeOdds     float64
	handlerOdds   float64
	signerOdds    float64
	trouble       time.Duration // how long there are faults

	store    *sharedStore
	privates []*sharedStore
	clients  map[string]*client // of the latest process with a name
	effects  *effects
	ledger   *ledger
	jobs     []*job

	platformClock *sim.Clock
	keys          *keyring
	signers       atomic.Pointer[signer.Standard]
	signerMu      sync.Mutex
	signerRand    *rand.Rand
}

func build(w *sim.World) {
	s := newScenario(w)
	s.addJobs()
	s.planReceivers()
	s.planPlatform()
	s.planRotations()
	w.Plan(s.trouble, "the faults end", s.settle)
	w.Always(s.ledger.check)
	w.Play(s.trouble + s.longest() + time.Hour)
	s.allEnded()
	s.roomReturns()
}

// oneOf returns one of some values.
func oneOf[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

func newScenario(w *sim.World) *scenario {
	r := w.Rand("scenario")
	s := &scenario{
		w: w, rand: r, calm: &calm{}, clients: map[string]*client{},
		lease:         oneOf(r, time.Second, 2*time.Second, 5*time.Second, 30*time.Second),
		storeTimeout:  oneOf(r, time.Second, 5*time.Second),
		ttl:           oneOf(r, 10*time.Minute, 48*time.Hour, 100*time.Hour),
		capacity:      oneOf(r, 4, 1000, 1000, 1000),
		timeout:       oneOf(r, 3*time.Second, 15*time.Second),
		maxRetryAfter: oneOf(r, 0, time.Minute, 5*time.Minute),
		schedule:      oneOf(r, 0, 0, 0, 1, 1, 1, 2, 3),
		private:       r.IntN(4) == 0,
		receivers:     1 + r.IntN(3),
		outages:       oneOf(r, 0, 0, 3),
		storeOdds:     oneOf(r, 0, 0.05, 0.3),
		handlerOdds:   oneOf(r, 0, 0.2, 0.6),
		signerOdds:    oneOf(r, 0, 0.1),
		trouble:       duration(r, oneOf(r, time.Minute, 5*time.Minute, 20*time.Minute)),
		platformClock: sim.NewClock(),
		keys:          &keyring{},
		signerRand:    w.Rand("signer"),
	}
	if s.private {
		s.receivers = 1 // more would be a documented misuse
	} else {
		s.mode = mode(r.IntN(int(modes)))
	}
	s.effects = newEffects(w, s.ttl)
	s.effects.transactional = s.mode == transactional
	s.store = newStore(w, "store", s.ttl, s.capacity, s.storeOdds, s.calm)
	s.ledger = newLedger(w, oneOf(r, 0, 0.2), s.calm)
	odds := sim.Even(oneOf(r, 0, 0.1, 0.4, 0.8))
	if r.IntN(3) == 0 {
		s.storm(odds)
	}
	w.Net.Disturb(odds)
	return s
}

// storm makes leases end while handlers run and copies of their deliveries
// arrive. Chance alone rarely does.
func (s *scenario) storm(odds sim.Odds) {
	odds[sim.Duplicate] = 0.5
	s.outages = 20
	s.handlerOdds = 0.8
	s.lease = oneOf(s.rand, time.Second, 2*time.Second)
	s.trouble = time.Minute + duration(s.rand, 2*time.Minute)
	if !s.private {
		s.receivers = 3
		s.mode = oneOf(s.rand, plain, fenced, fenced, transactional)
		s.effects.transactional = s.mode == transactional
	}
}

// addJobs stores what the platform has to deliver.
func (s *scenario) addJobs() {
	for i := range 2 + s.rand.IntN(5) {
		id := fmt.Sprintf("whk_%d", i)
		at := duration(s.rand, s.trouble)
		kind := oneOf(s.rand, "/events", "/records", "/raw")
		s.jobs = append(s.jobs, &job{msg: sender.Message{ID: id, Body: body(kind, id, payload.StatusSuccess)}, path: kind, at: at})
	}
	for i := range s.rand.IntN(2) {
		id := fmt.Sprintf("d%d", i)
		story := oneOf(s.rand, stories...)
		s.ledger.story[id] = story
		at := duration(s.rand, s.trouble)
		for step, status := range story {
			s.jobs = append(s.jobs, &job{
				msg:  sender.Message{ID: fmt.Sprintf("whk_%s_%d", id, step), Body: body("/deployments", id, status)},
				path: "/deployments", at: at, story: id, step: step,
			})
			at += duration(s.rand, 10*time.Second) // a report often overtakes the one before it
		}
	}
}

// body returns the body of a delivery.
func body(kind, id string, status payload.Status) []byte {
	now := time.Now()
	if kind == "/events" {
		e := payload.Event{Type: payload.DeployLive, Timestamp: now, DeliveryID: id, DeploymentID: "d-" + id, App: "shop", Environment: "production"}
		return must(e.Encode())
	}
	d := payload.Deployment{DeploymentID: id, CommitSHA: "0123456789abcdef", Environment: "production", Service: "shop", Status: status, StartedAt: now}
	if status.Terminal() {
		d.CompletedAt = now.Add(time.Minute)
	}
	if status == payload.StatusRolledBack {
		d.CompletedAt = now.Add(2 * time.Minute)
	}
	return must(d.Encode())
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // a mistake of the world
	}
	return v
}

// planReceivers plans when each receiver is killed and restarted.
func (s *scenario) planReceivers() {
	for i := range s.receivers {
		name := fmt.Sprintf("receiver %d", i)
		s.lives(name, s.startReceiver, s.rand.IntN(4))
		s.planOutages(name)
	}
}

// planOutages plans when a receiver can't reach the store. It then loses its
// leases, while other receivers claim the deliveries.
func (s *scenario) planOutages(name string) {
	for range s.outages {
		at := duration(s.rand, s.trouble)
		back := min(at+s.lease+duration(s.rand, 2*s.lease), s.trouble)
		s.w.Plan(at, "outage", func() { s.clients[name].cutOff(true) })
		s.w.Plan(back, "the outage ends", func() { s.clients[name].cutOff(false) })
	}
}

// planPlatform plans the same for the platform, and what its clock does.
func (s *scenario) planPlatform() {
	s.lives("platform", func(string) *sim.Process { return s.startPlatform() }, s.rand.IntN(2))
	if s.rand.IntN(3) == 0 {
		step := duration(s.rand, 20*time.Minute) - 10*time.Minute
		s.w.Plan(duration(s.rand, s.trouble), clockStep, func() { s.w.Fault(clockStep); s.platformClock.Step(step) })
	}
	if s.rand.IntN(3) == 0 {
		rate := s.rand.Float64() - 0.5
		s.w.Plan(duration(s.rand, s.trouble), clockDrift, func() { s.w.Fault(clockDrift); s.platformClock.Drift(rate) })
	}
}

// lives starts a process and plans its deaths.
func (s *scenario) lives(name string, start func(name string) *sim.Process, deaths int) {
	p := start(name)
	at := make([]time.Duration, deaths)
	for i := range at {
		at[i] = duration(s.rand, s.trouble)
	}
	slices.Sort(at)
	for i, death := range at {
		back := death + time.Millisecond + duration(s.rand, time.Minute)
		if i+1 < len(at) {
			back = min(back, at[i+1])
		}
		s.w.Plan(death, "kill "+name, func() { p.Kill() })
		s.w.Plan(max(back, death+1), "restart "+name, func() { p = start(name) })
	}
}

// planRotations plans the steps of rotating the secret. Some operators get
// their order wrong, so that receivers refuse deliveries for a while.
func (s *scenario) planRotations() {
	older, newer := secret(s.w, "older"), secret(s.w, "newer")
	both := scheme(older, newer)
	s.keys.current.Store(scheme(older))
	s.signers.Store(scheme(older))
	if s.rand.IntN(2) == 0 {
		return
	}
	steps := []func(){
		func() { s.keys.current.Store(both) },
		func() { s.signers.Store(both) },
		func() { s.signers.Store(scheme(newer)) },
		func() { s.keys.current.Store(scheme(newer)) },
	}
	if s.rand.IntN(3) == 0 {
		s.rand.Shuffle(2, func(i, j int) { steps[2*i], steps[2*j] = steps[2*j], steps[2*i] })
	}
	at := duration(s.rand, s.trouble/2)
	for _, step := range steps {
		s.w.Plan(at, rotated, func() { s.w.Fault(rotated); step() })
		at += duration(s.rand, s.trouble/8)
	}
	s.w.Plan(s.trouble, "the rotation ends", func() { s.keys.current.Store(both); s.signers.Store(both) })
}

func secret(w *sim.World, name string) signer.Secret {
	r, key := w.Rand("secret "+name), make([]byte, 32)
	for i := range key {
		key[i] = byte(r.Uint32())
	}
	return must(signer.ParseSecret("whsec_" + base64.StdEncoding.EncodeToString(key)))
}

func scheme(keys ...signer.Secret) *signer.Standard {
	opts := []signer.Option{signer.WithPrincipal(organization), signer.WithTolerance(tolerance)}
	for _, key := range keys[1:] {
		opts = append(opts, signer.WithKey(key))
	}
	return must(signer.NewStandard(keys[0], opts...))
}

func (s *scenario) signerFault() (string, time.Duration) {
	s.signerMu.Lock()
	defer s.signerMu.Unlock()
	f, slow, wait := s.signerRand.Float64(), s.signerRand.IntN(2) == 0, duration(s.signerRand, 20*time.Second)
	switch {
	case f >= s.signerOdds || s.calm.before(time.Now(), 0):
		return "", 0
	case slow:
		return signerSlow, wait
	}
	return signerFails, 0
}

// settle ends all faults.
func (s *scenario) settle() {
	s.w.Net.Disturb(nil)
	s.platformClock.Set()
	s.calm.set()
}

// allEnded checks that no delivery is stuck.
func (s *scenario) allEnded() {
	for _, j := range s.jobs {
		if !j.done() {
			s.w.Violate("%s is stuck: neither delivered nor exhausted after %v", j.msg.ID, s.w.Elapsed())
		}
	}
}

// roomReturns checks that a store forgets everything after its TTL. It then has
// room for as many keys as a new one, and for no other.
func (s *scenario) roomReturns() {
	time.Sleep(s.ttl + time.Hour) // the bubble's time
	store := s.store
	if len(s.privates) > 0 {
		store = s.privates[len(s.privates)-1]
	}
	if s.capacity > 100 && s.rand.IntN(20) > 0 {
		return // it takes long
	}
	ctx := context.Background()
	for i := range s.capacity {
		if c, err := store.memory.Claim(ctx, dedupe.NewKey("room", "", fmt.Sprint(i)), time.Hour); err != nil || c.State != dedupe.Claimed {
			s.w.Violate("claim %d of %d after the TTL: %v %v", i+1, s.capacity, c.State, err)
			return
		}
	}
	if _, err := store.memory.Claim(ctx, dedupe.NewKey("room", "", "one more"), time.Hour); err == nil || !strings.Contains(err.Error(), "full") {
		s.w.Violate("a full store granted a claim: %v", err)
	}
	if n := store.memory.Len(); n != s.capacity {
		s.w.Violate("a full store of %d keys has %d", s.capacity, n)
	}
}
