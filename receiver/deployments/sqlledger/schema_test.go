package sqlledger_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/sqlledger"
)

// constructor makes ledgers on one database.
type constructor func(ctx context.Context, opts ...sqlledger.Option) (*sqlledger.Ledger, error)

// databases runs a test on an empty database of each kind.
func databases(t *testing.T, test func(t *testing.T, db *sql.DB, open constructor)) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		path := newPath(t)
		openSQLite(t, path, sqlledger.WithTablePrefix("another_"))
		db, err := sql.Open("sqlite", path)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		test(t, db, func(ctx context.Context, opts ...sqlledger.Option) (*sqlledger.Ledger, error) {
			l, err := sqlledger.OpenSQLite(ctx, path, opts...)
			if err == nil {
				t.Cleanup(func() { require.NoError(t, l.Close()) })
			}
			return l, err
		})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		db := newSchema(t)
		test(t, db, func(ctx context.Context, opts ...sqlledger.Option) (*sqlledger.Ledger, error) {
			return sqlledger.NewPostgres(ctx, db, opts...)
		})
	})
}

// Instances that start at the same time create the tables once, and all of them
// work.
func TestManyInstancesStartAtOnce(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, _ *sql.DB, open constructor) {
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				l, err := open(t.Context())
				if err == nil {
					_, err = l.Record(t.Context(), "acme", deployment(fmt.Sprint(i), payload.StatusPending))
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		l, err := open(t.Context(), sqlledger.WithoutMigration())
		require.NoError(t, err)
		all, err := l.List(t.Context(), "acme", deployments.Filter{}, deployments.Page{})
		require.NoError(t, err)
		require.Len(t, all.Items, 16)
	})
}

func TestWithoutMigration(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, db *sql.DB, open constructor) {
		_, err := open(t.Context(), sqlledger.WithoutMigration())
		require.ErrorIs(t, err, sqlledger.ErrConfig)
		_, err = db.ExecContext(t.Context(), "CREATE TABLE old_version (module text NOT NULL, version bigint NOT NULL, applied_at bigint NOT NULL)")
		require.NoError(t, err)
		_, err = open(t.Context(), sqlledger.WithoutMigration(), sqlledger.WithTablePrefix("old_"))
		require.ErrorIs(t, err, sqlledger.ErrConfig)
		require.ErrorContains(t, err, "version 0")
		_, err = open(t.Context(), sqlledger.WithTablePrefix("old_"))
		require.NoError(t, err)
		_, err = open(t.Context(), sqlledger.WithoutMigration(), sqlledger.WithTablePrefix("old_"))
		require.NoError(t, err)
	})
}

// After a rollback of the service, the older version must not write to tables
// that it does not know.
func TestMigrate_RefusesNewerTables(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, db *sql.DB, open constructor) {
		_, err := open(t.Context())
		require.NoError(t, err)
		_, err = db.ExecContext(t.Context(), "UPDATE deployhook_ledger_version SET version = 99")
		require.NoError(t, err)
		for _, opts := range [][]sqlledger.Option{nil, {sqlledger.WithoutMigration()}} {
			_, err = open(t.Context(), opts...)
			require.ErrorIs(t, err, sqlledger.ErrConfig)
			require.ErrorContains(t, err, "version 99")
		}
	})
}

func TestPrefixesKeepLedgersApart(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, _ *sql.DB, open constructor) {
		for _, prefix := range []string{sqlledger.DefaultTablePrefix, "a_", "b_"} {
			l, err := open(t.Context(), sqlledger.WithTablePrefix(prefix))
			require.NoError(t, err)
			r, err := l.Record(t.Context(), "acme", deployment("1", payload.StatusSuccess))
			require.NoError(t, err)
			require.True(t, r.Created, prefix)
		}
	})
}

// The document is stored as bytes. A JSON column would rewrite numbers and
// escapes.
func TestDocumentIsStoredAsBytes(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, db *sql.DB, open constructor) {
		l, err := open(t.Context())
		require.NoError(t, err)
		const document = `{"deploymentId":"1","commitSha":"a1b2c","environment":"production","status":"pending","startedAt":"2024-01-15T10:30:00Z",` +
			`"rawPayload":{"a" : 1.0,"a2":9007199254740993, "u":"\u0000\u00e9"}}`
		d, err := payload.DecodeDeployment([]byte(document))
		require.NoError(t, err)
		_, err = l.Record(t.Context(), "acme", d)
		require.NoError(t, err)
		var stored []byte
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT document FROM deployhook_ledger_deployments").Scan(&stored))
		require.Equal(t, document, string(stored))
	})
}

// A damaged document is an internal error, never an invalid delivery.
func TestDamagedRecordIsAnError(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, db *sql.DB, open constructor) {
		l, err := open(t.Context())
		require.NoError(t, err)
		_, err = l.Record(t.Context(), "acme", deployment("1", payload.StatusPending))
		require.NoError(t, err)
		_, err = db.ExecContext(t.Context(), "UPDATE deployhook_ledger_deployments SET document = $1", []byte("{}"))
		require.NoError(t, err)
		_, err = l.Record(t.Context(), "acme", deployment("1", payload.StatusSuccess))
		require.Error(t, err)
		require.NotErrorIs(t, err, payload.ErrInvalid)
		_, err = l.Get(t.Context(), "acme", "1")
		require.ErrorContains(t, err, "record 1")
	})
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"", "1", "A", "a-b", "a b", `a"`, "a.b", "ä", "a2345678901234567890123456789012345678901", "a;DROP TABLE x"} {
		_, err := sqlledger.OpenSQLite(t.Context(), newPath(t), sqlledger.WithTablePrefix(prefix))
		require.ErrorIs(t, err, sqlledger.ErrConfig, prefix)
		require.ErrorContains(t, err, "WithTablePrefix")
	}
	_, err := sqlledger.NewPostgres(t.Context(), nil, sqlledger.WithTablePrefix("1"))
	require.ErrorContains(t, err, "sql.DB is nil")
	require.ErrorContains(t, err, "WithTablePrefix", "all at once")
	_, err = sqlledger.NewSQLite(t.Context(), nil)
	require.ErrorIs(t, err, sqlledger.ErrConfig)
	_, err = sqlledger.OpenSQLite(t.Context(), newPath(t), nil)
	require.ErrorIs(t, err, sqlledger.ErrConfig)
	for _, path := range []string{"", ":memory:", "file:x.db"} {
		_, err = sqlledger.OpenSQLite(t.Context(), path)
		require.ErrorIs(t, err, sqlledger.ErrConfig, path)
	}
	_, err = sqlledger.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "none", "ledger.db"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestSQLiteFile(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"plain.db", "a b.db", "a?b=c.db", "a#b.db", "100%41.db", "ä;'\".db"} {
		dir := t.TempDir()
		l := openSQLite(t, filepath.Join(dir, name))
		_, err := l.Record(t.Context(), "acme", deployment("1", payload.StatusPending))
		require.NoError(t, err)
		files, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Equal(t, name, files[0].Name())
		for _, file := range files {
			require.Contains(t, []string{name, name + "-wal", name + "-shm"}, file.Name(), "the name is taken as it is")
			info, err := file.Info()
			require.NoError(t, err)
			if runtime.GOOS != "windows" {
				require.Zero(t, info.Mode().Perm()&0o077, "%s can be read by others", file.Name())
			}
		}
	}
}
