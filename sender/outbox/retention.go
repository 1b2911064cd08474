package outbox

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
)

// pruneBatch is the number of deliveries or events that are deleted in one
// transaction, so that others never wait for long.
const pruneBatch = 500

// retention deletes what is too old, and the oldest deliveries and events if
// the tables are too large. Several processes may run it at once.
type retention struct {
	db       *jobdb.DB
	feed     *feed
	age      time.Duration // of finished deliveries
	deadAge  time.Duration // of dead letters
	eventAge time.Duration
	bodyAge  time.Duration // 0 keeps bodies as long as their events
	maxBytes int64
	logger   *slog.Logger

	walks walks // of maintain
}

// maintain prunes and cancels, and logs errors.
func (r *retention) maintain(ctx context.Context) {
	r.walks.events.bounded, r.walks.bodies.bounded = true, true
	if _, err := r.prune(ctx, &r.walks); err != nil && ctx.Err() == nil {
		r.logger.WarnContext(ctx, "outbox: pruning", slog.Any("error", err))
	}
	if err := r.cancelForgotten(ctx); err != nil && ctx.Err() == nil {
		r.logger.WarnContext(ctx, "outbox: canceling", slog.Any("error", err))
	}
}

// Prune deletes what the retention options do not keep, and returns the number
// of deleted deliveries. A started Outbox prunes about once a minute. Call
// Prune if all processes only publish. See [WithRetention],
// [WithDeadRetention], [WithEventRetention] and [WithBodyRetention].
func (o *Outbox) Prune(ctx context.Context) (int, error) {
	if err := o.open(); err != nil {
		return 0, err
	}
	return o.retention.prune(ctx, &walks{})
}

func (r *retention) prune(ctx context.Context, w *walks) (int, error) {
	now := time.Now()
	count, err := r.pruneDeliveries(ctx, isFinished, micros(now.Add(-r.age)))
	if err != nil {
		return count, err
	}
	dead, err := r.pruneDeliveries(ctx, isDead, micros(now.Add(-r.deadAge)))
	count += dead
	if err != nil {
		return count, err
	}
	over, err := r.pruneSize(ctx)
	count += over
	if err != nil {
		return count, err
	}
	if err := r.pruneEvents(ctx, &w.events, micros(now.Add(-r.eventAge))); err != nil {
		return count, err
	}
	if err := r.pruneBodies(ctx, &w.bodies, now); err != nil {
		return count, err
	}
	if err := r.pruneReplays(ctx, micros(now.Add(-max(r.age, r.deadAge)))); err != nil {
		return count, err
	}
	return count, wrap("returning free space", r.db.Shrink(ctx))
}

// The conditions of outbox_delivery_done and outbox_delivery_dead.
const (
	isFinished = `done_at > 0 AND state <> 'failed'`
	isDead     = `done_at > 0 AND state = 'failed'`
)

// pruneDeliveries deletes the deliveries of a kind that ended before a time,
// with their attempts, oldest first.
func (r *retention) pruneDeliveries(ctx context.Context, kind string, before int64) (int, error) {
	for count := 0; ; {
		old, err := r.oldest(ctx, kind, pruneBatch)
		for i, o := range old {
			if o.at >= before {
				old = old[:i]
				break
			}
		}
		if err != nil || len(old) == 0 {
			return count, wrap("pruning", err)
		}
		n, err := r.deleteDeliveries(ctx, old)
		count += n
		if err != nil || len(old) < pruneBatch {
			return count, wrap("pruning", err)
		}
	}
}

// oldDelivery is a delivery that has ended at a time.
type oldDelivery struct {
	id string
	at int64
}

// oldest returns the deliveries of a kind that ended first. A condition on the
// time would lead PostgreSQL to sort them, if it has no statistics.
func (r *retention) oldest(ctx context.Context, kind string, limit int) ([]oldDelivery, error) {
	return jobdb.Collect(ctx, r.db.Reader(), func(r jobdb.Row) (e oldDelivery, err error) { return e, r.Scan(&e.id, &e.at) },
		`SELECT id, done_at FROM {schema}outbox_delivery WHERE `+kind+` ORDER BY done_at LIMIT ?`, int64(limit))
}

// deleteDeliveries skips deliveries that were replayed meanwhile.
func (r *retention) deleteDeliveries(ctx context.Context, old []oldDelivery) (count int, err error) {
	ids := make([]string, len(old))
	for i, o := range old {
		ids[i] = o.id
	}
	slices.Sort(ids)
	err = r.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
		t, err := lockTotals(ctx, tx)
		if err != nil {
			return err
		}
		// done_at > 0 would lead PostgreSQL to another index.
		in, list := anyOf(r.db, ids)
		deleted, err := jobdb.Collect(ctx, tx, t.scanDelivery,
			`DELETE FROM {schema}outbox_delivery WHERE id `+in+` AND done_at <> 0 RETURNING id, state, done_at, size`, list)
		if err != nil || len(deleted) == 0 {
			return err
		}
		count = len(deleted)
		in, list = anyOf(r.db, deleted)
		if _, err := tx.Exec(ctx, `DELETE FROM {schema}outbox_body WHERE delivery <> '' AND delivery `+in, list); err != nil {
			return err
		}
		in, list = locate(r.db, "outbox_attempt", "delivery", deleted)
		if _, err := tx.Exec(ctx, `DELETE FROM {schema}outbox_attempt WHERE `+in, list); err != nil {
			return err
		}
		return t.save(ctx, tx)
	})
	return count, err
}

// pruneReplays forgets replays without deliveries.
func (r *retention) pruneReplays(ctx context.Context, before int64) error {
	_, err := r.db.Exec(ctx, `DELETE FROM {schema}outbox_replay WHERE created_at < ? AND NOT EXISTS (
		SELECT 1 FROM {schema}outbox_delivery d WHERE d.replay = outbox_replay.id AND d.replay <> '')`, before)
	if err == nil {
		_, err = r.db.Exec(ctx, `DELETE FROM {schema}outbox_replay_pace WHERE NOT EXISTS (
			SELECT 1 FROM {schema}outbox_replay r WHERE r.id = outbox_replay_pace.replay)`)
	}
	return wrap("pruning replays", err)
}

// cancelForgotten cancels the waiting deliveries of disabled endpoints if that
// was interrupted.
func (r *retention) cancelForgotten(ctx context.Context) error {
	endpoints, err := jobdb.Collect(ctx, r.db.Reader(), scanText, `SELECT e.id FROM {schema}outbox_endpoint e WHERE e.state = 'disabled'
		AND (SELECT 1 FROM {schema}outbox_delivery d WHERE d.endpoint = e.id AND d.state = 'pending' LIMIT 1) = 1`)
	for _, endpoint := range endpoints {
		if err == nil {
			err = cancelPending(ctx, r.db, endpoint, "the endpoint is disabled")
		}
	}
	return wrap("canceling deliveries", err)
}
