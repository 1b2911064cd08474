//go:build !386 && !arm && !mips && !mipsle

package riverdb_test

import (
	"log/slog"
	"testing"

	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/riverdb"
)

// River accepts its tables as complete, both after Migrate and after a person
// ran the SQL.
func TestMigrations_SatisfyRiver(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *riverdb.DB) {
		db, ctx := open(), t.Context()
		setup := riverdb.Setup{WithoutMigration: true}
		require.ErrorIs(t, db.Prepare(ctx, "test", steps, setup), riverdb.ErrConfig)
		all, err := riverdb.Tables{Name: "test", Schema: db.Schema(), Steps: steps}.Migrations(db.Dialect())
		require.NoError(t, err)
		for _, m := range all {
			require.ErrorIs(t, db.Prepare(ctx, "test", steps, setup), riverdb.ErrConfig)
			for _, statement := range m.Statements {
				run(t, db, statement)
			}
		}
		require.NoError(t, db.Prepare(ctx, "test", steps, setup))
		validate(t, db)
		require.NoError(t, db.Migrate(ctx, "test", steps))
		_, err = riverdb.Tables{Name: "test", Steps: steps}.Migrations(7)
		require.ErrorIs(t, err, riverdb.ErrConfig)
		_, err = riverdb.Tables{Name: "test", Schema: "no schema", Steps: steps}.Migrations(riverdb.Postgres)
		require.ErrorIs(t, err, riverdb.ErrConfig)
	})
	onEach(t, func(t *testing.T, open func() *riverdb.DB) { validate(t, migrated(t, open)) })
}

func validate(t *testing.T, db *riverdb.DB) {
	t.Helper()
	config := &rivermigrate.Config{Schema: db.Schema(), Logger: slog.New(slog.DiscardHandler)}
	var result *rivermigrate.ValidateResult
	if db.Dialect() == riverdb.SQLite {
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
