package jobdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/deployhook/deployhook/internal/sqldb"
)

const (
	// DefaultPollInterval is the time between two polls of an idle queue.
	DefaultPollInterval = 200 * time.Millisecond
	// litePollInterval is that time on SQLite, where no other process can tell of
	// new jobs. A poll takes a few microseconds there.
	litePollInterval = 50 * time.Millisecond
	// claimCooldown is the time between two claims of a busy queue, so that each
	// takes many jobs.
	claimCooldown = 10 * time.Millisecond
	// maxClaimed is the number of jobs that one statement claims.
	maxClaimed = 500
	// maxSettlePause is the longest pause between two attempts to store what
	// becomes of a job.
	maxSettlePause = 500 * time.Millisecond
)

// errStopped is the cause with which [Queue.Stop] ends the contexts of workers.
var errStopped = errors.New("the queue was stopped")

// QueueConfig configures [Queue.Start]. All fields are required.
type QueueConfig struct {
	// Name begins each line in the log.
	Name string
	// Work does a job. Its context ends after Timeout, and when Stop waits no
	// longer. It is called on a new goroutine.
	Work func(context.Context, Claim) Next
	// AtOnce is the number of jobs that run at once in this process.
	AtOnce int
	// Timeout bounds a call of Work. Lease is how long after its claim a job is
	// given to another process. It must be longer than Timeout.
	Timeout, Lease time.Duration
	// StopTimeout is how long Stop waits for running jobs before it ends their
	// contexts.
	StopTimeout time.Duration
	Logger      *slog.Logger
}

// runner runs the jobs of a queue in this process.
type runner struct {
	q       *Queue
	config  QueueConfig
	halt    context.CancelFunc      // ends the claims
	halting context.Context         // ended by halt
	cancel  context.CancelCauseFunc // ends the contexts of the workers
	work    context.Context
	ended   chan struct{} // closed when no job runs any more
	stop    sync.Once

	loops   sync.WaitGroup
	jobs    sync.WaitGroup
	mu      sync.Mutex
	running int
}

// Start begins to run jobs, until [Queue.Stop]. It fails if the database can't
// be reached. It may be called again after a Stop that returned no error. The
// end of ctx ends only the start.
func (q *Queue) Start(ctx context.Context, config QueueConfig) error {
	r := &runner{q: q, config: config, ended: make(chan struct{})}
	var jobs int
	if err := q.db.QueryRow(ctx, `SELECT count(*) FROM (SELECT 1 FROM `+q.table+` LIMIT 1) AS any_job`).Scan(&jobs); err != nil {
		return fmt.Errorf("looking for jobs: %w", err)
	}
	base := context.WithoutCancel(ctx)
	r.work, r.cancel = context.WithCancelCause(base)
	claiming, halt := context.WithCancel(base)
	r.halt, r.halting = halt, claiming
	q.runner.Store(r)
	r.loops.Go(func() { q.settle.Faults.Run(claiming, inQueue, r.claimAll) })
	if q.db.Dialect() == Postgres && !q.db.polling {
		r.loops.Go(func() { q.settle.Faults.Run(claiming, inQueue, r.listen) })
	}
	go func() {
		r.loops.Wait()
		r.jobs.Wait()
		r.cancel(nil)
		close(r.ended)
	}()
	return nil
}

// Stop claims no more jobs and waits for those that run. After the StopTimeout
// it ends their contexts. It returns when they have ended, or with an error
// when ctx has. The end of ctx ends no job, and Stop can be called again. A
// queue that was not started has nothing to stop.
func (q *Queue) Stop(ctx context.Context) error {
	r := q.runner.Load()
	if r == nil {
		return nil
	}
	r.stop.Do(func() {
		r.halt()
		soft := time.AfterFunc(r.config.StopTimeout, func() { r.cancel(errStopped) })
		context.AfterFunc(r.work, func() { soft.Stop() })
	})
	select {
	case <-r.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d jobs are still running: %w", r.count(), context.Cause(ctx))
	}
}

// Interrupt ends the contexts of the jobs that still run after a [Queue.Stop]
// that has returned an error. Call Stop again to wait for them.
func (q *Queue) Interrupt() {
	if r := q.runner.Load(); r != nil {
		r.halt()
		r.cancel(errStopped)
	}
}

