package outbox

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/deployhook/deployhook/internal/riverdb"
	"github.com/deployhook/deployhook/internal/timemath"
	"github.com/deployhook/deployhook/sender/outbox/internal/admission"
)

// waker makes deliveries due before their time.
type waker struct {
	db      *riverdb.DB
	client  riverdb.Client
	limiter *admission.Limiter
	logger  *slog.Logger
	started atomic.Bool // run wakes up jobs
}

// run wakes up the jobs that the limiter says.
func (w *waker) run(ctx context.Context) {
	w.limiter.Run(ctx, func(ctx context.Context, jobs []int64) []int64 {
		again, err := w.retry(ctx, jobs)
		if err != nil && ctx.Err() == nil {
			w.logger.WarnContext(ctx, "outbox: waking up deliveries; it will be tried again", slog.Any("error", err))
			return jobs
		}
		return again
	})
}

// retry makes jobs due. Deleted jobs are skipped. It returns the jobs that are
// still not due, so that the caller can try again. There are two reasons:
//
//   - A job is still running. River records only some time later that it was
//     snoozed.
//   - River was recording that at this moment. On PostgreSQL the statement then
//     waits for the row, sees that the job was running when the statement
//     began, and changes nothing, but returns the row as it is now.
//
// All processes lock the rows in the order of their IDs, so that none waits for
// another that waits for it.
func (w *waker) retry(ctx context.Context, jobs []int64) (again []int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	slices.Sort(jobs)
	err = w.db.InTx(ctx, func(ctx context.Context, tx *riverdb.Tx) error {
		again = again[:0] // the transaction may run more than once
		for _, job := range jobs {
			row, err := w.client.JobRetryTx(ctx, tx, job)
			if err != nil && !errors.Is(err, rivertype.ErrNotFound) {
				return err
			}
			if err == nil && row.State != rivertype.JobStateAvailable {
				again = append(again, job)
			}
		}
		return nil
	})
	return again, err
}

// The conditions of makeDue match the deliveries that were published while a
// breaker was open, and those that have a rate slot.
const (
	waitForBreaker  = `rate_slot_at = 0 AND attempts = 0 AND replays = 0`
	waitForRateSlot = `rate_slot_at > 0`
)

// makeDue makes an endpoint's deliveries due whose reason to wait is gone. If
// it fails, they come at their own time, which may be hours away. So it tries
// again until batchTimeout has passed.
func (w *waker) makeDue(ctx context.Context, endpoint, condition string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), batchTimeout)
	defer cancel()
	for {
		n, err := w.makeBatchDue(ctx, endpoint, condition)
		switch {
		case err == nil && n < cancelBatch:
			return
		case err == nil:
			continue
		}
		w.logger.WarnContext(ctx, "outbox: making deliveries due", slog.String("endpoint", endpoint), slog.Any("error", err))
		select {
		case <-ctx.Done():
			return
		case <-time.After(jitter(time.Second)):
		}
	}
}

func (w *waker) makeBatchDue(ctx context.Context, endpoint, condition string) (int, error) {
	now := micros(time.Now())
	jobs, err := riverdb.Collect(ctx, w.db, func(r riverdb.Row) (job int64, err error) { return job, r.Scan(&job) },
		`UPDATE {schema}outbox_delivery SET next_at = ?, rate_slot_at = 0 WHERE id IN (SELECT id FROM {schema}outbox_delivery
		WHERE endpoint = ? AND state = 'pending' AND next_at > ? AND `+condition+` ORDER BY id LIMIT ?) AND state = 'pending' RETURNING job`,
		now, endpoint, now, int64(cancelBatch))
	if err != nil {
		return 0, err
	}
	return len(jobs), w.wake(ctx, jobs)
}

// wake makes jobs due. If the outbox was started, that happens in the
// background.
func (w *waker) wake(ctx context.Context, jobs []int64) error {
	if w.started.Load() {
		w.limiter.Wake(jobs)
		return nil
	}
	for part := range slices.Chunk(jobs, admission.WakeBatch) {
		if _, err := w.retry(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// rateSlots are the slots of an endpoint's rate limit, for one delivery. The
// row of the endpoint hands them out to all processes. A slot in the future is
// recorded with the delivery, and the process that takes it up then finds it.
type rateSlots struct {
	recorder *recorder
	delivery *loaded
}

// Reserve returns admission.ErrChanged if the endpoint was changed or deleted
// since the delivery was loaded.
func (s *rateSlots) Reserve(ctx context.Context) (time.Time, error) {
	d := s.delivery
	now, interval := micros(time.Now()), d.interval.Microseconds()
	var next int64
	err := s.recorder.db.QueryRow(ctx, `UPDATE {schema}outbox_endpoint SET rate_slot_at = CASE WHEN rate_slot_at > ? THEN rate_slot_at ELSE ? END + ?
		WHERE id = ? AND version = ? RETURNING rate_slot_at`, now, now, interval, d.endpoint, d.version).Scan(&next)
	if errors.Is(err, riverdb.ErrNoRows) {
		return time.Time{}, admission.ErrChanged
	}
	if err != nil {
		return time.Time{}, wrap("reserving a rate slot", err)
	}
	return fromMicros(next - interval), nil
}

// Record stores the slot of the delivery.
func (s *rateSlots) Record(ctx context.Context, slot time.Time) (bool, error) {
	d := s.delivery
	r := &result{id: d.id, job: d.job, endpoint: d.endpoint, version: d.version, nextAt: slot, rateSlot: slot}
	return s.recorder.record(ctx, r)
}

// Trim frees slots that were reserved for deliveries which are canceled or
// superseded by now. A delivery that is due without a recorded slot may be
// about to record one.
func (s *rateSlots) Trim(ctx context.Context) (bool, error) {
	d := s.delivery
	now := micros(time.Now())
	var last, due int64
	err := s.recorder.db.QueryRow(ctx, `SELECT COALESCE(MAX(rate_slot_at), 0), COALESCE(SUM(CASE WHEN rate_slot_at = 0 AND next_at <= ? THEN 1 ELSE 0 END), 0)
		FROM {schema}outbox_delivery WHERE endpoint = ? AND state = 'pending' AND id <> ?`, now, d.endpoint, d.id).Scan(&last, &due)
	if err != nil {
		return false, wrap("trimming rate slots", err)
	}
	next := max(last, now) + timemath.Times(d.interval, int(due)).Microseconds()
	n, err := s.recorder.db.Exec(ctx, `UPDATE {schema}outbox_endpoint SET rate_slot_at = ? WHERE id = ? AND rate_slot_at > ?`,
		next, d.endpoint, next+(admission.SlotLifetime+d.interval).Microseconds())
	return n > 0, wrap("trimming rate slots", err)
}
