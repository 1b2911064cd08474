//go:build !race

package outbox

import (
	"context"
	cli "flag" // flag is a function of this package
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox/internal/admission"
)

var (
	recoveryEndpoints = cli.Int("outbox.recovery", 2_000, "how many endpoints TestProofRecovery simulates; the gate simulates 10,000")
	recoveryAll       = cli.Bool("outbox.recovery.all", false, "simulate more outages than two")
)

// recoveryBin is the length of a bin in which attempts are counted. It is a
// second for ten thousand endpoints. For fewer endpoints it is longer, so that
// a bin has the same number of attempts and chance has the same influence.
func recoveryBin(endpoints int) time.Duration {
	return max(10_000/time.Duration(endpoints), 1) * time.Second
}

// TestProofRecovery lets 2,000 endpoints fail, and come back at the same
// second, or as many as -outbox.recovery says. It runs the outbox's own
// admission and schedule in virtual time and in one process. A goroutine for
// each delivery does what Work does. It asks for admission and makes an
// attempt, which takes 20 to 80 ms and succeeds or fails as its endpoint does.
// Then it waits for as long as it is told, until the next poll of the queue,
// which is polled five times a second. There is no database and no HTTP in it.
// TestProofRecoveryReal has them.
//
// What is bounded is the peak second (see recoveryBin) against the mean over
// the recovery, which lasts from the first attempt that succeeds until nine
// tenths of the endpoints have accepted something: the last ones come by and
// by, and would only make the mean smaller.
//
// Endpoints with one delivery each see four failures at most, which open no
// breaker, so that it is the schedule alone that says when they come. Where all
// were published together they come in one wave, to which the bound applies.
// Where they were published one after another, some come in the first seconds,
// others ten minutes later and none between, and the mean of that says nothing:
// there, coming back must cause no second with more attempts than there were
// before, when nothing answered.
//
// The delays are random, so that a bin can have many more attempts than the
// others by chance, about once in some hundred simulations. An outage whose
// result is out of bounds is therefore simulated again. A defect shows in each
// simulation.
func TestProofRecovery(t *testing.T) {
	for _, c := range []recoveryCase{
		{outage: 20 * time.Minute, within: time.Second, backlog: 5}, // all begin to fail together, too
		{outage: time.Minute, within: time.Minute, backlog: 5, more: true},
		{outage: 5 * time.Minute, within: 5 * time.Minute, backlog: 5, more: true},
		{outage: 30 * time.Minute, within: 30 * time.Minute, backlog: 3, more: true},
		{outage: 2 * time.Hour, within: 2 * time.Hour, backlog: 5, more: true},
		{outage: 30 * time.Second, within: time.Second, backlog: 1, jitter: 15 * time.Second},
		{outage: 2 * time.Minute, within: time.Second, backlog: 1, jitter: 45 * time.Second},
		{outage: 10 * time.Minute, within: time.Second, backlog: 1, jitter: 105 * time.Second},
		{outage: 20 * time.Minute, within: time.Second, backlog: 1, jitter: 105 * time.Second},
		{outage: 5 * time.Minute, within: 5 * time.Minute, backlog: 1, spread: true},
	} {
		if c.more && !*recoveryAll {
			continue
		}
		t.Run(fmt.Sprintf("%v, %d each, published within %v", c.outage, c.backlog, c.within), func(t *testing.T) {
			t.Parallel()
			var wrong []string
			for try := 0; try == 0 || len(wrong) > 0 && try < recoveryTries; try++ {
				synctest.Test(t, func(t *testing.T) { wrong = c.simulate(t, *recoveryEndpoints) })
			}
			assert.Empty(t, wrong, "in each of %d simulations", recoveryTries)
		})
	}
}

// recoveryTries is how often an outage is simulated at most.
const recoveryTries = 3

// recoveryCase is an outage.
type recoveryCase struct {
	outage, within time.Duration
	backlog        int
	more           bool          // only with -outbox.recovery.all
	jitter         time.Duration // that the schedule has added up by the wave in which they come
	spread         bool          // over several waves
}

