package inbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/deployhook/deployhook/internal/contain/waits"
	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/payload"
)

// Result is the result of one attempt, or of a delivery that needed none, for
// logs and metrics.
type Result struct {
	// Delivery is the delivery before the attempt, without its body.
	Delivery Delivery
	// State is the delivery's new state. It is Pending if there will be another
	// attempt.
	State State
	// Attempt is the number of this attempt. It is 0 if the handler was not
	// called.
	Attempt int
	// Duration is how long the handler took.
	Duration time.Duration
	// RetryIn is the wait before the next attempt. It is 0 after the last
	// attempt.
	RetryIn time.Duration
	// Err is why the attempt failed or the delivery is dead. It is nil for
	// handled and superseded deliveries.
	Err error
}

// ending is the end of an attempt.
//
//	err        the result could not be stored, so the delivery is unchanged
//	again      wait before the delivery's job runs again, or zero if it is done
//	handled    the delivery is marked as handled
//	finished   the transaction that marked the delivery has deleted its job
type ending struct {
	again             time.Duration
	err               error
	handled, finished bool
}

// attempt calls the handler for r and stores the result. l is the lease on the
// deployment, or nil without ordering.
func (in *Inbox) attempt(ctx context.Context, r *record, l *lease) ending {
	event, envelope, err := payload.DecodeEventOrEnvelope(r.body)
	if err != nil { // validated on receipt, but an earlier release may have been more lenient
		return in.deadLetter(ctx, r, fmt.Errorf("inbox: the stored body is invalid: %w", err))
	}
	a := &Attempt{ID: r.id, Number: int(r.attempts) + 1, ReceivedAt: r.receivedAt, in: in, record: r, lease: l, event: event, envelope: envelope}
	callCtx, stop := l.context(ctx)
	defer stop()
	callCtx = in.startHandler(callCtx, r, a.Number)
	start := time.Now()
	completes, err := in.call(callCtx, a)
	took := time.Since(start)
	in.endHandler(callCtx, took, err)
	// Store the result even if the worker is told to stop.
	recordCtx := context.WithoutCancel(ctx)
	if completes {
		var done bool
		if done, err = in.committed(recordCtx, r, err); done {
			in.report(ctx, r, Result{State: Handled, Attempt: a.Number, Duration: took})
			return ending{handled: true}
		}
	}
	switch {
	case err == nil:
		return in.succeed(ctx, r, l, a.Number, took)
	case errors.Is(ctx.Err(), context.Canceled):
		// the worker is stopping, so the attempt does not count
		return ending{err: context.Canceled}
	case l.lost():
		// its order is uncertain, so the delivery is handled again in order
		return ending{err: ErrLeaseLost}
	}
	if cause := context.Cause(callCtx); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w (%w)", err, cause)
	}
	return in.fail(recordCtx, r, err, a.Number, took)
}

// committed finds out whether the transaction passed to CompleteTx was
// committed. If not, it returns the handler's error or ErrNotCompleted.
func (in *Inbox) committed(ctx context.Context, r *record, handlerErr error) (done bool, err error) {
	now, err := in.load(ctx, r.id)
	switch {
	case err != nil:
		return false, errors.Join(handlerErr, err)
	case now == nil || now.state != Pending || now.round != r.round:
		return true, nil
	case handlerErr == nil:
		return false, ErrNotCompleted
	}
	return false, handlerErr
}

// succeed marks r as handled. It retries the database, because without the mark
// the handler would be called again.
func (in *Inbox) succeed(ctx context.Context, r *record, l *lease, number int, took time.Duration) ending {
	deadline := time.Now().Add(in.rescueAfter / 2)
	recordCtx := context.WithoutCancel(ctx)
	pause := 50 * time.Millisecond
	for {
		err := in.mark(recordCtx, r, l)
		if err == nil || errors.Is(err, ErrOver) && l == nil {
			in.report(ctx, r, Result{State: Handled, Attempt: number, Duration: took})
			return ending{handled: true, finished: err == nil && r.job != 0}
		}
		if errors.Is(err, ErrOver) || ctx.Err() != nil || time.Now().Add(pause).After(deadline) {
			return ending{err: err}
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause *= 2
	}
}

func (in *Inbox) mark(ctx context.Context, r *record, l *lease) error {
	if l != nil {
		return in.write(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
			if err := in.setHandled(ctx, tx, r, l); err != nil || r.job == 0 {
				return err
			}
			return in.queue.FinishTx(ctx, tx, []int64{r.job})
		})
	}
	_, err := in.marks.Do(ctx, deliveryRound{r.id, r.round, r.job})
	return err
}

