package sqldedupe_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/internal/servicetest"
)

func TestWrongOptions(t *testing.T) {
	t.Parallel()
	db := sqliteDB(t, filepath.Join(t.TempDir(), "test.db"))
	for want, o := range map[string]sqldedupe.Option{
		"WithTTL(48ns)":              sqldedupe.WithTTL(48),
		"WithTTL(-1s)":               sqldedupe.WithTTL(-time.Second),
		"WithTTL(0s)":                sqldedupe.WithTTL(0),
		"WithPruneInterval(0s)":      sqldedupe.WithPruneInterval(0),
		"WithPruneBatch(0)":          sqldedupe.WithPruneBatch(0),
		"WithCapacity(0)":            sqldedupe.WithCapacity(0),
		`table ""`:                   sqldedupe.WithTable(""),
		"WithPruneInterval(-1ns)":    sqldedupe.WithPruneInterval(-1),
		"WithPruneBatch(-1)":         sqldedupe.WithPruneBatch(-1),
		"WithPruneBatch(10001)":      sqldedupe.WithPruneBatch(10_001),
		"WithCapacity(-1)":           sqldedupe.WithCapacity(-1),
		`table "x;drop"`:             sqldedupe.WithTable("x;drop"),
		`table "1x"`:                 sqldedupe.WithTable("1x"),
		`table "a.b.c"`:              sqldedupe.WithTable("a.b.c"),
		`table "a."`:                 sqldedupe.WithTable("a."),
		`table ".a"`:                 sqldedupe.WithTable(".a"),
		`table "x\" (y)"`:            sqldedupe.WithTable(`x" (y)`),
		strings.Repeat("x", 49):      sqldedupe.WithTable(strings.Repeat("x", 49)),
		"an option is nil; leave it": nil,
	} {
		_, err := sqldedupe.NewPostgres(t.Context(), db, o)
		require.ErrorIs(t, err, sqldedupe.ErrConfig, want)
		require.ErrorContains(t, err, want)
		_, err = sqldedupe.NewSQLite(t.Context(), db, o)
		require.ErrorIs(t, err, sqldedupe.ErrConfig, want)
		require.ErrorContains(t, err, want)
	}
	for _, name := range []string{"schema.name", "sqlite_name", "SQLite_name"} {
		_, err := sqldedupe.NewSQLite(t.Context(), db, sqldedupe.WithTable(name))
		require.ErrorIs(t, err, sqldedupe.ErrConfig, name)
	}
	_, err := sqldedupe.NewSQLite(t.Context(), db, sqldedupe.WithTTL(1), sqldedupe.WithCapacity(-1), sqldedupe.WithTable("-"))
	for _, all := range []string{"WithTTL", "WithCapacity", "WithTable"} {
		require.ErrorContains(t, err, all)
	}
	_, err = sqldedupe.NewPostgres(t.Context(), nil)
	require.ErrorIs(t, err, sqldedupe.ErrConfig)
	_, err = sqldedupe.NewSQLite(t.Context(), nil)
	require.ErrorIs(t, err, sqldedupe.ErrConfig)
	_, err = sqldedupe.Migrations(0)
	require.ErrorIs(t, err, sqldedupe.ErrConfig)
	require.ErrorIs(t, sqldedupe.Migrate(t.Context(), nil, sqldedupe.SQLite), sqldedupe.ErrConfig)
	require.ErrorIs(t, sqldedupe.Migrate(t.Context(), db, 7), sqldedupe.ErrConfig)
	require.Equal(t, "PostgreSQL SQLite Dialect(7)", fmt.Sprint(sqldedupe.Postgres, sqldedupe.SQLite, sqldedupe.Dialect(7)))
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		s := b.store(b.db)
		require.Equal(t, dedupe.DefaultTTL, s.TTL())
		claim(t, s, key("1"), amply, dedupe.Claimed)
	})
}