// simulate returns what was out of bounds.
func (c *recoveryCase) simulate(t *testing.T, endpoints int) (wrong []string) {
	s := simulate(t, endpoints, c.backlog, c.outage, c.within)
	most, all := s.histogram(0.9), s.histogram(1)
	t.Logf("%d attempts while nothing answered, %d of them in the worst bin; until nine tenths were back: %v; until all were: %v",
		len(s.before), slices.Max(s.binsBefore()), most, all)
	assert.Equal(t, endpoints*c.backlog, s.delivered+s.dead)
	atMost := func(what string, n, bound float64) {
		if n > bound {
			wrong = append(wrong, fmt.Sprintf("%s: %.2f, over %.2f", what, n, bound))
		}
	}
	peak := float64(slices.Max(all.counts))
	if c.jitter == 0 { // a single wave is narrower, and held to its mean
		atMost("the peak", peak, float64(max(endpoints*c.backlog/20, 100)*int(s.bin/time.Second)-1))
	}
	if c.spread {
		atMost("the peak against that of the outage", peak, float64(slices.Max(s.binsBefore())))
		return wrong
	}
	atMost("the peak against the mean", most.ratio(), 2)
	if width := int(c.jitter * 9 / 10 / s.bin); len(all.counts) <= width {
		wrong = append(wrong, fmt.Sprintf("the wave has %d bins, and the jitter %d", len(all.counts), width))
	}
	return wrong
}

type simulation struct {
	limiter  *admission.Limiter
	back     time.Time // when all endpoints are back
	schedule sender.Schedule
	backlog  int64 // of each endpoint

	mu              sync.Mutex
	waiting         map[int64]chan struct{}      // the jobs that are snoozed
	health          map[string]admission.Request // what the endpoints' rows say
	up              map[string]bool
	bin             time.Duration
	recovered       []time.Duration // when each endpoint had its first success
	after           []time.Duration // when attempts were made, from when the endpoints were back
	before          []time.Duration // when they were made until then, from the same time
	delivered, dead int
}

