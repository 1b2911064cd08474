// The race detector makes SQLite about twenty times slower, and these tests
// have large tables. The gate also runs them without it.

//go:build !race

package outbox

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/sender/outbox/internal/admission"
)

// searches are the searches for jobs to wake up. One statement reads a step of
// them.
func searches() []operation {
	search := func(after func(g *grown) string) func(t *testing.T, g *grown) {
		return func(t *testing.T, g *grown) {
			for _, endpoint := range append(g.big, g.small) {
				f, err := g.waker.search(t.Context(), admission.Search{Endpoint: endpoint, After: after(g), Most: 256})
				require.NoError(t, err)
				require.Zero(t, f.Woken)
			}
		}
	}
	return []operation{
		{"search", 2*searchStep + 100, 3000, search(func(*grown) string { return "" })},
		{"search, later step", 2*searchStep + 100, 3000, search(func(g *grown) string { return g.id(g.n / 2) })},
	}
}

// Looking for changed endpoints reads none of the others.
func TestPlans_RouseReadsChangedEndpoints(t *testing.T) {
	t.Parallel()
	tracedEach(t, func(t *testing.T, o *inside, c *tracer) {
		e := o.endpoint("shop", 0)
		numbers := `generate_series(1, 20000) AS s(n)`
		if o.db.Dialect() == jobdb.SQLite {
			numbers = `(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 20000) SELECT n FROM s) AS s`
		}
		columns := o.columns("outbox_endpoint", "id")
		o.exec(`INSERT INTO {schema}outbox_endpoint (id, `+columns+`) SELECT 'ep_' || CAST(s.n AS text), `+columns+`
			FROM {schema}outbox_endpoint, `+numbers+` WHERE id = ?`, e)
		o.exec(`UPDATE {schema}outbox_endpoint SET wake = 1 WHERE id = ?`, e)
		for _, statement := range []string{`SELECT 1`, `ANALYZE`} {
			o.exec(statement)
			c.take()
			_, err := o.waker.rouse(t.Context(), "")
			require.NoError(t, err)
			for _, e := range c.take() {
				require.LessOrEqual(t, e.read, 600, "%s\n%s", e.text, e.plan)
			}
		}
	})
}