// NewSQLite refuses a SQLite database that would lose confirmed commits, or
// fail under load.
func TestUnfitSQLite(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ pragmas, want string }{
		"off":     {"_pragma=busy_timeout(1000)&_pragma=journal_mode(OFF)", "journal_mode"},
		"memory":  {"_pragma=busy_timeout(1000)&_pragma=journal_mode(MEMORY)", "journal_mode"},
		"normal":  {"_pragma=busy_timeout(1000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)", "InsecureUnsynced"},
		"no wait": {"_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)", "busy_timeout"},
		// Before the commit, a second attempt would already be a duplicate.
		"dirty reads": {"cache=shared&_pragma=read_uncommitted(1)&_pragma=busy_timeout(1000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)", "read_uncommitted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "test.db")+"?"+test.pragmas)
			require.NoError(t, err)
			closeAfter(t, db)
			_, err = sqldedupe.NewSQLite(t.Context(), db)
			require.ErrorIs(t, err, sqldedupe.ErrConfig)
			require.ErrorContains(t, err, test.want)
			_, err = sqldedupe.NewSQLite(t.Context(), db, sqldedupe.InsecureUnsynced())
			require.Equal(t, name == "normal", err == nil, "%v", err)
		})
	}
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		db, err := sql.Open("sqlite", ":memory:?_pragma=busy_timeout(1000)")
		require.NoError(t, err)
		closeAfter(t, db)
		_, err = sqldedupe.NewSQLite(t.Context(), db)
		require.ErrorIs(t, err, sqldedupe.ErrConfig)
	})
	// A pragma outside the data source name applies to only one of several
	// connections.
	t.Run("one connection only", func(t *testing.T) {
		t.Parallel()
		db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "test.db"))
		require.NoError(t, err)
		closeAfter(t, db)
		for _, pragma := range []string{"journal_mode = WAL", "busy_timeout = 1000"} {
			_, err = db.ExecContext(t.Context(), "PRAGMA "+pragma)
			require.NoError(t, err)
		}
		_, err = sqldedupe.NewSQLite(t.Context(), db)
		require.ErrorContains(t, err, "busy_timeout")
	})
}

func TestUnfitPostgres(t *testing.T) {
	t.Parallel()
	b := openPostgres(t)
	unsynced := postgresDB(t, servicetest.PostgresURL(t)+"&synchronous_commit=off")
	_, err := b.tryStore(unsynced)
	require.ErrorIs(t, err, sqldedupe.ErrConfig)
	require.ErrorContains(t, err, "synchronous_commit")
	b.store(unsynced, sqldedupe.InsecureUnsynced())

	role := b.table + "_role"
	ctx := context.Background()
	for _, statement := range []string{"CREATE ROLE " + role, "GRANT SELECT, INSERT, UPDATE ON " + b.table + " TO " + role, "GRANT SELECT ON " + b.table + "_schema TO " + role} {
		_, err := b.db.ExecContext(ctx, statement)
		require.NoError(t, err)
	}
	t.Cleanup(func() {
		_, err := b.db.ExecContext(ctx, "DROP OWNED BY "+role)
		require.NoError(t, err)
		_, err = b.db.ExecContext(ctx, "DROP ROLE "+role)
		require.NoError(t, err)
	})
	restricted := postgresDB(t, servicetest.PostgresURL(t)+"&role="+role)
	_, err = b.tryStore(restricted)
	require.ErrorIs(t, err, sqldedupe.ErrConfig)
	require.ErrorContains(t, err, "DELETE")
	_, err = b.db.ExecContext(ctx, "GRANT DELETE ON "+b.table+" TO "+role)
	require.NoError(t, err)
	_, err = b.tryStore(restricted)
	require.ErrorContains(t, err, "USAGE")
	_, err = b.db.ExecContext(ctx, "GRANT USAGE ON "+b.table+"_token TO "+role)
	require.NoError(t, err)
	s := b.store(restricted)
	require.NoError(t, s.Complete(t.Context(), claim(t, s, key("1"), amply, dedupe.Claimed)))
	_, err = s.Prune(t.Context())
	require.NoError(t, err, "no further right is needed")
}

func TestPostgresSchemaName(t *testing.T) {
	t.Parallel()
	b := openPostgres(t)
	_, err := b.db.ExecContext(t.Context(), "CREATE SCHEMA "+b.table)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := b.db.ExecContext(context.Background(), "DROP SCHEMA "+b.table+" CASCADE")
		require.NoError(t, err)
	})
	s := b.store(b.db, sqldedupe.WithTable(b.table+".Mixed_Case"))
	require.NoError(t, s.Complete(t.Context(), claim(t, s, key("1"), amply, dedupe.Claimed)))
	again := b.store(b.db, sqldedupe.WithTable(b.table+".Mixed_Case"), sqldedupe.WithoutMigration())
	claim(t, again, key("1"), amply, dedupe.Completed)
	_, err = s.Prune(t.Context())
	require.NoError(t, err)
}

func TestTablesAreApart(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		one, two := b.store(b.db), b.store(b.db, sqldedupe.WithTable(b.tableName()+"_effects"))
		require.NoError(t, one.Complete(t.Context(), claim(t, one, key("1"), amply, dedupe.Claimed)))
		claim(t, two, key("1"), amply, dedupe.Claimed)
		if b.dialect == sqldedupe.Postgres {
			_, err := b.db.ExecContext(t.Context(), "DROP TABLE "+b.table+"_effects_schema")
			require.NoError(t, err)
		}
	})
}

