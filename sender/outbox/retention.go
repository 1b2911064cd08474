package outbox

import (
	"context"
	"log/slog"
	"time"

	"github.com/deployhook/deployhook/internal/riverdb"
)

// pruneBatch is the number of deliveries that are deleted in one transaction,
// so that others never wait for long.
const pruneBatch = 500

// retention deletes finished deliveries that are too old, and the oldest ones
// if the tables are too large. Several processes may run it at once.
type retention struct {
	db       *riverdb.DB
	age      time.Duration
	deadAge  time.Duration
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

// Prune deletes the finished deliveries that [WithRetention] and
// [WithDeadRetention] do not keep, and returns their number. A started Outbox
// prunes about once a minute. Call Prune if all processes only publish.
func (o *Outbox) Prune(ctx context.Context) (int, error) {
	if err := o.open(); err != nil {
		return 0, err
	}
	return o.retention.prune(ctx)
}

func (r *retention) prune(ctx context.Context) (int, error) {
	now := time.Now()
	count, err := r.pruneBatches(ctx, `state <> 'failed' AND done_at > 0 AND done_at < ?`, micros(now.Add(-r.age)))
	if err != nil {
		return count, err
	}
	dead, err := r.pruneBatches(ctx, `state = 'failed' AND done_at > 0 AND done_at < ?`, micros(now.Add(-r.deadAge)))
	count += dead
	if err != nil {
		return count, err
	}
	over, err := r.pruneSize(ctx)
	count += over
	if err != nil {
		return count, err
	}
	if err := r.pruneEvents(ctx, micros(now.Add(-r.age))); err != nil {
		return count, err
	}
	return count, r.pruneReplays(ctx, micros(now.Add(-max(r.age, r.deadAge))))
}

// pruneBatches deletes the finished deliveries that match a condition, with
// their attempts, oldest first.
func (r *retention) pruneBatches(ctx context.Context, condition string, arg any) (int, error) {
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
		_, err = tx.Exec(ctx, `DELETE FROM {schema}outbox_attempt WHERE delivery `+in, list)
		return err
	})
	return count, err
}

// pruneSize deletes the oldest finished deliveries while all have too many
// bytes.
func (r *retention) pruneSize(ctx context.Context) (int, error) {
	for count := 0; r.maxBytes > 0; {
		var total, n int64
		err := r.db.QueryRow(ctx, `SELECT CAST(COALESCE(SUM(size), 0) AS bigint), COUNT(*) FROM {schema}outbox_delivery WHERE done_at > 0`).Scan(&total, &n)
		if err != nil {
			return count, wrap("measuring", err)
		}
		excess := total - r.maxBytes
		if excess <= 0 || n == 0 {
			return count, nil
		}
		// The excess divided by the mean size, so that not many too many are deleted.
		limit := min(max(excess*n/max(total, 1), 1), pruneBatch)
		deleted, err := r.pruneBatch(ctx, `done_at > ?`, int64(0), int(limit))
		count += deleted
		if err != nil || deleted == 0 {
			return count, wrap("pruning", err)
		}
	}
	return 0, nil
}

// pruneEvents forgets the IDs of events without deliveries.
func (r *retention) pruneEvents(ctx context.Context, before int64) error {
	for {
		n, err := r.db.Exec(ctx, `DELETE FROM {schema}outbox_event WHERE EXISTS (SELECT 1 FROM (SELECT e.app, e.id FROM {schema}outbox_event e
			WHERE e.created_at < ? AND NOT EXISTS (SELECT 1 FROM {schema}outbox_delivery d WHERE d.app = e.app AND d.event = e.id)
			ORDER BY e.created_at LIMIT ?) old WHERE old.app = outbox_event.app AND old.id = outbox_event.id)`, before, int64(pruneBatch))
		if err != nil {
			return wrap("pruning events", err)
		}
		if n < pruneBatch {
			return nil
		}
	}
}

// pruneReplays forgets replays without deliveries.
func (r *retention) pruneReplays(ctx context.Context, before int64) error {
	_, err := r.db.Exec(ctx, `DELETE FROM {schema}outbox_replay WHERE created_at < ? AND NOT EXISTS (
		SELECT 1 FROM {schema}outbox_delivery d WHERE d.replay = outbox_replay.id AND d.replay <> '')`, before)
	return wrap("pruning replays", err)
}

// cancelForgotten cancels the waiting deliveries of disabled endpoints if that
// was interrupted.
func (r *retention) cancelForgotten(ctx context.Context) error {
	_, err := r.db.Exec(ctx, `UPDATE {schema}outbox_delivery SET state = ?, done_at = ?, next_at = 0, last_error = 'the endpoint is disabled'
		WHERE state = 'pending' AND endpoint IN (SELECT id FROM {schema}outbox_endpoint WHERE state = ?) AND id IN (
			SELECT d.id FROM {schema}outbox_delivery d JOIN {schema}outbox_endpoint e ON e.id = d.endpoint
			WHERE d.state = 'pending' AND e.state = ? LIMIT ?)`,
		string(Canceled), micros(time.Now()), string(EndpointDisabled), string(EndpointDisabled), int64(cancelBatch))
	return wrap("canceling deliveries", err)
}
