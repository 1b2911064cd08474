package outbox

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
)

// walks are where maintenance continues the next time. The zero value begins at
// the oldest event and goes on to the end.
type walks struct{ events, bodies walk }

// walk goes through old events by their age. Some have to stay although they
// are old, because they have deliveries. One run passes by a bounded number of
// them, and the next run continues there, so that it does not read all of them
// every minute.
type walk struct {
	from    int64 // the age at which it continues
	bounded bool
}

// maxPassed is the number of batches without anything to delete after which a
// bounded walk pauses.
const maxPassed = 20

// run calls step for batch after batch. step deletes what it can of the batch
// that begins at a time.
func (w *walk) run(step func(from int64) (batch, error)) error {
	for passed := 0; !w.bounded || passed < maxPassed; {
		b, err := step(w.from)
		if err != nil {
			return err
		}
		if b.over {
			w.from = 0
			return nil
		}
		w.pass(b)
		if passed++; b.deleted > 0 {
			passed = 0
		}
	}
	return nil
}

// pass continues after a batch. It skips what is left of more than a batch of
// events that have the same time, until the next walk.
func (w *walk) pass(b batch) { w.from = max(b.last, w.from+1) }

// batch is the outcome of a step.
type batch struct {
	deleted int
	last    int64 // the time of the last event
	over    bool  // there was no full batch
}

// oldEvent is an event that may be deleted.
type oldEvent struct {
	app, id           string
	at, position, has int64 // has is 1 if there is a delivery that needs it
}

// pruneEvents deletes old events without deliveries, and so forgets their IDs.
func (r *retention) pruneEvents(ctx context.Context, w *walk, before int64) error {
	if err := r.feed.place(ctx); err != nil {
		return err
	}
	return wrap("pruning events", w.run(func(from int64) (batch, error) { return r.pruneEventBatch(ctx, from, before, pruneBatch) }))
}

// pruneEventBatch also records the positions that a consumer which polls can no
// longer read. Events without a position are kept until they have one.
func (r *retention) pruneEventBatch(ctx context.Context, from, before int64, limit int) (b batch, err error) {
	err = r.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
		t, err := lockTotals(ctx, tx)
		if err != nil {
			return err
		}
		var old keys
		positions := map[string]int64{}
		all, err := collectOld(ctx, tx, `SELECT e.app, e.id, e.created_at, e.position, COALESCE((SELECT 1 FROM {schema}outbox_delivery d
				WHERE d.app = e.app AND d.event = e.id LIMIT 1), 0) FROM (
			SELECT app, id, created_at, position FROM {schema}outbox_event WHERE created_at >= ? ORDER BY created_at LIMIT ?) e`, from, int64(limit))
		b.over = len(all) < limit
		for _, e := range all {
			if e.at >= before {
				b.over = true
				break
			}
			b.last = e.at
			if e.has == 0 && e.position > 0 {
				old.apps, old.events = append(old.apps, e.app), append(old.events, e.id)
				positions[e.app] = max(positions[e.app], e.position)
			}
		}
		b.deleted = len(old.apps)
		if err != nil || b.deleted == 0 {
			return err
		}
		if err := r.deleteEvents(ctx, tx, old, positions, t); err != nil {
			return err
		}
		return t.save(ctx, tx)
	})
	return b, err
}

func collectOld(ctx context.Context, tx *jobdb.Tx, statement string, args ...any) ([]oldEvent, error) {
	return jobdb.Collect(ctx, tx, func(r jobdb.Row) (e oldEvent, err error) {
		return e, r.Scan(&e.app, &e.id, &e.at, &e.position, &e.has)
	}, statement, args...)
}

func (r *retention) deleteEvents(ctx context.Context, tx *jobdb.Tx, old keys, positions map[string]int64, t *totals) error {
	for _, app := range slices.Sorted(maps.Keys(positions)) {
		_, err := tx.Exec(ctx, `UPDATE {schema}outbox_app SET pruned_position = ? WHERE id = ? AND pruned_position < ?`,
			positions[app], app, positions[app])
		if err != nil {
			return err
		}
	}
	in, args := locatePairs(r.db, "outbox_event", "app", "id", old)
	_, err := jobdb.Collect(ctx, tx, t.scanEvent, `DELETE FROM {schema}outbox_event WHERE `+in+` RETURNING created_at, size`, args...)
	if err != nil {
		return err
	}
	in, args = locatePairs(r.db, "outbox_body", "app", "event", old)
	_, err = tx.Exec(ctx, `DELETE FROM {schema}outbox_body WHERE `+in, args...)
	return err
}

