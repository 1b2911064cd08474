package jobdb_test

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
)

// fill inserts many jobs, of which a tenth is due.
func fill(t *testing.T, db *jobdb.DB) {
	t.Helper()
	series := "generate_series(1, 100000) AS n"
	if db.Dialect() == jobdb.SQLite {
		series = "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100000) SELECT n FROM c) AS c"
	} else {
		run(t, db, "ALTER TABLE "+schema+"."+table+" SET (autovacuum_enabled = off)")
	}
	exec(t, db, "INSERT INTO {schema}thing_job (ref, run_at) SELECT 'ref' || n, {now} - 1000000 + (n % 10) * CAST(1000000000 AS bigint) FROM "+series)
}

// operations calls everything that a queue does, and returns the statements of
// each.
func operations(t *testing.T, db *jobdb.DB, r *recorder) map[string][]statement {
	t.Helper()
	q, ctx, all := newQueue(db), t.Context(), map[string][]statement{}
	r.take()
	w, claims, next := hold(t)
	c := config(w)
	c.AtOnce = 3
	require.NoError(t, q.Start(ctx, c))
	ids := []int64{receive(t, claims).Job, receive(t, claims).Job, receive(t, claims).Job}
	for _, s := range r.take() {
		if len(s.args) == 0 { // Start looks whether there is any job
			continue
		}
		most := slices.Clone(s.args)
		most[len(most)-1] = int64(500)
		all["claim"] = append(all["claim"], s, statement{s.text, most})
	}

	require.NoError(t, db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error { return q.FinishTx(ctx, tx, ids[:2]) }))
	all["FinishTx"] = r.take()
	_, err := q.Asleep(ctx, db, ids)
	require.NoError(t, err)
	all["Asleep"] = r.take()
	_, err = q.Wake(ctx, ids)
	require.NoError(t, err)
	all["Wake"] = r.take()
	rows, err := db.Query(ctx, jobdb.Running(table), jobdb.RunningArgs(500)...)
	require.NoError(t, err)
	require.NoError(t, rows.Close())
	all["Running"] = r.take()

	canceled, cancel := context.WithCancel(ctx)
	cancel()
	require.Error(t, q.Stop(canceled)) // so that it claims no more
	r.take()
	next <- jobdb.Done()
	next <- jobdb.After(time.Hour)
	next <- jobdb.After(time.Hour)
	stop(t, q)
	all["settle"] = r.take()
	require.GreaterOrEqual(t, len(all["settle"]), 2)
	for name, statements := range all {
		require.NotEmpty(t, statements, name)
	}
	return all
}

// literal returns a value as SQL of PostgreSQL.
func literal(v any) string {
	switch v := v.(type) {
	case []int64:
		return "'{" + strings.Trim(strings.ReplaceAll(fmt.Sprint(v), " ", ","), "[]") + "}'"
	case string:
		return "'" + strings.ReplaceAll(v, "'", "''") + "'"
	}
	return fmt.Sprint(v)
}

// postgresPlan returns the plan of a prepared statement.
func postgresPlan(t *testing.T, conn *pgx.Conn, s statement, mode string) (plan string) {
	t.Helper()
	do := func(text string) {
		_, err := conn.Exec(t.Context(), text)
		require.NoError(t, err, text)
	}
	do("SET plan_cache_mode = " + mode)
	do("PREPARE one AS " + s.text)
	defer do("DEALLOCATE one")
	text := "EXPLAIN (COSTS OFF) EXECUTE one"
	if len(s.args) > 0 {
		values := make([]string, len(s.args))
		for i, a := range s.args {
			values[i] = literal(a)
		}
		text += "(" + strings.Join(values, ", ") + ")"
	}
	rows, err := conn.Query(t.Context(), text, pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err, text)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err, text)
	return strings.Join(lines, "\n")
}

func litePlan(t *testing.T, db *jobdb.DB, s statement) string {
	t.Helper()
	rows, err := db.SQL().QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+s.text, s.args...)
	require.NoError(t, err)
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var id, parent, unused int
		var line sql.NullString
		require.NoError(t, rows.Scan(&id, &parent, &unused, &line))
		lines = append(lines, line.String)
	}
	require.NoError(t, rows.Err())
	return strings.Join(lines, "\n")
}

var (
	scansTable = regexp.MustCompile(`Seq Scan on thing_job|SCAN (thing_job|j)\b`)
	sortsTable = regexp.MustCompile(`Sort|Bitmap Index Scan on thing_job_due|TEMP B-TREE`)
)

func checkPlan(t *testing.T, operation string, s statement, plan string) {
	t.Helper()
	about := operation + "\n" + s.text + "\n" + plan
	assert.NotRegexp(t, scansTable, plan, about)
	switch operation {
	case "claim", "Running":
		// It reads jobs in their order until it has enough.
		assert.NotRegexp(t, sortsTable, plan, about)
		assert.Contains(t, plan, "thing_job_due", about)
	default:
		assert.NotContains(t, plan, "thing_job_due", about)
	}
}

// No statement reads all jobs, whatever PostgreSQL knows about the table.
func TestPlans(t *testing.T) {
	t.Parallel()
	onEachRecorded(t, func(t *testing.T, db *jobdb.DB, r *recorder) {
		fill(t, db)
		all := operations(t, db, r)
		if db.Dialect() == jobdb.SQLite {
			for _, analyzed := range []bool{false, true} {
				if analyzed {
					exec(t, db, "ANALYZE")
				}
				for operation, statements := range all {
					for _, s := range statements {
						checkPlan(t, operation, s, litePlan(t, db, s))
					}
				}
			}
			return
		}
		conn, err := db.Pool().Acquire(t.Context())
		require.NoError(t, err)
		defer conn.Release()
		check := func() {
			for operation, statements := range all {
				for _, s := range statements {
					checkPlan(t, operation, s, postgresPlan(t, conn.Conn(), s, "force_custom_plan"))
					checkPlan(t, operation, s, postgresPlan(t, conn.Conn(), s, "force_generic_plan"))
				}
			}
		}
		check()
		run(t, db, "ANALYZE "+schema+"."+table)
		check()
		run(t, db, "TRUNCATE "+schema+"."+table)
		run(t, db, "ANALYZE "+schema+"."+table)
		fill(t, db)
		check()
	})
}
