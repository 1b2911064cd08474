package outbox

import (
	"context"
	"log/slog"
	"time"

	"github.com/deployhook/deployhook/internal/riverdb"
)

const (
	// maintainEvery is about how often old rows are looked for.
	maintainEvery = time.Minute
	// pruneBatch is how many deliveries are deleted in one transaction, so that others never wait for long.
	pruneBatch = 500
	// laneUnused is after how long an endpoint that nothing is sent to is forgotten in memory.
	laneUnused = 10 * time.Minute
)

// maintain prunes now and then. Every process does: what one has deleted, the next does not find.
func (o *Outbox) maintain(ctx context.Context) {
	timer := time.NewTimer(jitter(o.maintainEvery))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		o.gate.sweep(laneUnused)
		if _, err := o.prune(ctx); err != nil && ctx.Err() == nil {
			o.logger.WarnContext(ctx, "outbox: pruning", slog.Any("error", err))
		}
		if err := o.cancelForgotten(ctx); err != nil && ctx.Err() == nil {
			o.logger.WarnContext(ctx, "outbox: canceling", slog.Any("error", err))
		}
		timer.Reset(jitter(o.maintainEvery))
	}
}

// Prune deletes what is older than [WithRetention] and [WithDeadRetention] allow, or is too much, and returns how many
// deliveries that were. A started Outbox does so by itself, about once a minute; Prune is for processes that only publish.
func (o *Outbox) Prune(ctx context.Context) (int, error) {
	if err := o.open(); err != nil {
		return 0, err
	}
	return o.prune(ctx)
}

func (o *Outbox) prune(ctx context.Context) (int, error) {
	now := time.Now()
	count, err := o.pruneBatches(ctx, `state <> 'failed' AND done_at > 0 AND done_at < ?`, micros(now.Add(-o.retention)))
	if err != nil {
		return count, err
	}
	dead, err := o.pruneBatches(ctx, `state = 'failed' AND done_at > 0 AND done_at < ?`, micros(now.Add(-o.deadRetention)))
	count += dead
	if err != nil {
		return count, err
	}
	over, err := o.pruneSize(ctx)
	count += over
	if err != nil {
		return count, err
	}
	if err := o.pruneEvents(ctx, micros(now.Add(-o.retention))); err != nil {
		return count, err
	}
	return count, o.pruneReplays(ctx, micros(now.Add(-max(o.retention, o.deadRetention))))
}

// pruneBatches deletes the finished deliveries that a condition names, with their attempts, the oldest first.
func (o *Outbox) pruneBatches(ctx context.Context, condition string, arg any) (int, error) {
	for count := 0; ; {
		n, err := o.pruneOnce(ctx, condition, arg, pruneBatch)
		count += n
		if err != nil || n < pruneBatch {
			return count, wrap("pruning", err)
		}
	}
}

func (o *Outbox) pruneOnce(ctx context.Context, condition string, arg any, limit int) (int, error) {
	var count int
	err := o.db.InTx(ctx, func(ctx context.Context, tx *riverdb.Tx) error {
		ids, err := riverdb.Collect(ctx, tx, func(r riverdb.Row) (id string, err error) { return id, r.Scan(&id) },
			`SELECT id FROM {schema}outbox_delivery WHERE `+condition+` ORDER BY done_at LIMIT ?`, arg, int64(limit))
		if err != nil || len(ids) == 0 {
			return err
		}
		// done_at again: it may have been replayed since.
		gone, err := riverdb.Collect(ctx, tx, func(r riverdb.Row) (id string, err error) { return id, r.Scan(&id) },
			`DELETE FROM {schema}outbox_delivery WHERE id `+o.in()+` AND done_at > 0 RETURNING id`, o.ids(ids))
		if err != nil || len(gone) == 0 {
			return err
		}
		count = len(gone)
		_, err = tx.Exec(ctx, `DELETE FROM {schema}outbox_attempt WHERE delivery `+o.in(), o.ids(gone))
		return err
	})
	return count, err
}

// pruneSize deletes the oldest finished deliveries while they are too many bytes.
func (o *Outbox) pruneSize(ctx context.Context) (int, error) {
	for count := 0; o.maxBytes > 0; {
		var total, n int64
		err := o.db.QueryRow(ctx, `SELECT CAST(COALESCE(SUM(size), 0) AS bigint), COUNT(*) FROM {schema}outbox_delivery WHERE done_at > 0`).Scan(&total, &n)
		if err != nil {
			return count, wrap("measuring", err)
		}
		over := total - o.maxBytes
		if over <= 0 || n == 0 {
			return count, nil
		}
		// How many the oldest are that make up the excess, going by the mean: never more than needed by much.
		limit := min(max(over*n/max(total, 1), 1), pruneBatch)
		deleted, err := o.pruneOnce(ctx, `done_at > ?`, int64(0), int(limit))
		count += deleted
		if err != nil || deleted == 0 {
			return count, wrap("pruning", err)
		}
	}
	return 0, nil
}

// pruneEvents forgets the IDs of events without deliveries.
func (o *Outbox) pruneEvents(ctx context.Context, before int64) error {
	for {
		n, err := o.db.Exec(ctx, `DELETE FROM {schema}outbox_event WHERE EXISTS (SELECT 1 FROM (SELECT e.app, e.id FROM {schema}outbox_event e
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

// pruneReplays forgets replays of which no delivery is left.
func (o *Outbox) pruneReplays(ctx context.Context, before int64) error {
	_, err := o.db.Exec(ctx, `DELETE FROM {schema}outbox_replay WHERE created_at < ? AND NOT EXISTS (
		SELECT 1 FROM {schema}outbox_delivery d WHERE d.replay = outbox_replay.id AND d.replay <> '')`, before)
	return wrap("pruning replays", err)
}

// cancelForgotten ends what waits for endpoints that were disabled or deleted, if that was interrupted.
func (o *Outbox) cancelForgotten(ctx context.Context) error {
	_, err := o.db.Exec(ctx, `UPDATE {schema}outbox_delivery SET state = ?, done_at = ?, next_at = 0, last_error = 'the endpoint is disabled'
		WHERE state = 'pending' AND endpoint IN (SELECT id FROM {schema}outbox_endpoint WHERE state = ?) AND id IN (
			SELECT d.id FROM {schema}outbox_delivery d JOIN {schema}outbox_endpoint e ON e.id = d.endpoint
			WHERE d.state = 'pending' AND e.state = ? LIMIT ?)`,
		string(Canceled), micros(time.Now()), string(EndpointDisabled), string(EndpointDisabled), int64(cancelBatch))
	return wrap("canceling deliveries", err)
}

// in and ids are a condition on a list of texts.
func (o *Outbox) in() string {
	if o.db.Dialect() == riverdb.Postgres {
		return `= ANY(?)`
	}
	return `IN (SELECT value FROM json_each(?))`
}

func (o *Outbox) ids(ids []string) any {
	if o.db.Dialect() == riverdb.Postgres {
		return ids
	}
	return list(ids)
}
