//go:build !386 && !arm && !mips && !mipsle

package jobdb_test

import (
	"log/slog"
	"testing"

	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
)

// River accepts its tables as complete, both after Migrate and after a person
// ran the SQL.
func TestMigrations_SatisfyRiver(t *testing.T) {
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
		validate(t, db)
		require.NoError(t, db.Migrate(ctx, "test", steps))
		_, err = jobdb.Tables{Name: "test", Steps: steps}.Migrations(7)
		require.ErrorIs(t, err, jobdb.ErrConfig)
		_, err = jobdb.Tables{Name: "test", Schema: "no schema", Steps: steps}.Migrations(jobdb.Postgres)
		require.ErrorIs(t, err, jobdb.ErrConfig)
	})
	onEach(t, func(t *testing.T, open func() *jobdb.DB) { validate(t, migrated(t, open)) })
}

func validate(t *testing.T, db *jobdb.DB) {
	t.Helper()
	config := &rivermigrate.Config{Schema: db.Schema(), Logger: slog.New(slog.DiscardHandler)}
	var result *rivermigrate.ValidateResult
	if db.Dialect() == jobdb.SQLite {
		m, err := rivermigrate.New(riversqlite.New(db.SQL()), config)
		require.NoError(t, err)
		result, err = m.Validate(t.Context(), nil)
		require.NoError(t, err)
	} else {
		m, err := rivermigrate.New(riverpgxv5.New(db.Pool()), config)
		require.NoError(t, err)
		result, err = m.Validate(t.Context(), nil)
		require.NoError(t, err)
	}
	require.True(t, result.OK, result.Messages)
}
