package outbox

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
)

// pair publishes two events of one deployment, and returns their deliveries.
func (o *inside) pair() (older, newer *loaded) {
	o.t.Helper()
	o.endpoint("shop", 0)
	for i, d := range []**loaded{&older, &newer} {
		e := stepOf("platform.step")
		e.Timestamp = time.Date(2026, 3, 12, 14, 22, i, 0, time.UTC)
		p, err := o.App("shop").Publish(o.t.Context(), e)
		require.NoError(o.t, err)
		*d = o.loaded(p.Deliveries[0].ID)
	}
	return older, newer
}

func (o *inside) blockedCount() int64 {
	o.t.Helper()
	return o.count(`blocked = 1 AND state = 'pending'`)
}

// A worker has found an older delivery, which then ends in another process
// before the worker can store that its own waits. It is not blocked.
func TestOrdering_OlderEndsFirst(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		older, newer := o.pair()
		require.Equal(t, older.id, newer.older)
		require.Empty(t, older.older)
		r := &result{id: newer.id, job: newer.job, blockedBy: newer.older, nextAt: time.Now().Add(time.Hour)}
		if o.db.Dialect() == jobdb.Postgres { // it ends while the other statement waits
			o.whileHeldBy(func(ctx context.Context, tx *jobdb.Tx) error {
				_, err := tx.Exec(ctx, `UPDATE {schema}outbox_delivery SET state = 'delivered' WHERE id = ?`, older.id)
				return err
			}, func() error { return o.ordering.block(context.Background(), []*result{r}) }, nil)
		} else {
			o.write(older.delivered(time.Now()))
			o.write(r)
		}
		require.False(t, r.counted)
		require.Zero(t, o.blockedCount())
		require.Empty(t, o.loaded(newer.id).older)
	}, WithOrdering())
}

// An older delivery ends while another process is storing that a newer one
// waits for it. The end waits for that, and makes the newer one due.
func TestOrdering_OlderEndsMeanwhile(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		older, newer := o.pair()
		r := &result{id: newer.id, job: newer.job, blockedBy: newer.older, nextAt: time.Now().Add(time.Hour)}
		block := func() error { return o.ordering.block(context.Background(), []*result{r}) }
		end := func() error {
			_, err := o.worker.recorder.save(context.Background(), []*result{older.delivered(time.Now())})
			return err
		}
		if o.db.Dialect() == jobdb.Postgres {
			o.whileHeldBy(func(ctx context.Context, tx *jobdb.Tx) error {
				_, err := tx.Exec(ctx, `SELECT FROM {schema}outbox_delivery WHERE id = ? FOR UPDATE`, newer.id)
				return err
			}, block, end)
		} else {
			require.NoError(t, block())
			require.NoError(t, end())
		}
		require.True(t, r.counted)
		require.Zero(t, o.blockedCount())
		d := o.loaded(newer.id)
		require.Less(t, time.Until(d.nextAt), time.Minute)
		require.NotEqual(t, newer.job, d.job, "its old job comes in an hour")
	}, WithOrdering())
}

// whileHeldBy runs changes one after another while a transaction of the test
// holds rows. Each starts when the one before waits for a lock.
func (o *inside) whileHeldBy(hold func(ctx context.Context, tx *jobdb.Tx) error, changes ...func() error) {
	o.t.Helper()
	done, running := make(chan error, len(changes)), 0
	err := o.db.InTx(o.t.Context(), func(ctx context.Context, tx *jobdb.Tx) error {
		if err := hold(ctx, tx); err != nil {
			return err
		}
		for _, change := range changes {
			if change == nil {
				continue
			}
			running++
			go func() { done <- change() }()
			for waiting := int64(0); waiting < int64(running); {
				err := o.db.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0
					AND datname = current_database()`).Scan(&waiting)
				if err != nil {
					return err
				}
				if len(done) > 0 {
					return fmt.Errorf("it has not waited: %v", <-done)
				}
			}
		}
		return nil
	})
	require.NoError(o.t, err)
	for range running {
		require.NoError(o.t, <-done)
	}
}

// A delivery that is blocked again and again is due only after minutes. If no
// transaction makes it due, its own job does.
func TestOrdering_RechecksByItself(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		older, newer := o.pair()
		_, waits := o.worker.try(t.Context(), newer.id, newer.job).Waits()
		require.True(t, waits)
		require.EqualValues(t, 1, o.blockedCount())
		wait := time.Until(o.loaded(newer.id).nextAt)
		require.Greater(t, wait, time.Minute)
		require.Less(t, wait, 2*recheckAfter)
		// A process without the option ends the older one.
		o.exec(`UPDATE {schema}outbox_delivery SET state = 'delivered', done_at = 1 WHERE id = ?`, older.id)
		o.exec(`UPDATE {schema}outbox_delivery SET next_at = ? WHERE id = ?`, micros(time.Now()), newer.id)
		_, waits = o.worker.try(t.Context(), newer.id, newer.job).Waits()
		require.True(t, waits, "for the next attempt")
		require.Equal(t, 1, o.delivery(newer.id).Attempts)
	}, WithOrdering())
}

// A stuck deployment with many waiting deliveries costs the others nothing. The
// planner finds the older one in an index, without statistics.
func TestOrdering_Plan(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		_, newer := o.pair()
		for _, deployment := range []string{`d.deployment`, `d.deployment || s.n`} { // its own, and one each
			o.exec(`WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < `+strconv.Itoa(o.large(50_000))+`)
				INSERT INTO {schema}outbox_delivery (id, event, deployment, app, endpoint, type, event_at, terminal, encoding, content_type,
					state, job, created_at, next_at, size)
				SELECT d.id || '-' || `+deployment+` || '-' || s.n, d.event || '-' || `+deployment+` || '-' || s.n, `+deployment+`, d.app, d.endpoint, d.type, d.event_at,
					d.terminal, d.encoding, d.content_type, d.state, d.job, d.created_at, d.next_at, d.size
				FROM {schema}outbox_delivery d, s WHERE d.id = ?`, newer.id)
		}
		in, list := anyOf(o.db, []string{newer.id})
		require.Contains(t, o.plan(o.worker.loader.query+in, list), "outbox_delivery_order")
		from, args := o.ordering.sequences([]sequence{{newer.endpoint, newer.deployment}})
		require.Contains(t, o.plan(firstBlocked+from+`)`, args...), "outbox_delivery_order")
	}, WithOrdering())
}

func (o *inside) plan(query string, args ...any) string {
	o.t.Helper()
	explain := `EXPLAIN `
	if o.db.Dialect() == jobdb.SQLite {
		explain = `EXPLAIN QUERY PLAN `
	}
	lines, err := jobdb.Collect(o.t.Context(), o.db, func(r jobdb.Row) (line string, err error) {
		if o.db.Dialect() == jobdb.SQLite {
			var a, b, c int64
			return line, r.Scan(&a, &b, &c, &line)
		}
		return line, r.Scan(&line)
	}, explain+query, args...)
	require.NoError(o.t, err)
	return strings.Join(lines, "\n")
}
