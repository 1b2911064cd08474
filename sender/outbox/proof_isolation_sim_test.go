package outbox

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/sender/outbox/internal/admission"
)

// TestProofIsolationInVirtualTime publishes 500 events to endpoints that hang
// or fail and 300 to one that answers, one event every 250 µs. It runs the
// outbox's own admission in virtual time, so that what it measures is what
// deliveries wait for, and not how fast the machine is. TestProofIsolation has
// the database and HTTP.
//
// A goroutine stands for each delivery. It takes one of the worker slots, asks
// for admission and makes an attempt. If it is snoozed, it leaves the worker
// slot and returns at the end of the snooze or when it is woken up.
func TestProofIsolationInVirtualTime(t *testing.T) {
	for name, c := range map[string]struct {
		endpoints int
		takes     time.Duration // an attempt at an endpoint that hangs
		warm      bool          // they answer at first
		before    bool          // all of their events are published before the others
	}{
		"one that hangs":                      {endpoints: 1, takes: 30 * time.Second},
		"one that begins to hang":             {endpoints: 1, takes: 30 * time.Second, warm: true},
		"more that hang than there are slots": {endpoints: DefaultWorkers * 5 / 4, takes: 30 * time.Second},
		"more than slots that hang already":   {endpoints: DefaultWorkers * 5 / 4, takes: 30 * time.Second, before: true},
		"a dozen that time out soon":          {endpoints: 13, takes: 700 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newIsolation(t, c.takes)
				if c.warm {
					s.publish(100, 0, c.endpoints)
					s.answered.Wait()
				}
				s.hangs = true
				if c.before {
					s.publish(0, 1, c.endpoints) // or nothing is known of the endpoint that answers
					s.answered.Wait()
					s.publish(500, 0, c.endpoints)
					s.publish(0, 299, c.endpoints)
				} else {
					s.publish(500, 300, c.endpoints)
				}
				s.answered.Wait()
				s.cancel()
				s.all.Wait()
				slices.Sort(s.took)
				p99 := s.took[len(s.took)*99/100]
				t.Logf("from publishing to the attempt: p50 %v, p99 %v, max %v; at most %d hung at once", s.took[len(s.took)/2], p99,
					slices.Max(s.took), s.most)
				require.Len(t, s.took, 300)
				require.Less(t, p99, time.Second)
				require.Positive(t, s.most)
				require.LessOrEqual(t, s.most, c.endpoints*DefaultMaxConcurrency)
				require.Less(t, s.most, DefaultWorkers)
			})
		})
	}
}

type isolation struct {
	limiter *admission.Limiter
	workers chan struct{}
	ctx     context.Context
	cancel  context.CancelFunc
	takes   time.Duration
	hangs   bool

	answered, all sync.WaitGroup // deliveries that are to be answered, and all goroutines

	mu      sync.Mutex
	waiting map[string]map[int64]chan struct{} // the jobs of an endpoint that are snoozed
	jobs    int64
	took    []time.Duration // from publishing to the attempt, of the endpoint that answers
	hanging int
	most    int // that hung at once
}

func newIsolation(t *testing.T, takes time.Duration) *isolation {
	c := config{workers: DefaultWorkers}
	s := &isolation{workers: make(chan struct{}, c.jobs()), takes: takes, waiting: map[string]map[int64]chan struct{}{}}
	s.ctx, s.cancel = context.WithCancel(t.Context())
	s.limiter = defaultLimiter()
	s.all.Go(func() { s.limiter.Run(s.ctx, s.find) })
	return s
}

// publish spreads the events for the good endpoint evenly among those for the
// bad ones.
func (s *isolation) publish(bad, good, endpoints int) {
	for i, k := 0, 0; i < bad+good; i++ {
		endpoint := "good"
		if i*good%(bad+good) >= good {
			endpoint = fmt.Sprintf("bad %d", k%endpoints)
			k++
		}
		s.jobs++
		job := s.jobs
		if endpoint == "good" || !s.hangs {
			s.answered.Add(1)
		}
		s.all.Go(func() { s.deliver(endpoint, job) })
		time.Sleep(250 * time.Microsecond) // fake time of the bubble
	}
}

func (s *isolation) deliver(endpoint string, job int64) {
	published := time.Now()
	for s.ctx.Err() == nil {
		select {
		case s.workers <- struct{}{}:
		case <-s.ctx.Done():
			return
		}
		p, snooze, err := s.limiter.Admit(s.ctx, &admission.Request{Endpoint: endpoint, Concurrency: DefaultMaxConcurrency})
		if err != nil {
			panic(err) // there is no rate limit
		}
		if p == nil {
			<-s.workers
			s.wait(endpoint, job, snooze)
			continue
		}
		done := s.attempt(endpoint, published, p)
		<-s.workers
		if done {
			s.answered.Done()
			return
		}
		s.wait("retries", job, 10*time.Second)
	}
}

func (s *isolation) attempt(endpoint string, published time.Time, p *admission.Permit) (done bool) {
	if endpoint == "good" || !s.hangs {
		if endpoint == "good" {
			s.mu.Lock()
			s.took = append(s.took, time.Since(published))
			s.mu.Unlock()
		}
		time.Sleep(5 * time.Millisecond) // fake time of the bubble
		p.Release(admission.Succeeded)
		return true
	}
	s.hang(1)
	defer s.hang(-1)
	select {
	case <-time.After(s.takes):
		p.Release(admission.Failed)
	case <-s.ctx.Done():
		p.Release(admission.Inconclusive)
	}
	return false
}

func (s *isolation) hang(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hanging += n
	s.most = max(s.most, s.hanging)
}

// wait is a snooze. The queue is polled five times a second.
func (s *isolation) wait(endpoint string, job int64, d time.Duration) {
	woken := make(chan struct{})
	s.mu.Lock()
	if s.waiting[endpoint] == nil {
		s.waiting[endpoint] = map[int64]chan struct{}{}
	}
	s.waiting[endpoint][job] = woken
	s.mu.Unlock()
	at := time.Now().Add(d)
	if rest := at.Sub(at.Truncate(jobdb.DefaultPollInterval)); rest > 0 {
		d += jobdb.DefaultPollInterval - rest
	}
	select {
	case <-woken:
	case <-time.After(d):
	case <-s.ctx.Done():
	}
	s.mu.Lock()
	delete(s.waiting[endpoint], job)
	s.mu.Unlock()
}

func (s *isolation) find(_ context.Context, all []admission.Search) (found []admission.Found) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, search := range all {
		var f admission.Found
		jobs := s.waiting[search.Endpoint]
		for _, job := range slices.Sorted(maps.Keys(jobs)) {
			if f.Woken == search.Most {
				f.Next = "more"
				break
			}
			close(jobs[job])
			delete(jobs, job)
			f.Woken++
		}
		found = append(found, f)
	}
	return found
}

// defaultLimiter has the defaults of the options.
func defaultLimiter() *admission.Limiter {
	c := applyOptions(nil)
	return admission.New(admission.Config{Slots: c.workers, Breaker: c.breaker, PollInterval: jobdb.DefaultPollInterval})
}