// pruneBodies deletes the contents of old events that no delivery waits to
// send.
func (r *retention) pruneBodies(ctx context.Context, w *walk, now time.Time) error {
	if r.bodyAge <= 0 {
		return nil
	}
	before := micros(now.Add(-r.bodyAge))
	return wrap("pruning bodies", w.run(func(from int64) (batch, error) { return r.pruneBodyBatch(ctx, from, before) }))
}

func (r *retention) pruneBodyBatch(ctx context.Context, from, before int64) (b batch, err error) {
	err = r.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
		var old keys
		all, err := collectOld(ctx, tx, `SELECT b.app, b.event, b.created_at, 0, COALESCE((SELECT 1 FROM {schema}outbox_delivery d
				WHERE d.app = b.app AND d.event = b.event AND d.state = 'pending' LIMIT 1), 0) FROM (
			SELECT app, event, created_at FROM {schema}outbox_body WHERE created_at >= ? ORDER BY created_at LIMIT ?) b`, from, int64(pruneBatch))
		b.over = len(all) < pruneBatch
		for _, e := range all {
			if e.at >= before {
				b.over = true
				break
			}
			b.last = e.at
			if e.has == 0 {
				old.apps, old.events = append(old.apps, e.app), append(old.events, e.id)
			}
		}
		b.deleted = len(old.apps)
		if err != nil || b.deleted == 0 {
			return err
		}
		return deleteContents(ctx, r.db, tx, old)
	})
	return b, err
}

// deleteContents deletes what events say, everywhere. What is left says that
// they existed, and when, where and how they were delivered. It locks the
// deliveries in the order in which recorders do.
func deleteContents(ctx context.Context, db *jobdb.DB, tx *jobdb.Tx, events keys) error {
	in, args := locatePairs(db, "outbox_body", "app", "event", events)
	if _, err := tx.Exec(ctx, `DELETE FROM {schema}outbox_body WHERE `+in, args...); err != nil {
		return err
	}
	deliveries, err := deliveriesOf(ctx, db, tx, events)
	if err != nil || len(deliveries) == 0 {
		return err
	}
	condition, list := locate(db, "outbox_attempt", "delivery", deliveries)
	_, err = tx.Exec(ctx, `UPDATE {schema}outbox_attempt SET error = '', request_header = '{}', response_header = '{}', body = '' WHERE `+condition, list)
	if err != nil {
		return err
	}
	condition, list = anyOf(db, deliveries)
	_, err = tx.Exec(ctx, `UPDATE {schema}outbox_delivery SET encoding = 0, last_error = '' WHERE id `+condition, list)
	return err
}

// deliveriesOf locks the deliveries of events and returns their IDs.
func deliveriesOf(ctx context.Context, db *jobdb.DB, tx *jobdb.Tx, events keys) ([]string, error) {
	from := `json_each(?) AS u JOIN {schema}outbox_delivery d ON d.app = u.value ->> 0 AND d.event = u.value ->> 1`
	_, args := locatePairs(db, "", "", "", events)
	if db.Dialect() == jobdb.Postgres {
		from = `unnest(?::text[], ?::text[]) AS u (a, b), LATERAL (SELECT id FROM {schema}outbox_delivery WHERE app = u.a AND event = u.b OFFSET 0) AS d`
	}
	ids, err := jobdb.Collect(ctx, tx, scanText, `SELECT d.id FROM `+from, args...)
	if err != nil || len(ids) == 0 || db.Dialect() == jobdb.SQLite {
		return ids, err
	}
	in, list := anyOf(db, ids)
	return jobdb.Collect(ctx, tx, scanText, `SELECT id FROM {schema}outbox_delivery WHERE id `+in+` ORDER BY `+byID(db.Dialect())+` FOR UPDATE`, list)
}
