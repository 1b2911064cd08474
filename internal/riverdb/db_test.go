package riverdb_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/riverdb"
)

func TestWrap(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *riverdb.DB) {
		db := migrated(t, open)
		require.NoError(t, db.InTx(t.Context(), func(_ context.Context, tx *riverdb.Tx) error {
			_, err := open().Wrap(tx)
			require.ErrorIs(t, err, riverdb.ErrTx)
			again, err := db.Wrap(tx)
			require.NoError(t, err)
			assert.Same(t, tx, again)
			return nil
		}))
		_, err := db.Wrap(&sql.Tx{})
		require.NoError(t, err)
	})
}

func TestNewPostgresChecks(t *testing.T) {
	t.Parallel()
	_, err := riverdb.NewPostgres(nil, schema)
	require.ErrorIs(t, err, riverdb.ErrConfig)
	config, err := pgxpool.ParseConfig("postgres://user:topsecret@127.0.0.1:1/db?pool_max_conns=3")
	require.NoError(t, err)
	small, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(small.Close)
	_, err = riverdb.NewPostgres(small, schema)
	require.ErrorIs(t, err, riverdb.ErrConfig)

	config.MaxConns = 4
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	for _, name := range []string{"", "Upper", "1st", "with space", `quo"te`, "a23456789012345678901234567890123456789012345"} {
		_, err = riverdb.NewPostgres(pool, name)
		require.ErrorIs(t, err, riverdb.ErrConfig, name)
	}
	db, err := riverdb.NewPostgres(pool, schema)
	require.NoError(t, err)
	assert.Equal(t, schema, db.Schema())
	err = db.Migrate(t.Context(), "test", steps)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "topsecret")
	require.NoError(t, db.Close(), "the pool is the caller's")
}
