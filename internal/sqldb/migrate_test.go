package sqldb_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb"
)

func TestMigrate_Together(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b backend) {
		var all sync.WaitGroup
		for range 4 {
			db := b.open()
			all.Go(func() { assert.NoError(t, db.Migrate(t.Context(), b.plan)) })
		}
		all.Wait()
		var n int
		require.NoError(t, b.open().QueryRow(t.Context(), "SELECT count(*) FROM {schema}deployhook_migration").Scan(&n))
		assert.Equal(t, len(steps), n)
	})
}

func TestMigrate_InSteps(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b backend) {
		db, ctx := b.open(), t.Context()
		with := func(name string, steps []sqldb.Step) sqldb.Plan {
			plan := planOf(name, steps)
			plan.Schema = b.plan.Schema
			return plan
		}
		require.ErrorIs(t, db.CheckVersions(ctx, b.plan), sqldb.ErrConfig)
		require.NoError(t, db.Migrate(ctx, with("test", steps[:1])))
		require.ErrorIs(t, db.CheckVersions(ctx, b.plan), sqldb.ErrConfig, "an older version")
		_, err := db.Exec(ctx, "INSERT INTO {schema}thing (name) VALUES ('kept')")
		require.NoError(t, err)
		broken := []sqldb.Step{steps[0], {steps[1][0], "CREATE NONSENSE"}}
		require.Error(t, db.Migrate(ctx, with("test", broken)))
		require.NoError(t, db.Migrate(ctx, b.plan), "nothing is left of the step that failed")
		require.NoError(t, db.Migrate(ctx, b.plan))
		require.NoError(t, db.CheckVersions(ctx, b.plan))
		assert.Equal(t, 1, count(t, db, "note IS NULL AND name = 'kept'"))

		for _, wrong := range []sqldb.Plan{with("test", steps[:1]), with("other", steps)} {
			require.ErrorIs(t, db.Migrate(ctx, wrong), sqldb.ErrConfig)
			require.ErrorIs(t, db.CheckVersions(ctx, wrong), sqldb.ErrConfig)
		}
		wrong := sqldb.Plan{Modules: []sqldb.Module{sqldb.NewModule("test", "{schema}thing", steps)}}
		require.Error(t, db.Migrate(ctx, wrong), "the table has other columns")
	})
}

// The SQL that a person runs has the same result as Migrate.
func TestMigrations_AreWhatMigrateRuns(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b backend) {
		db, ctx := b.open(), t.Context()
		all := db.Migrations(b.plan)
		require.Len(t, all, len(steps))
		for i, m := range all {
			require.Equal(t, i+1, m.Version)
			require.Equal(t, "test", m.Module)
			require.ErrorIs(t, db.CheckVersions(ctx, b.plan), sqldb.ErrConfig)
			for _, statement := range m.Statements {
				require.False(t, strings.ContainsAny(statement, "{}?"), statement)
				_, err := db.Exec(ctx, statement)
				require.NoError(t, err, statement)
			}
		}
		require.NoError(t, db.CheckVersions(ctx, b.plan))
		require.NoError(t, db.Migrate(ctx, b.plan))
		assert.Zero(t, count(t, db, "true"))
	})
}

// Migrate waits for the lock of another process's migration, and then sees its
// result.
func TestMigrate_WaitsForAnotherProcess(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b backend) {
		first, second, ctx := b.open(), b.open(), t.Context()
		if first.Dialect() == sqldb.SQLite {
			return // a file has one transaction at a time anyway
		}
		held, done := make(chan struct{}), make(chan error, 1)
		slow := planOf("test", steps)
		slow.Schema = b.plan.Schema
		record := slow.Modules[0].Record
		var once sync.Once
		slow.Modules[0].Record = func(version int) string {
			once.Do(func() { close(held) })
			return record(version)
		}
		go func() { done <- first.Migrate(ctx, slow) }()
		<-held
		require.NoError(t, second.Migrate(ctx, b.plan))
		require.NoError(t, <-done)
		require.NoError(t, first.CheckVersions(ctx, b.plan))
	})
}
