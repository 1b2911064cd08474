package inbox

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/deployhook/deployhook/internal/sqldb"
)

// jobArgs refers to a row. It does not contain the body, because PostgreSQL
// would reformat it.
type jobArgs struct {
	ID    int64 `json:"id"`
	Round int64 `json:"round"`
}

func (jobArgs) Kind() string { return kind }

// InsertOpts sets a limit that River's attempts never reach. The row counts the
// handler's attempts. River's number only counts lost processes, because a
// snooze gives back every other attempt.
func (jobArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: queue, MaxAttempts: 10_000}
}

// maxLost is how many processes may die while handling a delivery before it
// becomes a dead letter.
const maxLost = 25

// completedJobRetention is how long River keeps the jobs that have ended. Those
// of handled deliveries are deleted at once.
const completedJobRetention = time.Minute

type worker struct {
	river.WorkerDefaults[jobArgs]

	in *Inbox
}

// Timeout also tells River's rescuer when a job is overdue.
func (w *worker) Timeout(*river.Job[jobArgs]) time.Duration { return w.in.jobTimeout() }

// NextRetry is called only by the rescuer, because Work never returns an error
// that counts. A job of a dead process is due at once.
func (w *worker) NextRetry(*river.Job[jobArgs]) time.Time { return time.Now() }

// Work handles the delivery that a job refers to. Finished or deleted
// deliveries are skipped.
func (w *worker) Work(ctx context.Context, job *river.Job[jobArgs]) (err error) {
	fault := w.in.faults.Inline(ctx, inHandling, func() { err = w.in.work(ctx, job) })
	if fault != nil {
		return w.in.interrupted(ctx, job.Args.ID, fault)
	}
	return err
}

func (in *Inbox) work(ctx context.Context, job *river.Job[jobArgs]) error {
	if !in.running.enter(job.Args.ID) {
		return snooze(time.Second) // a handler that ignored its timeout is still running
	}
	defer in.running.leave(job.Args.ID)
	r, err := in.load(ctx, job.Args.ID)
	switch {
	case err != nil:
		return in.interrupted(ctx, job.Args.ID, err)
	case r == nil || r.state != Pending || r.round != job.Args.Round:
		return nil
	}
	r.job = job.ID
	if wait := time.Until(r.retryAt); wait > 0 {
		return snooze(wait)
	}
	if lost := job.Attempt - 1; lost >= maxLost {
		return in.jobResult(ctx, r, in.deadLetter(ctx, r, errLost))
	}
	if in.ordering {
		return in.workInOrder(ctx, r)
	}
	return in.jobResult(ctx, r, in.attempt(ctx, r, nil))
}

func (in *Inbox) load(ctx context.Context, id int64) (*record, error) {
	ctx, cancel := context.WithTimeout(ctx, in.storeTimeout)
	defer cancel()
	return in.loads.Do(ctx, id)
}

// jobResult tells River what to do after an attempt ended.
func (in *Inbox) jobResult(ctx context.Context, r *record, end ending) error {
	switch {
	case end.err != nil:
		return in.interrupted(ctx, r.id, end.err)
	case end.again > 0:
		return snooze(end.again)
	}
	return nil
}

// interrupted handles an error that left the delivery unchanged. If the worker
// is stopping, the job returns to the queue. Otherwise it runs again in one to
// two seconds.
func (in *Inbox) interrupted(ctx context.Context, id int64, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return context.Canceled
	}
	in.logger.WarnContext(ctx, "inbox: the attempt was interrupted and will be repeated", slog.Int64("id", id), slog.String("error", sqldb.Explain(err).Error()))
	return snooze(time.Second + rand.N(time.Second))
}

// snooze runs the job again after d, without counting River's attempt.
func snooze(d time.Duration) error {
	return river.JobSnooze(max(d, time.Millisecond))
}

// canceledByHand reports whether an operator canceled the job, for example in
// River's web UI.
func canceledByHand(ctx context.Context) bool {
	return errors.Is(context.Cause(ctx), rivertype.ErrJobCancelledRemotely)
}

// running is the set of deliveries whose handlers run in this process.
type running struct {
	mu  sync.Mutex
	ids map[int64]struct{}
}

func (r *running) enter(id int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, there := r.ids[id]; there {
		return false
	}
	if r.ids == nil {
		r.ids = make(map[int64]struct{})
	}
	r.ids[id] = struct{}{}
	return true
}

func (r *running) leave(id int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.ids, id)
}
