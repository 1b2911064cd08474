package riverdb_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/riverdb"
)

func TestMigrateTogether(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *riverdb.DB) {
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
	onEach(t, func(t *testing.T, open func() *riverdb.DB) {
		db, ctx := open(), t.Context()
		require.NoError(t, db.Migrate(ctx, "test", steps[:1]))
		_, err := db.Exec(ctx, "INSERT INTO {schema}thing (name) VALUES ('kept')")
		require.NoError(t, err)
		broken := []riverdb.Step{steps[0], {steps[1][0], "CREATE NONSENSE"}}
		require.Error(t, db.Migrate(ctx, "test", broken))
		require.NoError(t, db.Migrate(ctx, "test", steps), "nothing is left of the step that failed")
		require.NoError(t, db.Migrate(ctx, "test", steps))
		assert.Equal(t, 1, count(t, db, "note IS NULL AND name = 'kept'"))

		require.ErrorIs(t, db.Migrate(ctx, "test", steps[:1]), riverdb.ErrConfig, "a later release's database")
		require.ErrorIs(t, db.Migrate(ctx, "other", steps), riverdb.ErrConfig, "another module's database")
	})
}
