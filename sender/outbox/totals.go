package outbox

import (
	"cmp"
	"context"
	"math/bits"
	"slices"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
)

const (
	// countBatch is the number of rows that are counted in one transaction.
	countBatch = 1000
	// recountAfter is how old a total may become before all rows are counted
	// again. A delivery that is replayed is counted twice until then.
	recountAfter = time.Hour
)

// totals are the rows of outbox_total, one for each kind of rows that count for
// the bytes of WithRetention. Each has the number and the bytes of the rows
// that are not younger than until. Only pruning changes them. So neither
// publishers nor workers wait for a row that all of them change.
type totals struct {
	byKind map[string]*total
}

type total struct{ until, rows, bytes, begun int64 }

// countedRows names the rows of a kind.
type countedRows struct{ kind, from, at string }

func countedKinds() []countedRows {
	return []countedRows{
		{"finished", `{schema}outbox_delivery WHERE ` + isFinished, `done_at`},
		{"dead", `{schema}outbox_delivery WHERE ` + isDead, `done_at`},
		{"event", `{schema}outbox_event WHERE 1 = 1`, `created_at`},
	}
}

// lockTotals makes other processes that prune wait until the transaction has
// ended.
func lockTotals(ctx context.Context, tx *jobdb.Tx) (*totals, error) {
	t := &totals{byKind: map[string]*total{}}
	_, err := jobdb.Collect(ctx, tx, func(r jobdb.Row) (struct{}, error) {
		var kind string
		one := &total{}
		err := r.Scan(&kind, &one.until, &one.rows, &one.bytes, &one.begun)
		t.byKind[kind] = one
		return struct{}{}, err
	}, `UPDATE {schema}outbox_total SET begun = begun WHERE id = 1 RETURNING kind, until, amount, bytes, begun`)
	return t, err
}

// subtract takes a deleted row out of the total, if it was counted.
func (t *totals) subtract(kind string, at, size int64) {
	if one := t.byKind[kind]; one != nil && at <= one.until {
		one.rows--
		one.bytes -= size
	}
}

func (t *totals) scanDelivery(r jobdb.Row) (id string, err error) {
	var (
		state    string
		at, size int64
	)
	err = r.Scan(&id, &state, &at, &size)
	kind := "finished"
	if State(state) == Failed {
		kind = "dead"
	}
	t.subtract(kind, at, size)
	return id, err
}

func (t *totals) scanEvent(r jobdb.Row) (none struct{}, err error) {
	var at, size int64
	err = r.Scan(&at, &size)
	t.subtract("event", at, size)
	return none, err
}

// save stores the totals.
func (t *totals) save(ctx context.Context, tx *jobdb.Tx) error {
	for kind, one := range t.byKind {
		_, err := tx.Exec(ctx, `UPDATE {schema}outbox_total SET until = ?, amount = ?, bytes = ?, begun = ? WHERE id = 1 AND kind = ?`,
			one.until, one.rows, one.bytes, one.begun, kind)
		if err != nil {
			return err
		}
	}
	return nil
}

// count counts the rows that are new since the last call, in short
// transactions. After recountAfter it counts all of them.
func (r *retention) count(ctx context.Context) (*totals, error) {
	for {
		var t *totals
		more := false
		err := r.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) (err error) {
			if t, err = lockTotals(ctx, tx); err != nil {
				return err
			}
			for _, k := range countedKinds() {
				n, err := t.countBatch(ctx, tx, k)
				if err != nil {
					return err
				}
				more = more || n == countBatch
			}
			return t.save(ctx, tx)
		})
		if err != nil || !more {
			return t, err
		}
	}
}

func (t *totals) countBatch(ctx context.Context, tx *jobdb.Tx, k countedRows) (n int64, err error) {
	one, now := t.byKind[k.kind], micros(time.Now())
	if one == nil { // deleted by SQL
		return 0, nil
	}
	if now-one.begun > recountAfter.Microseconds() {
		*one = total{begun: now}
	}
	var bytes, last int64
	err = tx.QueryRow(ctx, `SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS bigint), COALESCE(MAX(at), 0) FROM (
		SELECT `+k.at+` AS at, size FROM `+k.from+` AND `+k.at+` > ? ORDER BY `+k.at+` LIMIT ?) AS next`, one.until, int64(countBatch)).Scan(&n, &bytes, &last)
	one.rows, one.bytes, one.until = one.rows+n, one.bytes+bytes, max(one.until, last)
	return n, err
}

// pruneSize deletes the oldest finished deliveries, and the events that are as
// old and have no other delivery, while all have too many bytes.
func (r *retention) pruneSize(ctx context.Context) (count int, err error) {
	var events walk
	for r.maxBytes > 0 {
		t, err := r.count(ctx)
		if err != nil {
			return count, wrap("measuring", err)
		}
		var all, deliveries int64
		for kind, one := range t.byKind {
			all += one.bytes
			if kind != "event" {
				deliveries += one.rows
			}
		}
		excess := all - r.maxBytes
		if excess <= 0 {
			return count, nil
		}
		// The excess divided by the mean size, so that not many too many are deleted.
		limit := int(min(max(share(excess, all, max(deliveries, 0)), 1), pruneBatch))
		if err := r.feed.place(ctx); err != nil {
			return count, err
		}
		deleted, until, err := r.pruneOldest(ctx, limit)
		count += deleted
		if err != nil {
			return count, wrap("pruning", err)
		}
		forgotten, err := r.pruneEventBatch(ctx, events.from, until, limit)
		events.pass(forgotten)
		if err != nil || deleted+forgotten.deleted == 0 && forgotten.over {
			return count, wrap("pruning events", err)
		}
	}
	return count, nil
}

// pruneOldest deletes the oldest finished deliveries. It returns when the last
// of them ended, or a time after all events if no delivery has ended.
func (r *retention) pruneOldest(ctx context.Context, limit int) (deleted int, until int64, err error) {
	old, err := r.oldest(ctx, isFinished, limit)
	if err != nil {
		return 0, 0, err
	}
	dead, err := r.oldest(ctx, isDead, limit)
	if err != nil {
		return 0, 0, err
	}
	old = append(old, dead...)
	if len(old) == 0 {
		return 0, micros(time.Now()) + 1, nil
	}
	slices.SortFunc(old, func(a, b oldDelivery) int { return cmp.Compare(a.at, b.at) })
	old = old[:min(limit, len(old))]
	deleted, err = r.deleteDeliveries(ctx, old)
	return deleted, old[len(old)-1].at, err
}

// share returns n * part / whole, for a part that is no larger than the whole.
// The product alone does not fit into 64 bits: 100 GB and 10⁸ rows.
func share(part, whole, n int64) int64 {
	high, low := bits.Mul64(uint64(n), uint64(part))
	quotient, _ := bits.Div64(high, low, uint64(whole))
	return int64(quotient)
}
