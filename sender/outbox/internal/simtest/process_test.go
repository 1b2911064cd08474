package simtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/deployhook/deployhook/internal/simulation/sim"
	"github.com/deployhook/deployhook/sender/outbox/internal/admission"
)

// maxSnooze is the longest documented snooze.
const maxSnooze = time.Hour

// process is one process with its limiter, and what it may do.
type process struct {
	s       *scenario
	p       *sim.Process
	limiter *admission.Limiter

	mu       sync.Mutex
	inFlight int
	of       map[*endpoint]*counts
}

// counts is what a process does with one endpoint.
type counts struct {
	inFlight  int
	openUntil time.Time // of the process's own breaker; zero if it is closed
	ramp      time.Time // when the breaker closed
	started   int       // attempts since
}

// work does what a worker does with one job until it is delivered.
func (proc *process) work(j *job) {
	if proc.p.Sleep(max(j.at-proc.s.w.Elapsed(), 0)) != nil {
		return
	}
	for proc.p.Alive() {
		r := j.endpoint.request(proc)
		permit, snooze, err := proc.limiter.Admit(proc.p.Context(), r)
		var wait time.Duration
		switch {
		case !proc.p.Alive():
			return
		case err != nil:
			proc.s.w.Cover("admit: error")
			wait = time.Second
		case permit == nil:
			proc.snooze(j, snooze)
			continue
		case proc.attempt(j, permit, r):
			return
		default:
			wait = time.Second + proc.s.below(10*time.Second)
		}
		if proc.p.Sleep(wait) != nil {
			return
		}
	}
}

func (s *scenario) below(most time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return below(s.draws, most)
}

// snooze puts a job back into the queue until its time, or until it is woken
// up.
func (proc *process) snooze(j *job, d time.Duration) {
	s := proc.s
	s.w.Cover("admit: snoozed")
	if d <= 0 || d > maxSnooze {
		s.w.Violate("a snooze of %v", d)
	}
	wake := make(chan struct{})
	s.mu.Lock()
	j.wake, j.snoozed = wake, time.Now()
	s.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-proc.p.Context().Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	j.wake = nil
}

// attempt makes an attempt and reports whether it delivered.
func (proc *process) attempt(j *job, permit *admission.Permit, r *admission.Request) bool {
	s, e := proc.s, j.endpoint
	s.w.Cover("admit: permit")
	proc.begin(e, r)
	outcome, takes := e.answer()
	killed := proc.p.Sleep(takes) != nil
	if killed {
		return false
	}
	proc.end(e, outcome)
	openUntil := permit.Release(outcome)
	proc.released(e, outcome, openUntil)
	e.store(outcome, openUntil)
	if outcome != admission.Succeeded {
		return false
	}
	s.w.Cover("job: delivered")
	s.mu.Lock()
	defer s.mu.Unlock()
	j.done = true
	return true
}

func (proc *process) counts(e *endpoint) *counts {
	c := proc.of[e]
	if c == nil {
		c = &counts{}
		proc.of[e] = c
	}
	return c
}

// begin checks that the attempt may start.
func (proc *process) begin(e *endpoint, r *admission.Request) {
	proc.mu.Lock()
	defer proc.mu.Unlock()
	c, w := proc.counts(e), proc.s.w
	proc.inFlight++
	c.inFlight++
	w.Log("%s: attempt to %s, %d in flight, version %d", proc.p.Name, e.id, c.inFlight, r.Version)
	if proc.inFlight > proc.s.config.Slots {
		w.Violate("%d attempts in flight with %d slots", proc.inFlight, proc.s.config.Slots)
	}
	if c.inFlight > e.concurrency {
		w.Violate("%d attempts in flight to %s, whose limit is %d", c.inFlight, e.id, e.concurrency)
	}
	if !proc.s.right || proc.s.edits > 0 {
		return
	}
	if time.Now().Before(c.openUntil) {
		w.Violate("an attempt to %s starts, although the breaker is open for %v", e.id, time.Until(c.openUntil))
	}
	if r.Interval > 0 {
		e.started()
	}
	if elapsed := time.Since(c.ramp); proc.s.count == 1 && elapsed < 7*time.Second {
		if c.started++; c.started > 1<<(elapsed/time.Second+1)-1 {
			w.Violate("attempt %d to %s in the %v after its breaker closed", c.started, e.id, elapsed)
		}
	}
}

func (proc *process) end(e *endpoint, o admission.Outcome) {
	proc.mu.Lock()
	defer proc.mu.Unlock()
	c := proc.counts(e)
	proc.inFlight--
	c.inFlight--
	proc.s.w.Log("%s: attempt to %s ends, outcome %d", proc.p.Name, e.id, o)
	if o == admission.Succeeded && !c.openUntil.IsZero() {
		c.openUntil, c.ramp, c.started = time.Time{}, time.Now(), 0
		proc.s.w.Cover("breaker: closes")
	}
}

