package sqldb_test

import (
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
)

func TestCheckPooler(t *testing.T) {
	t.Parallel()
	pooled, direct := sqldbtest.NewPooler(t)
	for name, test := range map[string]struct {
		url          string
		mode         string
		prepared     bool
		isPooled, ok bool
	}{
		"direct":                   {direct, "", false, false, true},
		"pgx's default":            {pooled, "", false, true, false},
		"the default, vouched for": {pooled, "", true, true, true},
		"cache_statement":          {pooled, "cache_statement", false, true, false},
		"describe_exec":            {pooled, "describe_exec", false, true, false},
		"cache_describe":           {pooled, "cache_describe", false, true, true},
		"exec":                     {pooled, "exec", false, true, true},
		"simple_protocol":          {pooled, "simple_protocol", false, true, true},
	} {
		if test.mode != "" {
			test.url += "&default_query_exec_mode=" + test.mode
		}
		own, err := sql.Open("pgx", test.url)
		require.NoError(t, err)
		for _, db := range []*sqldb.DB{sqldb.NewPool(sqldbtest.OpenPool(t, test.url), ""), sqldb.New(own, sqldb.Postgres, "")} {
			isPooled, err := db.CheckPooler(t.Context(), test.prepared)
			require.Equal(t, test.isPooled, isPooled, name)
			if test.ok {
				require.NoError(t, err, name)
				continue
			}
			require.ErrorIs(t, err, sqldb.ErrConfig, name)
			for _, want := range []string{"PgBouncer", "default_query_exec_mode=exec", "WithPreparedStatements", "1.21"} {
				require.ErrorContains(t, err, want)
			}
		}
		require.NoError(t, own.Close())
	}
	isPooled, err := openSQLite(t, t.TempDir()+"/a.db").CheckPooler(t.Context(), false)
	require.NoError(t, err)
	require.False(t, isPooled)
}

// Migrating needs no session.
func TestMigrate_ThroughAPooler(t *testing.T) {
	t.Parallel()
	pooled, _ := sqldbtest.NewPooler(t)
	pool := sqldbtest.OpenPool(t, sqldbtest.ExecMode(t, pooled))
	plan := planOf("test", steps)
	plan.Schema = schema
	done := make(chan error, 8)
	for range cap(done) {
		go func() { done <- onPool(t, pool).Migrate(t.Context(), plan) }()
	}
	for range cap(done) {
		require.NoError(t, <-done)
	}
	require.NoError(t, onPool(t, pool).CheckVersions(t.Context(), plan))
}
