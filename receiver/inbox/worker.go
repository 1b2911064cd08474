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
)

// jobArgs refers to a row. The body is not in it: PostgreSQL would change it.
type jobArgs struct {
	ID    int64 `json:"id"`
	Round int64 `json:"round"`
}

func (jobArgs) Kind() string { return kind }

// InsertOpts leaves the number of attempts to the row: River's own count only says how often a process was lost, since
// every other end of an attempt gives it back.
func (jobArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: queue, MaxAttempts: 10_000}
}

// maxLost is how often a process may end without a word while it handles a delivery, before that is taken for the
// delivery's doing.
const maxLost = 25

// completedJobRetention is how long River keeps jobs that have nothing more to say.
const completedJobRetention = time.Minute

type worker struct {
	river.WorkerDefaults[jobArgs]

	in *Inbox
}

// Timeout tells the rescuer, too, when a job is overdue.
func (w *worker) Timeout(*river.Job[jobArgs]) time.Duration { return w.in.jobTimeout() }

// NextRetry is asked by the rescuer only: Work never returns an error that counts. What a dead process left is up at once.
func (w *worker) NextRetry(*river.Job[jobArgs]) time.Time { return time.Now() }

// Work handles the delivery that a job refers to, or finds that there is nothing to do.
func (w *worker) Work(ctx context.Context, job *river.Job[jobArgs]) (err error) {
	fault := w.in.faults.Inline(ctx, inHandling, func() { err = w.in.work(ctx, job) })
	if fault != nil {
		return w.in.troubled(ctx, job.Args.ID, fault)
	}
	return err
}

func (in *Inbox) work(ctx context.Context, job *river.Job[jobArgs]) error {
	if !in.running.enter(job.Args.ID) {
		return snooze(time.Second) // its handler ignored its timeout and is still at it
	}
	defer in.running.leave(job.Args.ID)
	r, err := in.load(ctx, job.Args.ID)
	switch {
	case err != nil:
		return in.troubled(ctx, job.Args.ID, err)
	case r == nil || r.state != Pending || r.round != job.Args.Round:
		return nil
	}
	if wait := time.Until(r.retryAt); wait > 0 {
		return snooze(wait)
	}
	if lost := job.Attempt - 1; lost >= maxLost {
		return in.after(ctx, r, in.bury(ctx, r, errLost))
	}
	if in.ordering {
		return in.workInOrder(ctx, r)
	}
	return in.after(ctx, r, in.attempt(ctx, r, nil))
}

func (in *Inbox) load(ctx context.Context, id int64) (*record, error) {
	ctx, cancel := context.WithTimeout(ctx, in.storeTimeout)
	defer cancel()
	return in.loads.Do(ctx, id)
}

// after turns the end of an attempt into what River is to do.
func (in *Inbox) after(ctx context.Context, r *record, end ending) error {
	switch {
	case end.err != nil:
		return in.troubled(ctx, r.id, end.err)
	case end.again > 0:
		return snooze(end.again)
	}
	return nil
}

// troubled is for what went wrong on our side: the delivery is as it was. When the worker is stopping the job goes back to
// the queue, and else it comes again in a moment.
func (in *Inbox) troubled(ctx context.Context, id int64, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return context.Canceled
	}
	in.logger.ErrorContext(ctx, "inbox: an attempt will be made again", slog.Int64("id", id), slog.String("error", err.Error()))
	return snooze(time.Second + rand.N(time.Second))
}

// snooze gives the attempt back.
func snooze(d time.Duration) error {
	return river.JobSnooze(max(d, time.Millisecond))
}

// cancelledByHand says that somebody cancelled the job, in River's web page say.
func cancelledByHand(ctx context.Context) bool {
	return errors.Is(context.Cause(ctx), rivertype.ErrJobCancelledRemotely)
}

// running are the deliveries whose handlers run in this process.
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