// released notes that an attempt opened the breaker.
func (proc *process) released(e *endpoint, o admission.Outcome, openUntil time.Time) {
	if openUntil.IsZero() {
		return
	}
	proc.s.w.Cover("breaker: opens")
	proc.s.w.Log("%s: the breaker of %s opens for %v", proc.p.Name, e.id, time.Until(openUntil))
	if o != admission.Failed {
		proc.s.w.Violate("the outcome %d opened the breaker until %v", o, openUntil)
	}
	proc.mu.Lock()
	defer proc.mu.Unlock()
	c := proc.counts(e)
	c.openUntil, c.ramp = openUntil, time.Time{}
}

// endpoint is an endpoint and its row in the database.
type endpoint struct {
	s           *scenario
	id          string
	concurrency int
	interval    time.Duration
	downFrom    time.Duration
	downUntil   time.Duration

	mu        sync.Mutex
	version   int64
	failing   bool
	openUntil time.Time
	slotFree  time.Time
	starts    []time.Time
}

func newEndpoint(s *scenario, id string) *endpoint {
	e := &endpoint{s: s, id: id, concurrency: 1 + s.rand.IntN(10), downFrom: below(s.rand, s.trouble), version: 1}
	e.downUntil = min(e.downFrom+below(s.rand, time.Minute), s.trouble)
	e.interval = oneOf(s.rand, 0, 0, 100*time.Millisecond, time.Second)
	return e
}

// edit is a change by an operator.
func (e *endpoint) edit() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.version++
	e.openUntil, e.failing = time.Time{}, false
}

// request is what a worker reads from the row. It may be old when it is used.
func (e *endpoint) request(proc *process) *admission.Request {
	e.mu.Lock()
	r := &admission.Request{
		Endpoint: e.id, Version: e.version, Concurrency: e.concurrency, Failing: e.failing, BreakerOpenUntil: e.openUntil, Interval: e.interval,
		Slots: &slots{endpoint: e, proc: proc},
	}
	e.mu.Unlock()
	if !r.BreakerOpenUntil.IsZero() {
		e.s.w.Cover("breaker: read from the row")
	}
	if d, old := e.s.fault(rowOld, e.s.slow/5, 3*time.Second); old {
		_ = proc.p.Sleep(d) // the caller asks whether the process lives
	}
	return r
}

// answer is the outcome of an attempt and how long it takes.
func (e *endpoint) answer() (admission.Outcome, time.Duration) {
	fast := 20*time.Millisecond + e.s.below(60*time.Millisecond)
	now := e.s.w.Elapsed()
	if now < e.downFrom || now >= e.downUntil {
		return admission.Succeeded, fast
	}
	if d, slow := e.s.fault(endpointSlow, 0.3, 10*time.Second); slow {
		return admission.Succeeded, d
	}
	if _, gone := e.s.fault(endpointGone, 0.02, 0); gone {
		return admission.Gone, fast
	}
	e.s.w.Fault(endpointFails)
	return admission.Failed, fast
}

// store writes the outcome to the row.
func (e *endpoint) store(o admission.Outcome, openUntil time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case o == admission.Succeeded:
		e.openUntil, e.failing = time.Time{}, false
	case o == admission.Failed:
		e.failing = true
	}
	if openUntil.After(e.openUntil) {
		e.openUntil = openUntil
	}
}

// started checks the rate limit. The caller has a slot.
func (e *endpoint) started() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.starts = append(e.starts, time.Now())
	most := int(time.Second/e.interval) + 1
	if n := len(e.starts); n > most {
		if within := e.starts[n-1].Sub(e.starts[n-1-most]); within < time.Second {
			e.s.w.Violate("%d attempts to %s in %v, one for each %v is the limit", most+1, e.id, within, e.interval)
		}
	}
}

// slots are the slots of an endpoint's rate limit in the database.
type slots struct {
	endpoint *endpoint
	proc     *process
}

var errSlot = errors.New("the database failed")

func (sl *slots) Take(ctx context.Context, hold time.Duration) (taken bool, next time.Duration, err error) {
	e, s := sl.endpoint, sl.endpoint.s
	before, slow := s.fault(slotSlow, s.slow, 2*time.Second)
	if slow && sl.proc.p.Sleep(before) != nil {
		return false, 0, fmt.Errorf("taking a slot: %w", sim.ErrKilled)
	}
	if _, fails := s.fault(slotFails, s.slow/4, 0); fails {
		return false, 0, errSlot
	}
	taken, next = e.take(hold)
	after := s.below(before)
	if slow && sl.proc.p.Sleep(after) != nil {
		return false, 0, fmt.Errorf("taking a slot: %w", sim.ErrKilled)
	}
	return taken, next, ctx.Err()
}

func (e *endpoint) take(hold time.Duration) (bool, time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	if now.Before(e.slotFree) {
		e.s.w.Cover("rate: slot refused")
		return false, e.slotFree.Sub(now)
	}
	e.s.w.Cover("rate: slot taken")
	e.slotFree = now.Add(e.interval + hold)
	return true, e.interval + hold
}
