package admission

import (
	"context"
	"sync"
	"time"
)

const (
	// WakeBatch is the number of jobs that are woken up in one call.
	WakeBatch = 64
	// maxWakeQueue bounds the jobs that wait to be woken up. Jobs beyond it return
	// at the end of their snooze.
	maxWakeQueue = 20_000
)

// wakeQueue is the jobs that are to be woken up.
type wakeQueue struct {
	signal chan struct{}

	mu   sync.Mutex
	jobs []int64
}

func (q *wakeQueue) push(jobs []int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.jobs) < maxWakeQueue {
		q.jobs = append(q.jobs, jobs...)
	}
}

func (q *wakeQueue) take() []int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.jobs), WakeBatch)
	jobs := q.jobs[:n:n]
	q.jobs = q.jobs[n:]
	return jobs
}

// Wake has [Limiter.Run] wake up jobs. It never blocks.
func (l *Limiter) Wake(jobs []int64) {
	if len(jobs) == 0 {
		return
	}
	l.queue.push(jobs)
	select {
	case l.queue.signal <- struct{}{}:
	default:
	}
}

// Run wakes up jobs until ctx ends. The function wake makes jobs due, and
// returns those for which it has to be called again. At most [WakeBatch] jobs
// are passed to it at once.
func (l *Limiter) Run(ctx context.Context, wake func(ctx context.Context, jobs []int64) (again []int64)) {
	tick := time.NewTicker(l.PollInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.queue.signal:
		case <-tick.C:
			l.Wake(l.wakeable())
		}
		var again []int64
		for jobs := l.queue.take(); len(jobs) > 0 && ctx.Err() == nil; jobs = l.queue.take() {
			again = append(again, wake(ctx, jobs)...)
		}
		l.queue.push(again) // for the next tick
	}
}
