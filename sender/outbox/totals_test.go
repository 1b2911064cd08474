package outbox

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
)

// sums returns what the totals say, and what the rows say.
func (o *inside) sums() (kept, real int64) {
	o.t.Helper()
	t, err := o.retention.count(context.Background())
	require.NoError(o.t, err)
	for _, one := range t.byKind {
		kept += one.bytes
	}
	for _, query := range []string{
		`SELECT CAST(COALESCE(SUM(size), 0) AS bigint) FROM {schema}outbox_delivery WHERE done_at > 0`,
		`SELECT CAST(COALESCE(SUM(size), 0) AS bigint) FROM {schema}outbox_event`,
	} {
		var n int64
		require.NoError(o.t, o.db.QueryRow(context.Background(), query).Scan(&n))
		real += n
	}
	return kept, real
}

// The totals follow what ends and what is pruned. What is replayed counts twice
// until all is counted again.
func TestTotals_FollowTheRows(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		check := func(what string) {
			t.Helper()
			kept, real := o.sums()
			require.Equal(t, real, kept, what)
		}
		check("empty")
		g := grow(o, 5000)
		check("many")
		o.write(o.loaded(g.id(7)).delivered(time.Now()), o.loaded(g.id(15)).failed(time.Now(), time.Time{}))
		check("two more")
		r := *o.retention
		r.age, r.deadAge, r.eventAge = time.Since(g.at(1000)), time.Since(g.at(2000)), time.Since(g.at(4000))
		n, err := r.prune(t.Context(), &walks{})
		require.NoError(t, err)
		require.Greater(t, n, 800)
		check("pruned by age")
		_, real := o.sums()
		r.maxBytes = real - 600_000
		n, err = r.prune(t.Context(), &walks{})
		require.NoError(t, err)
		require.InDelta(t, 500, n, 200)
		check("pruned by size")
		kept, _ := o.sums()
		require.LessOrEqual(t, kept, r.maxBytes)

		failed := g.id(3900)
		require.NoError(t, o.App("big").Replay(t.Context(), failed))
		o.write(o.loaded(failed).failed(time.Now(), time.Time{}))
		kept, real = o.sums()
		require.Greater(t, kept, real)
		o.exec(`UPDATE {schema}outbox_total SET begun = 1`)
		check("counted again")
	})
}

// Maintenance passes by a bounded number of old events that have deliveries,
// and continues there the next time.
func TestMaintain_ContinuesBehindWhatItKeeps(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		const kept = maxPassed * pruneBatch
		g := grow(o, kept+3000)
		o.retention.eventAge = time.Minute
		o.exec(`DELETE FROM {schema}outbox_delivery WHERE id = ?`, g.id(kept+1000))
		o.exec(`DELETE FROM {schema}outbox_delivery WHERE id = ?`, g.id(3))
		if o.db.Dialect() == jobdb.Postgres {
			o.exec(`UPDATE {schema}outbox_event SET position = 1 WHERE position = 0`)
		}
		events := func() (n int64) {
			require.NoError(t, o.db.QueryRow(t.Context(), `SELECT count(*) FROM {schema}outbox_event`).Scan(&n))
			return n
		}
		all := events()
		o.retention.maintain(t.Context())
		require.Equal(t, all-1, events())
		o.retention.maintain(t.Context())
		require.Equal(t, all-2, events())
		o.exec(`DELETE FROM {schema}outbox_delivery WHERE id = ?`, g.id(5))
		o.retention.maintain(t.Context())
		require.Equal(t, all-3, events(), "and begins again after the last")
	})
}
