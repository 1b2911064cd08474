package sqldedupe_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/servicetest"
)

// patience is the maximum wait for an event. Only a hang exceeds it.
const patience = 10 * time.Minute

// TestMain runs more tests at the same time than there are processors, because
// many of them wait for the servers' clocks.
func TestMain(m *testing.M) {
	leaktest.Parallel(16)
	leaktest.Main(m)
}

// place is a database on which a test runs.
type place struct {
	name string
	open func(t testing.TB) *backend
}

// backends lists the databases on which most tests run.
var backends = []place{
	{"sqlite", openSQLite},
	{"postgres", openPostgres},
}

// backend is an empty place for a store, and the values that tests need to know
// about it.
type backend struct {
	t       testing.TB
	dialect sqldedupe.Dialect
	db      *sql.DB // the application's handle
	table   string
	open    func() *sql.DB // another handle, as in another process
}

func onEach(t *testing.T, test func(t *testing.T, b *backend)) {
	t.Helper()
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			test(t, b.open(t))
		})
	}
}

func openSQLite(t testing.TB) *backend {
	path := filepath.Join(t.TempDir(), "test.db")
	open := func() *sql.DB { return sqliteDB(t, path) }
	return &backend{t: t, dialect: sqldedupe.SQLite, db: open(), open: open}
}

func sqliteDB(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", sqliteDSN(path, "FULL"))
	require.NoError(t, err)
	db.SetMaxOpenConns(1)
	closeAfter(t, db)
	return db
}

// busyTimeout is how long a SQLite connection waits for a lock.
const busyTimeout = patience

func sqliteDSN(path, synchronous string) string {
	return "file:" + path + "?_pragma=busy_timeout(" + fmt.Sprint(busyTimeout.Milliseconds()) + ")&_pragma=journal_mode(WAL)&_txlock=immediate&_pragma=synchronous(" + synchronous + ")"
}

func openPostgres(t testing.TB) *backend {
	url := servicetest.PostgresURL(t)
	open := func() *sql.DB { return postgresDB(t, url) }
	return &backend{t: t, dialect: sqldedupe.Postgres, db: open(), table: postgresTable(t, url), open: open}
}

func postgresTable(t testing.TB, url string) string {
	table := fmt.Sprintf("t%016x", rand.Uint64())
	t.Cleanup(func() { dropTables(t, url, table) })
	return table
}

func postgresDB(t testing.TB, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", url)
	require.NoError(t, err)
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(4)
	closeAfter(t, db)
	return db
}

func closeAfter(t testing.TB, db *sql.DB) {
	t.Cleanup(func() { require.NoError(t, db.Close()) })
}

// dropTables drops the tables of a test, including the application's.
func dropTables(t testing.TB, url, table string) {
	db, err := sql.Open("pgx", url)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, suffix := range []string{"", "_schema", "_effects"} {
		_, err = db.ExecContext(ctx, "DROP TABLE IF EXISTS "+table+suffix+" CASCADE")
		require.NoError(t, err)
	}
}

// store creates a store on the given handle.
func (b *backend) store(db *sql.DB, opts ...sqldedupe.Option) *sqldedupe.Store {
	b.t.Helper()
	s, err := b.tryStore(db, opts...)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { require.NoError(b.t, s.Close()) })
	return s
}

func (b *backend) tryStore(db *sql.DB, opts ...sqldedupe.Option) (*sqldedupe.Store, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	opts = append([]sqldedupe.Option{sqldedupe.WithTable(b.tableName())}, opts...)
	if b.dialect == sqldedupe.Postgres {
		return sqldedupe.NewPostgres(ctx, db, opts...)
	}
	return sqldedupe.NewSQLite(ctx, db, opts...)
}

// effects creates the application's table, with one row for each effect.
func (b *backend) effects() {
	b.t.Helper()
	_, err := b.db.ExecContext(b.t.Context(), "CREATE TABLE "+b.effectsTable()+" (id TEXT NOT NULL)")
	require.NoError(b.t, err)
}

func (b *backend) effectsTable() string {
	if b.table == "" {
		return "effects"
	}
	return b.table + "_effects"
}

// effect does the work of a handler for a delivery.
func (b *backend) effect(id string) func(ctx context.Context, tx *sql.Tx) error {
	return func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO "+b.effectsTable()+" (id) VALUES ('"+id+"')")
		return err
	}
}

// count returns how many effects a delivery has had.
func (b *backend) count(id string) int {
	b.t.Helper()
	var n int
	err := b.db.QueryRowContext(b.t.Context(), "SELECT count(*) FROM "+b.effectsTable()+" WHERE id = '"+id+"'").Scan(&n)
	require.NoError(b.t, err)
	return n
}

// rows returns the number of rows in the store's table, including expired ones.
func (b *backend) rows() int {
	b.t.Helper()
	var n int
	require.NoError(b.t, b.db.QueryRowContext(b.t.Context(), "SELECT count(*) FROM "+b.tableName()).Scan(&n))
	return n
}

func (b *backend) tableName() string {
	if b.table == "" {
		return sqldedupe.DefaultTable
	}
	return b.table
}

func key(id string) dedupe.Key { return dedupe.NewKey("test", "tenant", id) }

func claim(t testing.TB, s dedupe.Store, k dedupe.Key, lease time.Duration, want dedupe.State) dedupe.Claim {
	t.Helper()
	c, err := s.Claim(t.Context(), k, lease)
	require.NoError(t, err)
	require.Equal(t, want, c.State)
	return c
}
