package outbox

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
)

// grown is an outbox with many rows, made behind its back.
type grown struct {
	*inside
	n     int
	begin int64    // milliseconds since 1970 at the first delivery
	step  int64    // milliseconds between two
	big   []string // the endpoints of the app "big", of which the last one is down
	small string   // the endpoint of the app "small"
}

// grow adds n deliveries, each of its own event, with one attempt. One tenth
// belongs to the app "small". One tenth of all has the same deployment, and one
// fifth was replayed by the same replay. Half of the deliveries to an endpoint
// that is down wait. The oldest is 20 days old.
func grow(o *inside, n int) *grown {
	o.t.Helper()
	const age = 20 * 24 * time.Hour
	tables := []string{"outbox_delivery", "outbox_event", "outbox_body", "outbox_attempt", "outbox_job"}
	g := &grown{
		inside: o, n: n, begin: time.Now().Add(-age).UnixMilli(), step: age.Milliseconds() / int64(n+1),
	}
	for range 4 {
		g.big = append(g.big, o.endpoint("big", 0))
	}
	g.small = o.endpoint("small", 0)
	for _, table := range tables {
		if o.db.Dialect() == jobdb.Postgres { // no statistics before the test wants them
			o.exec(`ALTER TABLE {schema}` + table + ` SET (autovacuum_enabled = off)`)
		}
	}
	for _, statement := range g.statements() {
		o.exec(statement)
	}
	if o.db.Dialect() == jobdb.Postgres {
		o.exec(fmt.Sprintf(`ALTER SEQUENCE {schema}outbox_job_id_seq RESTART WITH %d`, n+1))
	}
	return g
}

const (
	grownReplay = "rpl_00000000000000000000000000000001"
	grownApp    = `CASE WHEN i % 10 = 9 THEN 'small' ELSE 'big' END`
	grownState  = `CASE WHEN i % 8 = 7 THEN 'pending' WHEN i % 100 < 2 THEN 'failed' WHEN i % 100 = 2 THEN 'canceled'
		WHEN i % 100 = 4 THEN 'superseded' ELSE 'delivered' END`
)

// statements fills the tables.
func (g *grown) statements() []string {
	numbers := fmt.Sprintf(`(SELECT i FROM generate_series(0, %d) AS i)`, g.n-1)
	at := fmt.Sprintf(`(CAST(%d AS bigint) + i * %d)`, g.begin, g.step)
	id := `('whk_' || lpad(to_hex(` + at + `), 12, '0') || lpad(CAST(i AS text), 20, '0'))`
	body, own := `'{"x":1}'::bytea`, ` OVERRIDING SYSTEM VALUE`
	if g.db.Dialect() == jobdb.SQLite {
		numbers = fmt.Sprintf(`(WITH RECURSIVE s (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM s WHERE i < %d) SELECT i FROM s)`, g.n-1)
		id = `printf('whk_%012x%020d', ` + at + `, i)`
		body, own = `CAST(printf('%0200d', 0) AS blob)`, ``
	}
	from, app := ` FROM `+numbers+` AS numbers`, grownApp
	pending := `(` + grownState + `) = 'pending'`
	endpoint := fmt.Sprintf(`CASE WHEN i %% 10 = 9 THEN '%s' WHEN i %% 4 = 0 THEN '%s' WHEN i %% 4 = 1 THEN '%s' WHEN i %% 4 = 2 THEN '%s' ELSE '%s' END`,
		g.small, g.big[0], g.big[1], g.big[2], g.big[3])
	return []string{
		`INSERT INTO {schema}outbox_event (position, app, id, type, deployment, hash, size, created_at)
			SELECT i + 1, ` + app + `, 'evt_' || i, 'deploy.live', 'dep_' || (i / 8), ` + body + `, 600, ` + at + ` * 1000` + from,
		`INSERT INTO {schema}outbox_body (app, event, delivery, created_at, body)
			SELECT ` + app + `, 'evt_' || i, '', ` + at + ` * 1000, ` + body + from,
		`INSERT INTO {schema}outbox_delivery (id, app, endpoint, event, type, deployment, event_at, terminal, encoding, content_type, state, job,
			attempts, created_at, next_at, done_at, replays, replay, size) SELECT ` + id + `, ` + app + `, ` + endpoint + `, 'evt_' || i,
			CASE WHEN i % 2 = 0 THEN 'deploy.live' ELSE 'deploy.started' END, CASE WHEN i % 10 = 3 THEN 'hot' ELSE 'dep_' || (i / 8) END,
			` + at + ` * 1000, (i + 1) % 2, 1, '', ` + grownState + `, i + 1, 1, ` + at + ` * 1000, CASE WHEN ` + pending + ` THEN ` + at + ` * 2000 ELSE 0 END,
			CASE WHEN ` + pending + ` THEN 0 ELSE ` + at + ` * 1000 + 1000 END, 0, CASE WHEN i % 5 = 1 AND i % 10 <> 9 THEN '` + grownReplay + `' ELSE '' END, 600` + from,
		`INSERT INTO {schema}outbox_attempt (delivery, number, started_at, outcome, class, status, error, dns, connect, tls, first_byte, total,
			retry_after, addr, reused, truncated, request_header, response_header, body)
			SELECT ` + id + `, 1, ` + at + ` * 1000, 'failed', 'status', 503, '', 1, 1, 1, 1, 1, 0, '', 1, 0, '{}', '{}', ` + body + from,
		`INSERT INTO {schema}outbox_job (id, ref, run_at)` + own + ` SELECT i + 1, ` + id + `, {now} + 3600000000` + from + ` WHERE ` + pending,
		`INSERT INTO {schema}outbox_replay (id, app, created_at, filter, spacing, cursor, scheduled, done)
			VALUES ('` + grownReplay + `', 'big', ` + fmt.Sprint(g.begin*1000) + `, '{}', 100000, '', ` + fmt.Sprint(g.n/5) + `, 1)`,
	}
}

// id is the ID of a delivery.
func (g *grown) id(i int) string {
	return fmt.Sprintf("%s%012x%020d", idPrefix, g.begin+int64(i)*g.step, i)
}

// at is when a delivery was published.
func (g *grown) at(i int) time.Time { return time.UnixMilli(g.begin + int64(i)*g.step) }

func TestGrow(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		g := grow(o, 1000)
		d := g.delivery(g.id(17))
		require.Equal(t, "big", d.App)
		require.Equal(t, g.at(17).UTC(), d.CreatedAt)
	})
}
