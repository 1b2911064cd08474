package outbox

import (
	"context"
	"log/slog"
	"math/bits"
	"time"

	"github.com/deployhook/deployhook/internal/riverdb"
)

// pruneBatch is the number of deliveries or events that are deleted in one
// transaction, so that others never wait for long.
const pruneBatch = 500

// retention deletes what is too old, and the oldest deliveries and events if
// the tables are too large. Several processes may run it at once.
type retention struct {
	db       *riverdb.DB
	feed     *feed
	age      time.Duration // of finished deliveries
	deadAge  time.Duration // of dead letters
	eventAge time.Duration
	bodyAge  time.Duration // 0 keeps bodies as long as their events
	maxBytes int64
	logger   *slog.Logger
}

// maintain prunes and cancels, and logs errors.
func (r *retention) maintain(ctx context.Context) {
	if _, err := r.prune(ctx); err != nil && ctx.Err() == nil {
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
	return o.retention.prune(ctx)
}

func (r *retention) prune(ctx context.Context) (int, error) {
	now := time.Now()
	count, err := r.pruneDeliveries(ctx, `state <> 'failed' AND done_at > 0 AND done_at < ?`, micros(now.Add(-r.age)))
	if err != nil {
		return count, err
	}
	dead, err := r.pruneDeliveries(ctx, `state = 'failed' AND done_at > 0 AND done_at < ?`, micros(now.Add(-r.deadAge)))
	count += dead
	if err != nil {
		return count, err
	}
	over, err := r.pruneSize(ctx)
	count += over
	if err != nil {
		return count, err
	}
	if err := r.pruneEvents(ctx, micros(now.Add(-r.eventAge))); err != nil {
		return count, err
	}
	if err := r.pruneBodies(ctx, now); err != nil {
		return count, err
	}
	if err := r.pruneReplays(ctx, micros(now.Add(-max(r.age, r.deadAge)))); err != nil {
		return count, err
	}
	return count, wrap("returning free space", r.db.Shrink(ctx))
}

// pruneDeliveries deletes the finished deliveries that match a condition, with
// their attempts, oldest first.
func (r *retention) pruneDeliveries(ctx context.Context, condition string, arg any) (int, error) {
	for count := 0; ; {
		n, err := r.pruneBatch(ctx, condition, arg, pruneBatch)
		count += n
		if err != nil || n < pruneBatch {
			return count, wrap("pruning", err)
		}
	}
}

func (r *retention) pruneBatch(ctx context.Context, condition string, arg any, limit int) (int, error) {
	var count int
	err := r.db.InTx(ctx, func(ctx context.Context, tx *riverdb.Tx) error {
		ids, err := riverdb.Collect(ctx, tx, scanText,
			`SELECT id FROM {schema}outbox_delivery WHERE `+condition+` ORDER BY done_at LIMIT ?`, arg, int64(limit))
		if err != nil || len(ids) == 0 {
			return err
		}
		// done_at again, since it may have been replayed meanwhile.
		in, list := anyOf(r.db, ids)
		deleted, err := riverdb.Collect(ctx, tx, scanText,
			`DELETE FROM {schema}outbox_delivery WHERE id `+in+` AND done_at > 0 RETURNING id`, list)
		if err != nil || len(deleted) == 0 {
			return err
		}
		count = len(deleted)
		in, list = anyOf(r.db, deleted)
		if _, err := tx.Exec(ctx, `DELETE FROM {schema}outbox_body WHERE delivery <> '' AND delivery `+in, list); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM {schema}outbox_attempt WHERE delivery `+in, list)
		return err
	})
	return count, err
}

// pruneSize deletes the oldest finished deliveries, and the events that are as
// old and have no other delivery, while all have too many bytes.
func (r *retention) pruneSize(ctx context.Context) (int, error) {
	for count := 0; r.maxBytes > 0; {
		var total, n, events int64
		err := r.db.Reader().QueryRow(ctx, `SELECT CAST(COALESCE(SUM(size), 0) AS bigint), COUNT(*) FROM {schema}outbox_delivery WHERE done_at > 0`).Scan(&total, &n)
		if err == nil {
			err = r.db.Reader().QueryRow(ctx, `SELECT CAST(COALESCE(SUM(size), 0) AS bigint) FROM {schema}outbox_event`).Scan(&events)
		}
		if err != nil {
			return count, wrap("measuring", err)
		}
		excess := total + events - r.maxBytes
		if excess <= 0 {
			return count, nil
		}
		// The excess divided by the mean size, so that not many too many are deleted.
		limit := int(min(max(share(excess, total+events, n), 1), pruneBatch))
		deleted, until, err := r.pruneOldest(ctx, limit)
		count += deleted
		if err != nil {
			return count, wrap("pruning", err)
		}
		forgotten, err := r.pruneEventBatch(ctx, until, limit)
		if err != nil || deleted+forgotten == 0 {
			return count, wrap("pruning events", err)
		}
	}
	return 0, nil
}

// share returns n * part / whole, for a part that is no larger than the whole.
// The product alone does not fit into 64 bits: 100 GB and 10⁸ rows.
func share(part, whole, n int64) int64 {
	high, low := bits.Mul64(uint64(n), uint64(part))
	quotient, _ := bits.Div64(high, low, uint64(whole))
	return int64(quotient)
}

// pruneOldest deletes the oldest finished deliveries. It returns when the last
// of them ended, or a time after all events if there was none.
func (r *retention) pruneOldest(ctx context.Context, limit int) (deleted int, until int64, err error) {
	until = micros(time.Now()) + 1
	last, err := riverdb.Collect(ctx, r.db, func(r riverdb.Row) (at int64, err error) { return at, r.Scan(&at) },
		`SELECT done_at FROM {schema}outbox_delivery WHERE done_at > 0 ORDER BY done_at LIMIT ?`, int64(limit))
	if err != nil || len(last) == 0 {
		return 0, until, err
	}
	until = last[len(last)-1]
	deleted, err = r.pruneBatch(ctx, `done_at > ?`, int64(0), limit)
	return deleted, until, err
}

// pruneEvents deletes old events without deliveries, and so forgets their IDs.
func (r *retention) pruneEvents(ctx context.Context, before int64) error {
	for {
		n, err := r.pruneEventBatch(ctx, before, pruneBatch)
		if err != nil || n < pruneBatch {
			return wrap("pruning events", err)
		}
	}
}

// pruneEventBatch also records the positions that a consumer which polls can no
// longer read. Events without a position are kept until they have one.
func (r *retention) pruneEventBatch(ctx context.Context, before int64, limit int) (count int, err error) {
	if err := r.feed.place(ctx); err != nil {
		return 0, err
	}
	err = r.db.InTx(ctx, func(ctx context.Context, tx *riverdb.Tx) error {
		old, err := collectKeys(ctx, tx, `SELECT e.app, e.id FROM {schema}outbox_event e WHERE e.created_at < ? AND e.position > 0
			AND NOT EXISTS (SELECT 1 FROM {schema}outbox_delivery d WHERE d.app = e.app AND d.event = e.id)
			ORDER BY e.created_at LIMIT ?`, before, int64(limit))
		if err != nil || len(old.apps) == 0 {
			return err
		}
		count = len(old.apps)
		return r.deleteEvents(ctx, tx, old)
	})
	return count, err
}

func (r *retention) deleteEvents(ctx context.Context, tx *riverdb.Tx, old keys) error {
	in, args := anyPair(r.db, `app, id`, old.apps, old.events)
	_, err := tx.Exec(ctx, `UPDATE {schema}outbox_app SET pruned_position = CASE WHEN p.last > pruned_position THEN p.last ELSE pruned_position END
		FROM (SELECT app, MAX(position) AS last FROM {schema}outbox_event WHERE `+in+` GROUP BY app) p WHERE p.app = outbox_app.id`, args...)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM {schema}outbox_event WHERE `+in, args...); err != nil {
		return err
	}
	in, args = anyPair(r.db, `app, event`, old.apps, old.events)
	_, err = tx.Exec(ctx, `DELETE FROM {schema}outbox_body WHERE `+in, args...)
	return err
}

// pruneBodies deletes the contents of old events that no delivery waits to
// send.
func (r *retention) pruneBodies(ctx context.Context, now time.Time) error {
	for r.bodyAge > 0 {
		var count int
		err := r.db.InTx(ctx, func(ctx context.Context, tx *riverdb.Tx) error {
			old, err := collectKeys(ctx, tx, `SELECT b.app, b.event FROM {schema}outbox_body b WHERE b.created_at < ?
				AND NOT EXISTS (SELECT 1 FROM {schema}outbox_delivery d WHERE d.app = b.app AND d.event = b.event AND d.state = 'pending')
				ORDER BY b.created_at LIMIT ?`, micros(now.Add(-r.bodyAge)), int64(pruneBatch))
			if err != nil || len(old.apps) == 0 {
				return err
			}
			count = len(old.apps)
			return deleteContents(ctx, r.db, tx, old)
		})
		if err != nil || count < pruneBatch {
			return wrap("pruning bodies", err)
		}
	}
	return nil
}

// keys names events. Both lists have the same length.
type keys struct{ apps, events []string }

func collectKeys(ctx context.Context, tx *riverdb.Tx, statement string, args ...any) (all keys, err error) {
	pairs, err := riverdb.Collect(ctx, tx, func(r riverdb.Row) (p [2]string, err error) { return p, r.Scan(&p[0], &p[1]) }, statement, args...)
	for _, p := range pairs {
		all.apps, all.events = append(all.apps, p[0]), append(all.events, p[1])
	}
	return all, err
}

// deleteContents deletes what events say, everywhere. What is left says that
// they existed, and when, where and how they were delivered.
func deleteContents(ctx context.Context, db *riverdb.DB, tx *riverdb.Tx, events keys) error {
	in, args := anyPair(db, `app, event`, events.apps, events.events)
	for _, statement := range [...]string{
		`DELETE FROM {schema}outbox_body WHERE ` + in,
		`UPDATE {schema}outbox_attempt SET error = '', request_header = '{}', response_header = '{}', body = ''
			WHERE delivery IN (SELECT id FROM {schema}outbox_delivery WHERE ` + in + `)`,
		`UPDATE {schema}outbox_delivery SET encoding = 0, last_error = '' WHERE ` + in,
	} {
		if _, err := tx.Exec(ctx, statement, args...); err != nil {
			return err
		}
	}
	return nil
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
	_, err := r.db.Exec(ctx, `WITH forgotten AS MATERIALIZED (
			SELECT id FROM {schema}outbox_delivery WHERE state = 'pending'
			AND endpoint IN (SELECT id FROM {schema}outbox_endpoint WHERE state = ?) ORDER BY id LIMIT ?`+inOrder(r.db)+`)
		UPDATE {schema}outbox_delivery SET state = ?, done_at = ?, next_at = 0, last_error = 'the endpoint is disabled'
		WHERE state = 'pending' AND endpoint IN (SELECT id FROM {schema}outbox_endpoint WHERE state = ?) AND id IN (SELECT id FROM forgotten)`,
		string(EndpointDisabled), int64(cancelBatch), string(Canceled), micros(time.Now()), string(EndpointDisabled))
	return wrap("canceling deliveries", err)
}
