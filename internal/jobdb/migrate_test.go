package jobdb_test

import (
	"sync"
	"testing"
	"time"

	"github.com/riverqueue/river"
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
		require.NoError(t, db.QueryRow(t.Context(), "SELECT count(*) FROM {schema}river_job").Scan(&n))
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

// Only the owner may rebuild River's indexes, so clients of other roles do not
// try.
func TestPrepare_ReindexerRunsForTheOwnerAlone(t *testing.T) {
	t.Parallel()
	r, ctx := sqldbtest.NewRestricted(t), t.Context()
	owner := onPool(t, sqldbtest.OpenPool(t, r.Owner))
	require.NoError(t, owner.Prepare(ctx, "test", steps, jobdb.Setup{}))
	assert.Nil(t, owner.Complete(&river.Config{}).ReindexerSchedule, "River's default")

	service := onPool(t, sqldbtest.OpenPool(t, r.Service))
	require.ErrorIs(t, service.Prepare(ctx, "test", steps, jobdb.Setup{}), jobdb.ErrConfig)
	run(t, owner, "GRANT USAGE ON SCHEMA "+schema+" TO service")
	run(t, owner, "GRANT SELECT ON ALL TABLES IN SCHEMA "+schema+" TO service")
	require.NoError(t, service.Prepare(ctx, "test", steps, jobdb.Setup{}))
	schedule := service.Complete(&river.Config{}).ReindexerSchedule
	require.NotNil(t, schedule)
	now := time.Now()
	assert.Greater(t, schedule.Next(now).Sub(now), 100*365*24*time.Hour)
	r.Refused("REINDEX INDEX " + schema + ".river_job_prioritized_fetching_index")
}