func simulate(t *testing.T, endpoints, backlog int, outage, within time.Duration) *simulation {
	s := &simulation{
		back: time.Now().Add(outage), backlog: int64(backlog), bin: recoveryBin(endpoints), schedule: sender.Platform, waiting: map[int64]chan struct{}{}, health: map[string]admission.Request{}, up: map[string]bool{},
	}
	s.limiter = defaultLimiter()
	var wg sync.WaitGroup
	for i := range endpoints {
		id := strconv.Itoa(i)
		s.health[id] = admission.Request{Endpoint: id, Concurrency: DefaultMaxConcurrency}
		for k := range backlog {
			wg.Go(func() { s.deliver(id, int64(i*backlog+k), rand.N(within)) })
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go s.limiter.Run(ctx, s.find)
	wg.Wait()
	return s
}

func (s *simulation) find(_ context.Context, all []admission.Search) (found []admission.Found) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, search := range all {
		var f admission.Found
		first, _ := strconv.ParseInt(search.Endpoint, 10, 64)
		for job := first * s.backlog; job < (first+1)*s.backlog && f.Woken < search.Most; job++ {
			if ch := s.waiting[job]; ch != nil {
				close(ch)
				delete(s.waiting, job)
				f.Woken++
			}
		}
		if f.Woken == search.Most {
			f.Next = "more"
		}
		found = append(found, f)
	}
	return found
}

// deliver simulates one delivery from the time at which it is published.
func (s *simulation) deliver(endpoint string, job int64, at time.Duration) {
	time.Sleep(at) // fake time of the bubble
	s.mu.Lock()
	openUntil := s.health[endpoint].BreakerOpenUntil
	s.mu.Unlock()
	time.Sleep(max(0, time.Until(openUntil))) // as Publish does
	for step := 0; ; {
		s.mu.Lock()
		r := s.health[endpoint]
		s.mu.Unlock()
		p, snooze, err := s.limiter.Admit(context.Background(), &r)
		if err != nil {
			panic(err) // there is no rate limit
		}
		if p == nil {
			s.wait(job, snooze)
			continue
		}
		if s.attempt(endpoint, p) {
			return
		}
		wait, more := nthWait(s.schedule, step, 0)
		if step++; !more {
			s.mu.Lock()
			s.dead++
			s.mu.Unlock()
			return
		}
		time.Sleep(untilPoll(wait)) // fake time of the bubble
	}
}

func untilPoll(d time.Duration) time.Duration {
	at := time.Now().Add(d)
	if rest := at.Sub(at.Truncate(jobdb.DefaultPollInterval)); rest > 0 {
		d += jobdb.DefaultPollInterval - rest
	}
	return d
}

// wait is a snooze.
func (s *simulation) wait(job int64, d time.Duration) {
	ch := make(chan struct{})
	s.mu.Lock()
	s.waiting[job] = ch
	s.mu.Unlock()
	timer := time.NewTimer(untilPoll(d))
	defer timer.Stop()
	select {
	case <-ch:
	case <-timer.C:
		s.mu.Lock()
		delete(s.waiting, job)
		s.mu.Unlock()
	}
}

func (s *simulation) attempt(endpoint string, p *admission.Permit) (ok bool) {
	begin := time.Now()
	ok = !begin.Before(s.back)
	s.mu.Lock()
	if ok {
		s.after = append(s.after, begin.Sub(s.back))
		if !s.up[endpoint] {
			s.up[endpoint] = true
			s.recovered = append(s.recovered, begin.Sub(s.back))
		}
	} else {
		s.before = append(s.before, begin.Sub(s.back))
	}
	s.mu.Unlock()
	time.Sleep(20*time.Millisecond + rand.N(60*time.Millisecond)) // fake time of the bubble
	outcome := admission.Failed
	if ok {
		outcome = admission.Succeeded
	}
	until := p.Release(outcome)
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.health[endpoint]
	if h.Failing = !ok; ok {
		s.delivered++
		h.BreakerOpenUntil = time.Time{}
	} else if !until.IsZero() {
		h.BreakerOpenUntil = until
	}
	s.health[endpoint] = h
	return ok
}

// binsOf counts the attempts in each bin of the recovery.
type binsOf struct {
	counts []int
	bin    time.Duration
}

// histogram counts the attempts from the first success until the given share of
// endpoints has had a success.
func (s *simulation) histogram(share float64) binsOf {
	slices.Sort(s.recovered)
	first, last := s.recovered[0], s.recovered[int(share*float64(len(s.recovered)-1))]
	h := binsOf{make([]int, int((last-first)/s.bin)+1), s.bin}
	for _, d := range s.after {
		if d <= last {
			h.counts[(d-first)/s.bin]++
		}
	}
	return h
}

func (s *simulation) binsBefore() []int {
	first := slices.Min(s.before)
	counts := make([]int, int(-first/s.bin)+1)
	for _, d := range s.before {
		counts[(d-first)/s.bin]++
	}
	return counts
}

func sum(counts []int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

func (h binsOf) mean() float64 { return float64(sum(h.counts)) / float64(len(h.counts)) }

func (h binsOf) ratio() float64 { return float64(slices.Max(h.counts)) / h.mean() }

func (h binsOf) String() string {
	text := fmt.Sprintf("%d attempts over %v, each %v a mean of %.1f and a peak of %d, %.2f times the mean, by tenths",
		sum(h.counts), time.Duration(len(h.counts))*h.bin, h.bin, h.mean(), slices.Max(h.counts), h.ratio())
	for i := range 10 {
		from := i * len(h.counts) / 10
		part := h.counts[from:max((i+1)*len(h.counts)/10, from+1)]
		text += fmt.Sprintf(" %.0f", float64(sum(part))/float64(len(part)))
	}
	return text
}
