package jobdb_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
)

func TestNewPostgresChecks(t *testing.T) {
	t.Parallel()
	_, err := jobdb.NewPostgres(nil, schema)
	require.ErrorIs(t, err, jobdb.ErrConfig)
	config, err := pgxpool.ParseConfig("postgres://user:topsecret@127.0.0.1:1/db?pool_max_conns=3")
	require.NoError(t, err)
	small, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(small.Close)
	_, err = jobdb.NewPostgres(small, schema)
	require.ErrorIs(t, err, jobdb.ErrConfig)

	config.MaxConns = 4
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	for _, name := range []string{"", "Upper", "1st", "with space", `quo"te`, "a23456789012345678901234567890123456789012345"} {
		_, err = jobdb.NewPostgres(pool, name)
		require.ErrorIs(t, err, jobdb.ErrConfig, name)
	}
	db, err := jobdb.NewPostgres(pool, schema)
	require.NoError(t, err)
	assert.Equal(t, schema, db.Schema())
	err = db.Migrate(t.Context(), "test", steps)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "topsecret")
	require.NoError(t, db.Close(), "the pool is the caller's")
}
