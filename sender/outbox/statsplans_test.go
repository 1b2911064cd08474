// The race detector makes SQLite about twenty times slower, and these tests
// have large tables. The gate also runs them without it.

//go:build !race

package outbox

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
)

// counting reads figures with a limit of most.
func counting(name string, most int64, of func(g *grown) scope) operation {
	return operation{name, int(most) + 600, 5 * int(most), func(t *testing.T, g *grown) {
		_, err := (&statsReader{g.db, most}).read(t.Context(), of(g))
		require.NoError(t, err)
	}}
}

// figures are the figures of each kind. SQLite uses some pages for each row,
// and the whole table has only thousands. Its planner does not look at limits,
// so the test uses a low one.
func figures(d jobdb.Dialect) []operation {
	most := int64(MaxCount)
	if d == jobdb.SQLite {
		most = 500
	}
	return []operation{
		counting("figures of all", most, func(*grown) scope { return scope{} }),
		counting("figures of an app", most, func(*grown) scope { return scope{app: "big"} }),
		counting("figures of a small app", most, func(*grown) scope { return scope{app: "small"} }),
		counting("figures of an unknown app", most, func(*grown) scope { return scope{app: "none"} }),
		counting("figures of an endpoint", most, func(g *grown) scope { return scope{app: "big", endpoint: g.big[3]} }),
		counting("figures of a healthy endpoint", most, func(g *grown) scope { return scope{app: "big", endpoint: g.big[0]} }),
	}
}

// TestStatsPlans_Bounded checks what the statements of Stats really read, as
// TestPlans_Bounded does for lists.
func TestStatsPlans_Bounded(t *testing.T) {
	t.Parallel()
	tracedEach(t, func(t *testing.T, o *inside, c *tracer) {
		g := grow(o, o.large(100_000))
		g.exec(`UPDATE {schema}outbox_job SET run_at = id, claimed_until = {now} + 3600000000 WHERE id <= 3000`)
		require.Empty(t, g.tooLarge(t, c, figures(g.db.Dialect())), "without statistics")
		g.exec(`ANALYZE`)
		require.Empty(t, g.tooLarge(t, c, figures(g.db.Dialect())), "with statistics")
	})
}

// TestStatsPlans_Indexes checks by which indexes the statements walk, and that
// no statement sorts what it has read.
func TestStatsPlans_Indexes(t *testing.T) {
	t.Parallel()
	tracedEach(t, func(t *testing.T, o *inside, c *tracer) {
		g := grow(o, o.large(100_000))
		only := func(index string) string {
			if o.db.Dialect() == jobdb.SQLite {
				return "COVERING INDEX " + index
			}
			return "Index Only Scan outbox_delivery " + index
		}
		for _, test := range []struct {
			of      scope
			indexes []string
		}{
			{scope{}, []string{"outbox_delivery_pending", only("outbox_delivery_failed"), only("outbox_delivery_app")}},
			{scope{app: "big"}, []string{"outbox_delivery_app", only("outbox_delivery_app_failed")}},
			{scope{app: "big", endpoint: g.big[3]}, []string{"outbox_delivery_endpoint"}},
		} {
			c.take()
			_, err := (&statsReader{g.db, MaxCount}).read(t.Context(), test.of)
			require.NoError(t, err)
			all := c.take()
			for _, index := range test.indexes {
				require.Contains(t, plansOf(all), index)
			}
			for _, wrong := range []string{"Seq Scan", "Bitmap", "Sort", "SCAN d\n", "SCAN e\n", "FOR ORDER BY"} {
				require.NotContains(t, plansOf(all), wrong)
			}
		}
	})
}

func plansOf(all []executed) (text string) {
	for _, e := range all {
		text += e.text + "\n" + e.plan + "\n"
	}
	return text
}
