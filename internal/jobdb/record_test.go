package jobdb_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
)

// statement is one that a queue has sent to its database.
type statement struct {
	text string
	args []any
}

// recorder notes the statements about jobs.
type recorder struct {
	mu  sync.Mutex
	all []statement
}

func (r *recorder) note(text string, args []any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if strings.Contains(text, table) && !strings.HasPrefix(text, "LISTEN") { // which another goroutine does
		r.all = append(r.all, statement{text, args})
	}
}

// take returns the statements since the last call.
func (r *recorder) take() (all []statement) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all, r.all = r.all, nil
	return all
}

// TraceQueryStart implements pgx.QueryTracer.
func (r *recorder) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	r.note(q.SQL, q.Args)
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (r *recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// onEachRecorded runs a test with a database whose statements are recorded.
func onEachRecorded(t *testing.T, test func(t *testing.T, db *jobdb.DB, r *recorder)) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		r, path := &recorder{}, t.TempDir()+"/test.db"
		require.NoError(t, openSQLite(t, path).Migrate(t.Context(), "test", steps))
		plain, err := sql.Open("sqlite", path)
		require.NoError(t, err)
		require.NoError(t, plain.Close())
		db := sql.OpenDB(liteConnector{plain.Driver(), path, r})
		db.SetMaxOpenConns(1)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		test(t, jobdb.Over(sqldb.New(db, jobdb.SQLite, "")), r)
	})
	t.Run("Postgres", func(t *testing.T) {
		t.Parallel()
		r := &recorder{}
		config, err := pgxpool.ParseConfig(sqldbtest.NewDatabase(t))
		require.NoError(t, err)
		config.ConnConfig.Tracer = r
		pool, err := pgxpool.NewWithConfig(t.Context(), config)
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		test(t, migrated(t, func() *jobdb.DB { return onPool(t, pool) }), r)
	})
}

// liteConnector connects to a SQLite file.
type liteConnector struct {
	driver driver.Driver
	path   string
	r      *recorder
}

func (c liteConnector) Driver() driver.Driver { return c.driver }

func (c liteConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.path)
	if err != nil {
		return nil, err
	}
	return liteConn{conn.(fullConn), c.r}, nil
}

// fullConn is what a connection of the SQLite driver can do.
type fullConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.QueryerContext
	driver.ExecerContext
}

type liteConn struct {
	fullConn

	r *recorder
}

func (c liteConn) note(text string, named []driver.NamedValue) {
	args := make([]any, len(named))
	for i, a := range named {
		args[i] = a.Value
	}
	c.r.note(text, args)
}

func (c liteConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	c.note(text, args)
	return c.fullConn.QueryContext(ctx, text, args)
}

func (c liteConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	c.note(text, args)
	return c.fullConn.ExecContext(ctx, text, args)
}