// Kick has this process look for due jobs soon, if it runs any.
func (q *Queue) Kick() {
	select {
	case q.kicked <- struct{}{}:
	default:
	}
}

func (r *runner) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running
}

// claimAll claims jobs as long as some are due. Otherwise it waits, longer and
// longer up to the poll interval, since a kick can come before the commit of
// what it was for.
func (r *runner) claimAll(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	wait := claimCooldown
	for last := time.Now(); ; last = time.Now() {
		select {
		case <-ctx.Done():
			return
		case <-r.q.kicked:
			wait = claimCooldown
			rest(ctx, claimCooldown-time.Since(last))
		case <-timer.C:
		}
		wait = r.claimOnce(ctx, wait)
		timer.Reset(wait)
	}
}

// claimOnce claims jobs and returns the time until the next claim.
func (r *runner) claimOnce(ctx context.Context, wait time.Duration) time.Duration {
	room := r.config.AtOnce - r.count()
	if room <= 0 || ctx.Err() != nil {
		return claimCooldown
	}
	// The end of ctx must not lose the result of a claim.
	claims, err := r.q.claim(context.WithoutCancel(ctx), min(room, maxClaimed), r.config.Lease)
	if err != nil {
		if ctx.Err() == nil {
			r.config.Logger.WarnContext(ctx, r.config.Name+": looking for due jobs; it will be tried again", slog.String("error", sqldb.Explain(err).Error()))
		}
		return time.Second
	}
	if ctx.Err() != nil {
		for _, c := range claims {
			r.jobs.Go(func() { r.settle(c, Next{kind: nextReleased}) })
		}
		return 0
	}
	r.beginAll(claims)
	if len(claims) > 0 {
		return claimCooldown
	}
	return r.q.idle(wait)
}

func (r *runner) beginAll(claims []Claim) {
	r.mu.Lock()
	r.running += len(claims)
	r.mu.Unlock()
	for _, c := range claims {
		r.jobs.Go(func() { r.run(c) })
	}
}

// run works on a job and stores what becomes of it. The worker can end its
// goroutine (runtime.Goexit).
func (r *runner) run(c Claim) {
	next := Failed(errors.New("the worker ended its goroutine"))
	defer func() {
		r.settle(c, next)
		r.mu.Lock()
		r.running--
		r.mu.Unlock()
	}()
	ctx, cancel := context.WithTimeout(r.work, r.config.Timeout)
	defer cancel()
	if fault := r.q.settle.Faults.Inline(ctx, inQueue, func() { next = r.config.Work(ctx, c) }); fault != nil {
		next = Failed(fault)
	}
}

// settle stores what becomes of a job. If that fails, the end of its lease
// frees it.
func (r *runner) settle(c Claim, next Next) {
	stopped := errors.Is(context.Cause(r.work), errStopped)
	switch {
	case next.kind == nextFinished:
		return
	case next.kind == nextFailed && stopped:
		next = Next{kind: nextReleased} // not its fault
	case next.kind == nextFailed:
		r.config.Logger.WarnContext(r.work, r.config.Name+": a job failed; it will be tried again", slog.String("job", c.Ref), slog.Any("error", next.err))
	}
	ctx := context.WithoutCancel(r.work)
	if err := r.store(ctx, settlement{c, next}); err != nil {
		r.config.Logger.WarnContext(ctx, r.config.Name+": releasing a job; it runs again when its lease has ended", slog.String("job", c.Ref),
			slog.String("error", sqldb.Explain(err).Error()))
	}
}

// store settles a claim. While the database is down, it tries again until the
// lease has ended or Stop is called.
func (r *runner) store(ctx context.Context, s settlement) error {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, maxSettlePause) {
		_, err := r.q.settle.Do(ctx, s)
		if err == nil || r.halting.Err() != nil || time.Now().After(s.claim.ends) {
			return err
		}
		r.config.Logger.WarnContext(ctx, r.config.Name+": storing what becomes of a job; it will be tried again", slog.String("job", s.claim.Ref),
			slog.String("error", sqldb.Explain(err).Error()))
		rest(r.halting, wait)
	}
}

// rest waits for a time, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
