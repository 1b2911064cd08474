package sqldedupe_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
)

// A role with the documented rights can run everything on tables that another
// role created, and the server logs no error meanwhile.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	r, ctx := sqldbtest.NewRestricted(t), t.Context()
	owner, service := postgresDB(t, r.Owner), postgresDB(t, r.Service)
	try := func(opts ...sqldedupe.Option) error {
		_, err := sqldedupe.NewPostgres(ctx, service, opts...)
		return err
	}
	r.Prepare(sqldedupe.ErrConfig, func() { require.NoError(t, sqldedupe.Migrate(ctx, owner, sqldedupe.Postgres)) },
		func() error { return try() }, func() error { return try(sqldedupe.WithoutMigration()) })

	for _, opts := range [][]sqldedupe.Option{nil, {sqldedupe.WithoutMigration(), sqldedupe.WithCapacity(100)}} {
		s, err := sqldedupe.NewPostgres(ctx, service, opts...)
		require.NoError(t, err)
		c := claim(t, s, key("completed"), time.Minute, dedupe.Claimed)
		require.NoError(t, s.Renew(ctx, c, time.Minute))
		require.NoError(t, s.Complete(ctx, c))
		claim(t, s, key("completed"), time.Minute, dedupe.Completed)
		c = claim(t, s, key("released"), time.Minute, dedupe.Claimed)
		require.NoError(t, s.Release(ctx, c))
		c = claim(t, s, key("in a transaction"), time.Minute, dedupe.Claimed)
		require.NoError(t, s.InTx(ctx, c, func(ctx context.Context, tx *sql.Tx) error { return nil }))
		_, err = service.ExecContext(ctx, "UPDATE deployhook_dedupe SET expires = 'epoch', sweep = 'epoch'")
		require.NoError(t, err)
		n, err := s.Prune(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 3, n)
		require.NoError(t, s.Close())
	}
	r.RequireNoErrors()
}
