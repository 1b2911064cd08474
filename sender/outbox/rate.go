package outbox

import (
	"context"
	"time"
)

const (
	// waitForTurn is the longest that a job waits in memory for its turn in a limited rate.
	waitForTurn = 50 * time.Millisecond
	// turnLasts is for how long a turn that was not used in time can still be used.
	turnLasts = 10 * time.Second
)

// pace keeps to an endpoint's RateLimit, across processes: turns are handed out by the endpoint's row, one after another, and a
// turn that lies ahead is written into the delivery, so that whoever takes it up then finds it. It returns for how long the
// job is to be put back; 0 means that it is the delivery's turn.
func (o *Outbox) pace(ctx context.Context, d *loaded, limits laneLimits, job int64) (time.Duration, error) {
	if hold := o.gate.closed(d.endpoint, limits, job); hold > 0 {
		return hold, nil
	}
	turn := d.slotAt
	if turn.IsZero() || time.Since(turn) > turnLasts {
		var err error
		if turn, err = o.takeTurn(ctx, d); err != nil {
			return 0, err
		}
	}
	wait := time.Until(turn)
	if wait > waitForTurn {
		_, err := o.writer.call(ctx, &result{id: d.id, job: d.job, state: Pending, nextAt: turn, slotAt: turn})
		return wait, err
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

func (o *Outbox) takeTurn(ctx context.Context, d *loaded) (time.Time, error) {
	now, spacing := micros(time.Now()), d.spacing.Microseconds()
	var next int64
	err := o.db.QueryRow(ctx, `UPDATE {schema}outbox_endpoint SET slot_at = CASE WHEN slot_at > ? THEN slot_at ELSE ? END + ?
		WHERE id = ? RETURNING slot_at`, now, now, spacing, d.endpoint).Scan(&next)
	if err != nil {
		return time.Time{}, wrap("taking a turn", err)
	}
	return fromMicros(next - spacing), nil
}