// Every file name is used unchanged.
func TestOpenSQLite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"plain.db", "with space.db", "a?b&_pragma=synchronous(OFF)", "100%41.db", "hash#.db", "ümlaut.db", "file:x", "semi;colon"} {
		path := filepath.Join(dir, name)
		s, err := sqldedupe.OpenSQLite(t.Context(), path, sqldedupe.WithTTL(time.Hour))
		require.NoError(t, err, name)
		require.NoError(t, s.Complete(t.Context(), claim(t, s, key("1"), amply, dedupe.Claimed)))
		require.FileExists(t, path)
		require.NoError(t, s.Close())
		require.NoError(t, s.Close(), "again")
		_, err = s.Claim(t.Context(), key("1"), amply)
		require.ErrorIs(t, err, dedupe.ErrClosed)

		s, err = sqldedupe.OpenSQLite(t.Context(), path)
		require.NoError(t, err, name)
		claim(t, s, key("1"), amply, dedupe.Completed)
		require.NoError(t, s.Close())
	}
	for _, name := range []string{"", ":memory:"} {
		_, err := sqldedupe.OpenSQLite(t.Context(), name)
		require.ErrorIs(t, err, sqldedupe.ErrConfig)
	}
	_, err := sqldedupe.OpenSQLite(t.Context(), filepath.Join(dir, "no such directory", "x.db"))
	require.Error(t, err)
	_, err = sqldedupe.OpenSQLite(t.Context(), filepath.Join(dir, "x.db"), sqldedupe.WithTTL(1))
	require.ErrorIs(t, err, sqldedupe.ErrConfig)
	text := filepath.Join(dir, "text")
	require.NoError(t, os.WriteFile(text, []byte(strings.Repeat("not a database ", 100)), 0o600))
	_, err = sqldedupe.OpenSQLite(t.Context(), text)
	require.Error(t, err)
}

// Other users must not read the file, although keys are digests. An existing
// file keeps its permissions.
func TestSQLiteFileIsPrivate(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("has no permission bits")
	}
	dir := t.TempDir()
	s, err := sqldedupe.OpenSQLite(t.Context(), filepath.Join(dir, "test.db"))
	require.NoError(t, err)
	claim(t, s, key("1"), amply, dedupe.Claimed)
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 3, "with the log and its index")
	for _, file := range files {
		info, err := file.Info()
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm()&0o077, "%s can be read by others", file.Name())
	}
	require.NoError(t, s.Close())

	shared := filepath.Join(dir, "shared.db")
	require.NoError(t, os.WriteFile(shared, nil, 0o600))
	require.NoError(t, os.Chmod(shared, 0o660))
	s, err = sqldedupe.OpenSQLite(t.Context(), shared)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	info, err := os.Stat(shared)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o660), info.Mode().Perm())
}

func TestClosed(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		s := b.store(b.db)
		c := claim(t, s, key("1"), amply, dedupe.Claimed)
		require.NoError(t, s.Close())
		ctx := t.Context()
		_, err := s.Claim(ctx, key("1"), amply)
		for _, err := range []error{err, s.Renew(ctx, c, amply), s.Complete(ctx, c), s.Release(ctx, c), s.CompleteTx(ctx, &sql.Tx{}, c)} {
			require.ErrorIs(t, err, dedupe.ErrClosed)
		}
		require.NoError(t, b.db.PingContext(ctx), "the database is the caller's")
		claim(t, b.store(b.db), key("1"), amply, dedupe.InFlight)
	})
}

func TestZeroStoreNamesItsConstructors(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), dedupe.Claim{Key: key("1"), State: dedupe.Claimed, Token: 1}
	for _, s := range []*sqldedupe.Store{nil, {}} {
		_, claimed := s.Claim(ctx, c.Key, time.Minute)
		_, pruned := s.Prune(ctx)
		for _, err := range []error{
			claimed, pruned, s.Renew(ctx, c, time.Minute), s.Complete(ctx, c), s.Release(ctx, c), s.RunPruner(ctx, 0),
			s.CompleteTx(ctx, &sql.Tx{}, c), s.InTx(ctx, c, func(context.Context, *sql.Tx) error { return nil }),
		} {
			require.ErrorIs(t, err, dedupe.ErrInvalid)
			require.ErrorContains(t, err, "NewPostgres")
		}
		require.Zero(t, s.TTL())
		require.NoError(t, s.Close())
	}
}
