package inbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb"
)

// jobRef says which delivery a job is for. Its text, such as "123.1", is the
// job's Ref.
type jobRef struct{ id, round int64 }

func (r jobRef) String() string {
	return strconv.FormatInt(r.id, 10) + "." + strconv.FormatInt(r.round, 10)
}

func parseJobRef(text string) (r jobRef, err error) {
	id, round, _ := strings.Cut(text, ".")
	if r.id, err = strconv.ParseInt(id, 10, 64); err == nil {
		r.round, err = strconv.ParseInt(round, 10, 64)
	}
	if err != nil {
		return jobRef{}, fmt.Errorf("inbox: the job's reference is invalid: %w", err)
	}
	return r, nil
}

// maxLost is how many processes may die while handling a delivery before it
// becomes a dead letter.
const maxLost = 25

// runJob handles the delivery that a job refers to. Finished or deleted
// deliveries are skipped.
func (in *Inbox) runJob(ctx context.Context, job jobdb.Claim) (next jobdb.Next) {
	ref, err := parseJobRef(job.Ref)
	if err != nil {
		in.logger.WarnContext(ctx, "inbox: a job refers to no delivery, so it is deleted", slog.Int64("job", job.Job), slog.Any("error", err))
		return jobdb.Done()
	}
	fault := in.faults.Inline(ctx, inHandling, func() { next = in.work(ctx, job, ref) })
	if fault != nil {
		return in.interrupted(ctx, ref.id, fault)
	}
	return next
}

func (in *Inbox) work(ctx context.Context, job jobdb.Claim, ref jobRef) jobdb.Next {
	if !in.running.enter(ref.id) {
		return jobdb.After(time.Second) // a handler that ignored its timeout is still running
	}
	defer in.running.leave(ref.id)
	r, err := in.load(ctx, ref.id)
	switch {
	case err != nil:
		return in.interrupted(ctx, ref.id, err)
	case r == nil || r.state != Pending || r.round != ref.round:
		return jobdb.Done()
	}
	r.job = job.Job
	if wait := time.Until(r.retryAt); wait > 0 {
		return jobdb.After(wait)
	}
	if job.Lost >= maxLost {
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

// jobResult tells the queue what to do after an attempt ended.
func (in *Inbox) jobResult(ctx context.Context, r *record, end ending) jobdb.Next {
	switch {
	case end.err != nil:
		return in.interrupted(ctx, r.id, end.err)
	case end.again > 0:
		return jobdb.After(end.again)
	case end.finished:
		return jobdb.Finished()
	}
	return jobdb.Done()
}

// interrupted handles an error that left the delivery unchanged. If the worker
// is stopping, the queue releases the job at once. Otherwise the job runs again
// in one to two seconds.
func (in *Inbox) interrupted(ctx context.Context, id int64, err error) jobdb.Next {
	if errors.Is(ctx.Err(), context.Canceled) {
		return jobdb.Failed(err)
	}
	in.logger.WarnContext(ctx, "inbox: the attempt was interrupted and will be repeated", slog.Int64("id", id), slog.String("error", sqldb.Explain(err).Error()))
	return jobdb.After(time.Second + rand.N(time.Second))
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
