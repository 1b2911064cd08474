package sqldedupe_test

import (
	"database/sql"
	"testing"

	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
)

func TestErrorsHaveNoPassword(t *testing.T) {
	t.Parallel()
	for _, open := range []func(db *sql.DB) error{
		func(db *sql.DB) error {
			_, err := sqldedupe.NewPostgres(t.Context(), db)
			return err
		},
		func(db *sql.DB) error { return sqldedupe.Migrate(t.Context(), db, sqldedupe.Postgres) },
	} {
		sqldbtest.HidesPasswords(t, sqldedupe.ErrConfig, open)
	}
}
