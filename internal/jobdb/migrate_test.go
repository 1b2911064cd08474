package jobdb_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
)

func TestMigrateTogether(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		var all sync.WaitGroup
		for range 4 {
			db := open()
			all.Go(func() { assert.NoError(t, db.Migrate(t.Context(), "test", steps)) })
		}
		all.Wait()
		db := open()
		var n int
		require.NoError(t, db.QueryRow(t.Context(), "SELECT count(*) FROM {schema}deployhook_migration").Scan(&n))
		assert.Equal(t, len(steps), n)
		require.NoError(t, db.QueryRow(t.Context(), "SELECT count(*) FROM {schema}thing_job").Scan(&n))
		assert.Zero(t, n)
	})
}

func TestMigrateInSteps(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db, ctx := open(), t.Context()
		require.NoError(t, db.Migrate(ctx, "test", steps[:1]))
		_, err := db.Exec(ctx, "INSERT INTO {schema}thing (name) VALUES ('kept')")
		require.NoError(t, err)
		broken := []jobdb.Step{steps[0], {steps[1][0], "CREATE NONSENSE"}}
		require.Error(t, db.Migrate(ctx, "test", broken))
		require.NoError(t, db.Migrate(ctx, "test", steps), "nothing is left of the step that failed")
		require.NoError(t, db.Migrate(ctx, "test", steps))
		assert.Equal(t, 1, count(t, db, "note IS NULL AND name = 'kept'"))

		require.ErrorIs(t, db.Migrate(ctx, "test", steps[:1]), jobdb.ErrConfig, "a later release's database")
		require.ErrorIs(t, db.Migrate(ctx, "other", steps), jobdb.ErrConfig, "another module's database")
	})
}

// run runs a script unchanged.
func run(t *testing.T, db *jobdb.DB, script string) {
	t.Helper()
	var err error
	if db.Dialect() == jobdb.SQLite {
		_, err = db.SQL().ExecContext(t.Context(), script)
	} else {
		_, err = db.Pool().Exec(t.Context(), script)
	}
	require.NoError(t, err, script)
}

// A person can run the SQL of Migrations instead of Migrate.
func TestMigrations_ByHand(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db, ctx := open(), t.Context()
		setup := jobdb.Setup{WithoutMigration: true}
		require.ErrorIs(t, db.Prepare(ctx, "test", steps, setup), jobdb.ErrConfig)
		all, err := jobdb.Tables{Name: "test", Schema: db.Schema(), Steps: steps}.Migrations(db.Dialect())
		require.NoError(t, err)
		for _, m := range all {
			require.ErrorIs(t, db.Prepare(ctx, "test", steps, setup), jobdb.ErrConfig)
			for _, statement := range m.Statements {
				run(t, db, statement)
			}
		}
		require.NoError(t, db.Prepare(ctx, "test", steps, setup))
		require.NoError(t, db.Migrate(ctx, "test", steps))
		insert(t, db, newQueue(db), jobdb.NewJob{Ref: "one"})
	})
}

func TestMigrations_CheckTheirArguments(t *testing.T) {
	t.Parallel()
	_, err := jobdb.Tables{Name: "test", Steps: steps}.Migrations(7)
	require.ErrorIs(t, err, jobdb.ErrConfig)
	_, err = jobdb.Tables{Name: "test", Schema: "no schema", Steps: steps}.Migrations(jobdb.Postgres)
	require.ErrorIs(t, err, jobdb.ErrConfig)
}

// A role that may only use the tables can open them, and run jobs.
func TestPrepare_WithoutRightToCreate(t *testing.T) {
	t.Parallel()
	r, ctx := sqldbtest.NewRestricted(t), t.Context()
	owner := onPool(t, sqldbtest.OpenPool(t, r.Owner))
	require.NoError(t, owner.Prepare(ctx, "test", steps, jobdb.Setup{}))

	service := onPool(t, sqldbtest.OpenPool(t, r.Service))
	require.ErrorIs(t, service.Prepare(ctx, "test", steps, jobdb.Setup{}), jobdb.ErrConfig)
	run(t, owner, "GRANT USAGE ON SCHEMA "+schema+" TO service")
	run(t, owner, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "+schema+" TO service")
	require.NoError(t, service.Prepare(ctx, "test", steps, jobdb.Setup{}))
	q := newQueue(service)
	start(t, q, func(context.Context, jobdb.Claim) jobdb.Next { return jobdb.Done() })
	insert(t, service, q, jobdb.NewJob{Ref: "one"})
	require.Eventually(t, func() bool { return len(jobs(t, service)) == 0 }, patience, tick)
}
