package sqlledger_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/receiver/deployments/sqlledger"
)

// The reads of the metrics use their indexes in tables of 100,000 rows.
func TestHistory_QueryPlans(t *testing.T) {
	t.Parallel()
	const rows = 100_000
	runs, incidents, scopes := sqlledger.HistoryStatements()
	for _, dialect := range []sqlledger.Dialect{sqlledger.SQLite, sqlledger.Postgres} {
		t.Run(fmt.Sprint(dialect), func(t *testing.T) {
			t.Parallel()
			db, explain, series := planDatabase(t, dialect)
			for _, statement := range []string{
				`INSERT INTO deployhook_ledger_runs (organization, deployment_id, scope, run_at, run) SELECT o, d, s, at, d FROM (` + series + `) AS x`,
				`INSERT INTO deployhook_ledger_incidents (organization, incident_id, opened_at, document, reports, recorded_at, updated_at)
					SELECT o, d, at, d, d, 0, 0 FROM (` + series + `) AS x`,
				`INSERT INTO deployhook_ledger_scopes (organization, scope, service, environment) SELECT DISTINCT o, s, s, s FROM (` + series + `) AS x`,
				`ANALYZE`,
			} {
				_, err := db.ExecContext(t.Context(), statement)
				require.NoError(t, err, statement)
			}
			var n int
			require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM deployhook_ledger_runs").Scan(&n))
			require.Equal(t, rows, n)
			org, scope, now := []byte("o5"), []byte("s5"), time.Now().UnixMicro()
			for index, query := range map[string]struct {
				statement string
				args      []any
			}{
				"runs_place":       {runs, []any{org, scope, 0, []byte{}, now, 2000}},
				"incidents_opened": {incidents, []any{org, 0, []byte{}, 2000}},
				"runs_place ":      {scopes, []any{org}},
			} {
				plan := explainPlan(t, db, explain+sqlledger.Text(dialect, query.statement), query.args)
				require.Contains(t, plan, "deployhook_ledger_"+strings.TrimSpace(index))
				require.NotContains(t, plan, "Seq Scan on deployhook_ledger_runs")
				require.NotContains(t, plan, "SCAN r")
				require.NotContains(t, plan, "TEMP B-TREE")
				require.NotContains(t, plan, "Sort", "the index has the order")
			}
		})
	}
}

// The timeline of a service and environment uses its indexes in a table of
// 100,000 records.
func TestTimeline_QueryPlans(t *testing.T) {
	t.Parallel()
	live, list := sqlledger.TimelineStatements()
	for _, dialect := range []sqlledger.Dialect{sqlledger.SQLite, sqlledger.Postgres} {
		t.Run(fmt.Sprint(dialect), func(t *testing.T) {
			t.Parallel()
			db, explain, series := planDatabase(t, dialect)
			for _, statement := range []string{
				`INSERT INTO deployhook_ledger_deployments (organization, id, deployment_id, service, environment, scope, status, started_at,
					position_at, succeeded_at, document, reports, previous_given, previous_commits, linked, linked_prs, recorded_at, updated_at)
				SELECT o, at, d, s, s, s, 'success', at, at, at, d, d, true, d, true, 0, at, at FROM (` + series + `) AS x`,
				`ANALYZE`,
			} {
				_, err := db.ExecContext(t.Context(), statement)
				require.NoError(t, err, statement)
			}
			for index, query := range map[string]struct {
				statement string
				args      []any
			}{
				"deployments_live":  {live, []any{[]byte("o5"), []byte("s5"), 50_000, 50_000}},
				"deployments_place": {list, []any{[]byte("o5"), []byte("s5"), 50_000, []byte{}, 51}},
			} {
				plan := explainPlan(t, db, explain+sqlledger.Text(dialect, query.statement), query.args)
				require.Regexp(t, "deployhook_ledger_deployments_(live|place)", plan, index)
				require.NotContains(t, plan, "Seq Scan")
				require.NotContains(t, plan, "TEMP B-TREE")
				require.NotContains(t, plan, "Sort", "the index has the order")
			}
		})
	}
}

// planDatabase returns a migrated database, the words that explain a statement,
// and a query for the rows.
func planDatabase(t *testing.T, dialect sqlledger.Dialect) (db *sql.DB, explain, series string) {
	t.Helper()
	if dialect == sqlledger.Postgres {
		db = newSchema(t)
		newPostgres(t, db)
		return db, "EXPLAIN ", `SELECT convert_to('o' || (n % 10), 'UTF8') AS o, convert_to('d' || n, 'UTF8') AS d,
			convert_to('s5', 'UTF8') AS s, n AS at FROM generate_series(1, 100000) AS n`
	}
	path := newPath(t)
	openSQLite(t, path)
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(5000)")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db, "EXPLAIN QUERY PLAN ", `WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100000)
		SELECT CAST('o' || (n % 10) AS BLOB) AS o, CAST('d' || n AS BLOB) AS d, CAST('s5' AS BLOB) AS s, n AS at FROM c`
}

func explainPlan(t *testing.T, db *sql.DB, statement string, args []any) string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), statement, args...)
	require.NoError(t, err, statement)
	defer rows.Close()
	columns, err := rows.Columns()
	require.NoError(t, err)
	var plan strings.Builder
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(sql.NullString)
		}
		require.NoError(t, rows.Scan(values...))
		plan.WriteString(values[len(values)-1].(*sql.NullString).String + "\n")
	}
	require.NoError(t, rows.Err())
	return plan.String()
}
