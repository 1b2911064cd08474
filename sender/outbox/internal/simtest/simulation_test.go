package simtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/deployhook/deployhook/internal/simulation/sim"
	"github.com/deployhook/deployhook/sender/outbox/internal/admission"
)

// The faults.
const (
	endpointFails  = "endpoint: fails"
	endpointSlow   = "endpoint: slow"
	endpointGone   = "endpoint: gone"
	searchSlow     = "database: slow search"
	searchFails    = "database: failing search"
	slotSlow       = "database: slow rate slot"
	slotFails      = "database: failing rate slot"
	rowOld         = "database: old row of an endpoint"
	clockStep      = "clock: step"
	clockDrift     = "clock: drift"
	operatorEdited = "operator: changes an endpoint"
)

// TestSimulation runs worlds of processes that admit attempts.
func TestSimulation(t *testing.T) {
	t.Parallel()
	flags.Run(t, sim.Simulation{Build: build, Enough: 1000, Expect: []string{
		endpointFails, endpointSlow, endpointGone, searchSlow, searchFails, slotSlow, slotFails, rowOld,
		clockStep, clockDrift, operatorEdited, "kill",
		"admit: permit", "admit: snoozed", "admit: error", "breaker: opens", "breaker: closes", "breaker: read from the row",
		"rate: slot taken", "rate: slot refused", "search: wakes jobs", "search: more jobs are left", "job: delivered",
	}})
}

// scenario is the world of one seed.
type scenario struct {
	w       *sim.World
	rand    *rand.Rand // of the plan
	config  admission.Config
	trouble time.Duration
	right   bool // all clocks
	edits   int  // by an operator
	count   int  // of processes
	slow    float64

	mu        sync.Mutex
	draws     *rand.Rand // of what happens later
	calm      bool
	endpoints []*endpoint
	jobs      []*job
}

// job is a delivery in the queue. It belongs to one process and its successors.
type job struct {
	number   int
	owner    int
	at       time.Duration
	endpoint *endpoint
	wake     chan struct{} // while it is snoozed
	snoozed  time.Time
	done     bool
}

func build(w *sim.World) {
	s := newScenario(w)
	for i := range s.count {
		s.lives(i)
	}
	s.planOperator()
	w.Plan(s.trouble, "the faults end", func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.calm = true
	})
	for until := s.trouble + time.Minute; until < s.trouble+6*time.Hour && s.left() > 0; until += time.Minute {
		w.Play(until)
	}
	if n := s.left(); n > 0 {
		w.Violate("%d of %d jobs are stuck", n, len(s.jobs))
	}
}

// oneOf returns one of some values.
func oneOf[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

func below(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(most) + 1))
}

func newScenario(w *sim.World) *scenario {
	r := w.Rand("scenario")
	s := &scenario{
		w: w, rand: r, draws: w.Rand("draws"), count: oneOf(r, 1, 1, 2), trouble: time.Second + below(r, 2*time.Minute),
		right: r.IntN(3) > 0, edits: oneOf(r, 0, 0, 3), slow: oneOf(r, 0, 0.1, 0.5),
		config: admission.Config{
			Slots:        oneOf(r, 1, 4, 20),
			PollInterval: oneOf(r, 200*time.Millisecond, time.Second),
			Breaker: admission.Breaker{
				Failures: 1 + r.IntN(5), Pause: oneOf(r, time.Second, 10*time.Second), MaxPause: oneOf(r, 10*time.Second, time.Minute),
			},
		},
	}
	for i := range 1 + r.IntN(4) {
		s.endpoints = append(s.endpoints, newEndpoint(s, fmt.Sprintf("ep_%d", i)))
	}
	for i := range 1 + r.IntN(30) {
		s.jobs = append(s.jobs, &job{number: i, owner: r.IntN(s.count), at: below(r, s.trouble), endpoint: oneOf(r, s.endpoints...)})
	}
	return s
}

func (s *scenario) left() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.jobs {
		if !j.done {
			n++
		}
	}
	return n
}

// fault draws whether a fault happens, and how long it takes if it takes time.
func (s *scenario) fault(kind string, odds float64, most time.Duration) (time.Duration, bool) {
	s.mu.Lock()
	f, d := s.draws.Float64(), below(s.draws, most)
	happens := f < odds && !s.calm
	s.mu.Unlock()
	if happens {
		s.w.Fault(kind)
	}
	return d, happens
}

// lives plans the life of a process and of its clock.
func (s *scenario) lives(owner int) {
	name, clock := fmt.Sprintf("process %d", owner), sim.NewClock()
	start := func() *sim.Process {
		return s.w.Start(name, clock, func(p *sim.Process) { s.start(p, owner) })
	}
	p := start()
	for range s.rand.IntN(3) {
		at := below(s.rand, s.trouble)
		s.w.Plan(at, "restart "+name, func() { p.Kill(); p = start() })
	}
	if s.right {
		return
	}
	step, rate := below(s.rand, 4*time.Minute)-2*time.Minute, s.rand.Float64()-0.5
	s.w.Plan(below(s.rand, s.trouble), clockStep, func() { s.w.Fault(clockStep); clock.Step(step) })
	s.w.Plan(below(s.rand, s.trouble), clockDrift, func() { s.w.Fault(clockDrift); clock.Drift(rate) })
	s.w.Plan(s.trouble, "the clock is right", clock.Set)
}

// start starts a process, which takes over the jobs of its predecessor.
func (s *scenario) start(p *sim.Process, owner int) {
	c := s.config
	c.Clock = p.Clock.Now
	proc := &process{s: s, p: p, limiter: admission.New(c), of: map[*endpoint]*counts{}}
	p.Go(func() { proc.limiter.Run(p.Context(), proc.find) })
	for _, j := range s.jobs {
		if j.owner == owner && !j.done {
			p.Go(func() { proc.work(j) })
		}
	}
}

// planOperator plans changes of endpoints. Each resets a breaker.
func (s *scenario) planOperator() {
	for range s.edits {
		e := oneOf(s.rand, s.endpoints...)
		s.w.Plan(below(s.rand, s.trouble), operatorEdited, func() { s.w.Fault(operatorEdited); e.edit() })
	}
}

// find is a search in the database for snoozed jobs.
func (proc *process) find(ctx context.Context, all []admission.Search) (found []admission.Found) {
	s := proc.s
	if d, slow := s.fault(searchSlow, s.slow, 5*time.Second); slow && proc.p.Sleep(d) != nil {
		return nil
	}
	if _, fails := s.fault(searchFails, s.slow/4, 0); fails || ctx.Err() != nil {
		return nil
	}
	for _, search := range all {
		found = append(found, s.wakeUp(search))
	}
	return found
}

// recordedAfter is how long the queue takes to record a snooze.
const recordedAfter = 250 * time.Millisecond

func (s *scenario) wakeUp(search admission.Search) (f admission.Found) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.jobs {
		name := fmt.Sprintf("%06d", j.number)
		if j.wake == nil || j.endpoint.id != search.Endpoint || name <= search.After || time.Since(j.snoozed) < recordedAfter {
			continue
		}
		if f.Woken == search.Most {
			s.w.Cover("search: more jobs are left")
			return f
		}
		close(j.wake)
		j.wake = nil
		f.Woken, f.Next = f.Woken+1, name
		s.w.Cover("search: wakes jobs")
	}
	f.Next = ""
	return f
}