// fail stores a failed attempt. It also stores the time of the next attempt, or
// makes a dead letter after the last one.
func (in *Inbox) fail(ctx context.Context, r *record, cause error, number int, took time.Duration) ending {
	wait := in.wait(ctx, number)
	if isPermanent(cause) || number >= in.maxAttempts || wait < 0 {
		return in.deadLetterAttempt(ctx, r, cause, number, took)
	}
	stored, err := in.update(ctx, r, `attempts = ?, last_error = ?, retry_at = ?`,
		number, errorText(cause), time.Now().Add(wait).UnixMicro())
	if err != nil {
		return ending{err: err}
	}
	if !stored {
		return in.late(ctx, r, cause)
	}
	in.report(ctx, r, Result{State: Pending, Attempt: number, Duration: took, RetryIn: wait, Err: cause})
	return ending{again: max(wait, time.Millisecond)}
}

// wait returns the wait after the given attempt. It is negative if there is no
// further attempt.
func (in *Inbox) wait(ctx context.Context, number int) (wait time.Duration) {
	schedule := waits.New(context.WithoutCancel(ctx), in.faults, inSchedule, in.scheduleLimit, in.schedule, RetrySchedule)
	for range number {
		if wait = schedule.NextBackOff(); wait < 0 {
			return -1
		}
	}
	return wait
}

// deadLetter makes a dead letter of a delivery whose handler was not called.
func (in *Inbox) deadLetter(ctx context.Context, r *record, cause error) ending {
	return in.deadLetterAttempt(ctx, r, cause, 0, 0)
}

func (in *Inbox) deadLetterAttempt(ctx context.Context, r *record, cause error, number int, took time.Duration) ending {
	return in.finish(ctx, r, Result{State: Dead, Attempt: number, Duration: took, Err: cause})
}

// finish stores a final state other than handled.
func (in *Inbox) finish(ctx context.Context, r *record, result Result) ending {
	stored, err := in.update(ctx, r, `state = ?, finished_at = {now}, attempts = ?, last_error = ?, dead_error = ?`,
		string(result.State), max(r.attempts, int64(result.Attempt)), errorText(result.Err), deadError(result))
	if err != nil {
		return ending{err: err}
	}
	if !stored {
		return in.late(ctx, r, result.Err)
	}
	in.report(ctx, r, result)
	return ending{}
}

// update changes a delivery that is still in the round that the worker loaded.
// stored is false if it was handled, replayed or removed meanwhile.
func (in *Inbox) update(ctx context.Context, r *record, set string, args ...any) (stored bool, err error) {
	var n int64
	err = in.write(ctx, func(ctx context.Context, tx *jobdb.Tx) (err error) {
		n, err = tx.Exec(ctx, "UPDATE {schema}inbox_delivery SET "+set+" WHERE id = ? AND state = 'pending' AND round = ?",
			append(slices.Clip(args), r.id, r.round)...)
		return err
	})
	if err != nil {
		return false, err // the batch may still write to n
	}
	return n > 0, nil
}

// late ends an attempt that failed after its delivery was handled, replayed or
// removed. It has no result, so the observer is not told.
func (in *Inbox) late(ctx context.Context, r *record, cause error) ending {
	in.logger.WarnContext(ctx, "inbox: an attempt failed after its delivery was handled, replayed or removed; the failure changes nothing",
		slog.Int64("id", r.id), slog.String("source", r.source), slog.String("delivery_id", r.deliveryID), slog.String("error", errorText(cause)))
	return ending{}
}

// report logs the result and calls the observer.
func (in *Inbox) report(ctx context.Context, r *record, result Result) {
	level := slog.LevelDebug
	switch {
	case result.State == Dead:
		level = slog.LevelError
	case result.Err != nil:
		level = slog.LevelWarn
	}
	if in.logger.Enabled(ctx, level) {
		attrs := []slog.Attr{
			slog.Int64("id", r.id), slog.String("source", r.source), slog.String("delivery_id", r.deliveryID),
			slog.String("type", r.typ), slog.String("deployment_id", r.deploymentID), slog.String("state", string(result.State)),
			slog.Int("attempt", result.Attempt), slog.Duration("duration", result.Duration),
		}
		if result.Err != nil {
			attrs = append(attrs, slog.String("error", errorText(result.Err)), slog.Duration("retry_in", result.RetryIn))
		}
		in.logger.LogAttrs(ctx, level, "inbox: delivery "+string(result.State), attrs...)
	}
	if in.observer == nil && in.telemetry == nil {
		return
	}
	result.Delivery = r.public()
	in.endTelemetry(ctx, result)
	if in.observer != nil {
		in.faults.Call(ctx, inObserver, func() { in.observer(ctx, result) })
	}
}
