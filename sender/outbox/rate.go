package outbox

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/deployhook/deployhook/internal/riverdb"
	"github.com/deployhook/deployhook/internal/timemath"
)

const (
	// waitForTurn is the longest that a job waits in memory for its turn in a limited rate.
	waitForTurn = 50 * time.Millisecond
	// turnLasts is for how long a turn that was not used in time can still be used.
	turnLasts = 10 * time.Second
	// trimEach is how often the turns of an endpoint are compared with the deliveries that wait for one, at most.
	trimEach = time.Second
)

// pace keeps to an endpoint's RateLimit, across processes: turns are handed out by the endpoint's row, one after another, and a
// turn that lies ahead is written into the delivery, so that whoever takes it up then finds it. It returns for how long the
// job is to be put back; 0 means that it is the delivery's turn. Where the endpoint has been changed meanwhile, that is a moment,
// to begin with what it is now.
func (o *Outbox) pace(ctx context.Context, d *loaded, limits laneLimits, job int64) (time.Duration, error) {
	if hold := o.gate.closed(d.endpoint, limits, job); hold > 0 {
		return hold, nil
	}
	turn := d.slotAt
	if turn.IsZero() || time.Since(turn) > turnLasts {
		var err error
		if turn, err = o.nextTurn(ctx, d, limits); errors.Is(err, errChanged) {
			return minHold, nil
		} else if err != nil {
			return 0, err
		}
	}
	wait := time.Until(turn)
	if wait > waitForTurn {
		r := &result{id: d.id, job: d.job, endpoint: d.endpoint, version: d.version, nextAt: turn, slotAt: turn}
		if _, err := o.writer.Do(ctx, r); err != nil || r.written {
			return wait, err
		}
		return minHold, nil
	}
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
	return 0, nil
}

// takeTurn returns errChanged if the endpoint is no longer as d was loaded with: its rate may be another.
func (o *Outbox) takeTurn(ctx context.Context, d *loaded) (time.Time, error) {
	now, spacing := micros(time.Now()), d.spacing.Microseconds()
	var next int64
	err := o.db.QueryRow(ctx, `UPDATE {schema}outbox_endpoint SET slot_at = CASE WHEN slot_at > ? THEN slot_at ELSE ? END + ?
		WHERE id = ? AND version = ? RETURNING slot_at`, now, now, spacing, d.endpoint, d.version).Scan(&next)
	if errors.Is(err, riverdb.ErrNoRows) {
		return time.Time{}, errChanged // or deleted
	}
	if err != nil {
		return time.Time{}, wrap("taking a turn", err)
	}
	return fromMicros(next - spacing), nil
}

// resetTurns forgets the turns that were handed out, since they were for another rate. Call pullForward after the commit.
func (o *Outbox) resetTurns(ctx context.Context, tx *riverdb.Tx, endpoint string) error {
	_, err := tx.Exec(ctx, `UPDATE {schema}outbox_endpoint SET slot_at = 0 WHERE id = ?`, endpoint)
	return err
}

// nextTurn takes a turn. One at a time does for an endpoint, so that nobody has a late one in hand while turns are trimmed.
func (o *Outbox) nextTurn(ctx context.Context, d *loaded, limits laneLimits) (time.Time, error) {
	one := o.gate.turns(d.endpoint, limits)
	select {
	case one <- struct{}{}:
		defer func() { <-one }()
	case <-ctx.Done():
		return time.Time{}, context.Cause(ctx)
	}
	turn, err := o.takeTurn(ctx, d)
	if err != nil || time.Until(turn) <= turnLasts+d.spacing || !o.gate.mayTrim(d.endpoint, limits) {
		return turn, err
	}
	trimmed, err := o.trimTurns(ctx, d)
	if err != nil || !trimmed {
		return turn, err
	}
	return o.takeTurn(ctx, d)
}

// trimTurns takes back turns that are later than all that still wait could need, since those that had them were canceled or
// superseded. Whatever else is due and has no turn on record may be about to write one down.
func (o *Outbox) trimTurns(ctx context.Context, d *loaded) (trimmed bool, err error) {
	now := micros(time.Now())
	var last, due int64
	err = o.db.QueryRow(ctx, `SELECT COALESCE(MAX(slot_at), 0), COALESCE(SUM(CASE WHEN slot_at = 0 AND next_at <= ? THEN 1 ELSE 0 END), 0)
		FROM {schema}outbox_delivery WHERE endpoint = ? AND state = 'pending' AND id <> ?`, now, d.endpoint, d.id).Scan(&last, &due)
	if err != nil {
		return false, wrap("trimming turns", err)
	}
	next := max(last, now) + timemath.Times(d.spacing, int(due)).Microseconds()
	n, err := o.db.Exec(ctx, `UPDATE {schema}outbox_endpoint SET slot_at = ? WHERE id = ? AND slot_at > ?`,
		next, d.endpoint, next+(turnLasts+d.spacing).Microseconds())
	return n > 0, wrap("trimming turns", err)
}

// Which deliveries pullForward is for: those that were published while the endpoint was to be left alone, and those that have a
// turn in a limited rate.
const (
	wereHeld = `slot_at = 0 AND attempts = 0 AND replays = 0`
	haveTurn = `slot_at > 0`
)

// pullForward makes deliveries due now that wait for a reason that is gone. Where it
// fails, they come at their own time, which may be hours away. So it tries again for
// as long as it has.
func (o *Outbox) pullForward(ctx context.Context, endpoint, which string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), batchTimeout)
	defer cancel()
	for {
		now := micros(time.Now())
		jobs, err := riverdb.Collect(ctx, o.db, func(r riverdb.Row) (job int64, err error) { return job, r.Scan(&job) },
			`UPDATE {schema}outbox_delivery SET next_at = ?, slot_at = 0 WHERE id IN (SELECT id FROM {schema}outbox_delivery
			WHERE endpoint = ? AND state = 'pending' AND next_at > ? AND `+which+` ORDER BY id LIMIT ?) AND state = 'pending' RETURNING job`,
			now, endpoint, now, int64(cancelBatch))
		if err == nil {
			err = o.callNow(ctx, jobs)
		}
		if err == nil && len(jobs) < cancelBatch {
			return
		}
		if err == nil {
			continue
		}
		o.logger.WarnContext(ctx, "outbox: making deliveries due", slog.String("endpoint", endpoint), slog.Any("error", err))
		select {
		case <-ctx.Done():
			return
		case <-time.After(jitter(time.Second)):
		}
	}
}

// callNow makes jobs due, in the background if there is one.
func (o *Outbox) callNow(ctx context.Context, jobs []int64) error {
	o.mu.Lock()
	started := o.started
	o.mu.Unlock()
	if started {
		o.calls.add(jobs)
		return nil
	}
	for part := range slices.Chunk(jobs, callinBatch) {
		if _, err := o.calls.call(ctx, part); err != nil {
			return err
		}
	}
	return nil
}
