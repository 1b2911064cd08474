//go:build !race

package outbox

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
)

// growOperator adds replays and endpoints, which the operator's lists show. One
// endpoint in 100 is failing and one in 200 has an open breaker.
func (g *grown) growOperator(n int) {
	numbers := fmt.Sprintf(`(SELECT i FROM generate_series(1, %d) AS i) AS numbers`, n)
	pad := `lpad(CAST(i AS text), 32, '0')`
	if g.db.Dialect() == jobdb.SQLite {
		numbers = fmt.Sprintf(`(WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < %d) SELECT i FROM s) AS numbers`, n)
		pad = `printf('%032d', i)`
	} else {
		g.exec(`ALTER TABLE {schema}outbox_replay SET (autovacuum_enabled = off)`)
		g.exec(`ALTER TABLE {schema}outbox_endpoint SET (autovacuum_enabled = off)`)
	}
	g.exec(`INSERT INTO {schema}outbox_replay (id, app, created_at, filter, spacing, cursor, done)
		SELECT 'rpl_' || ` + pad + `, 'app ' || i, i, '{}', 100000, '', 1 FROM ` + numbers + ` WHERE i > 1`)
	e, _, err := g.endpoints.read(g.t.Context(), g.db, g.small)
	require.NoError(g.t, err)
	g.exec(`INSERT INTO {schema}outbox_endpoint (id, app, version, state, reason, created_at, updated_at, failing_since, first_error,
			breaker_open_until, host, description, format, scheme, signature_header, events, header_names, certificate_subject,
			certificate_not_after, timeout, schedule, concurrency, spacing, metadata, url, header, keys, certificate, creation_key, creation)
		SELECT 'ep_' || `+pad+`, 'app ' || i, 1, CASE WHEN i % 100 = 1 THEN 'failing' ELSE 'active' END, '', i, i, CASE WHEN i % 100 = 1 THEN i ELSE 0 END, 'x',
			CASE WHEN i % 200 = 1 THEN i ELSE 0 END, host, description, format, scheme, signature_header, events, header_names, certificate_subject,
			certificate_not_after, timeout, schedule, concurrency, spacing, metadata, url, header, keys, certificate, '', creation
		FROM {schema}outbox_endpoint o, `+numbers+` WHERE o.id = ?`, e.ID)
}

// TestPlans_Operator checks what the operator's lists read, before and after
// the database has collected statistics.
func TestPlans_Operator(t *testing.T) {
	t.Parallel()
	tracedEach(t, func(t *testing.T, o *inside, c *tracer) {
		g := grow(o, 1000)
		g.growOperator(20_000)
		endpoints := func(f EndpointFilter, p Page) func(t *testing.T, g *grown) {
			return func(t *testing.T, g *grown) {
				page, err := g.Endpoints(t.Context(), f, p)
				require.NoError(t, err)
				require.Len(t, page.Items, 50)
			}
		}
		replays := func(p Page) func(t *testing.T, g *grown) {
			return func(t *testing.T, g *grown) {
				page, err := g.Outbox.Replays(t.Context(), p)
				require.NoError(t, err)
				require.Len(t, page.Items, 50)
			}
		}
		all := []operation{
			{name: "replays of all", run: replays(Page{})},
			{name: "replays of all, later page", run: replays(Page{Cursor: cursor(fmt.Sprintf("rpl_%032d", 10_000))})},
			{name: "endpoints", run: endpoints(EndpointFilter{}, Page{})},
			{name: "failing endpoints", run: endpoints(EndpointFilter{State: EndpointFailing}, Page{})},
			{name: "failing endpoints, later page", run: endpoints(EndpointFilter{State: EndpointFailing}, Page{Cursor: cursor(fmt.Sprintf("ep_%032d", 10_000))})},
			{name: "held endpoints", run: endpoints(EndpointFilter{Held: true}, Page{})},
			{name: "look for open replays", run: func(t *testing.T, g *grown) { // every process does every second
				more, err := g.replayer.turn(t.Context())
				require.NoError(t, err)
				require.False(t, more)
			}},
		}
		require.Empty(t, g.tooLarge(t, c, all), "without statistics")
		g.exec(`VACUUM`)
		g.exec(`ANALYZE`)
		require.Empty(t, g.tooLarge(t, c, all), "with statistics")
	})
}
