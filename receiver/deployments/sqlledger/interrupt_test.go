package sqlledger_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/sqlledger"
)

// A call that is canceled during its transaction must not close the connection,
// because a database in memory ends with it.
func TestInterruptedCallKeepsMemory(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("sqlite", ":memory:")
	require.NoError(t, err)
	l := inMemory(t, db)
	_, err = db.ExecContext(t.Context(), `CREATE VIEW endless AS WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT i FROM r;
		CREATE TRIGGER slow BEFORE INSERT ON deployhook_ledger_deployments BEGIN SELECT count(*) FROM endless; END`)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = l.Record(ctx, "acme", deployment("2", payload.StatusSuccess))
	require.ErrorIs(t, err, context.DeadlineExceeded)

	_, err = db.ExecContext(t.Context(), "DROP TRIGGER slow")
	require.NoError(t, err, "nothing changed")
	stillRecords(t, l)
}

// The context may also end while the transaction begins.
func TestInterruptedBeginKeepsMemory(t *testing.T) {
	t.Parallel()
	for _, begun := range []bool{true, false} {
		ctx, cancel := context.WithCancel(t.Context())
		begin := func(run func() (driver.Result, error)) (driver.Result, error) {
			if ctx.Err() != nil {
				return run()
			}
			if begun {
				if _, err := run(); err != nil {
					return nil, err
				}
			}
			cancel()
			return nil, ctx.Err()
		}
		c := &connector{}
		l := inMemory(t, sql.OpenDB(c))
		c.begin = begin
		_, err := l.Record(ctx, "acme", deployment("2", payload.StatusSuccess))
		require.ErrorIs(t, err, context.Canceled)
		stillRecords(t, l)
	}
}

// inMemory returns a ledger with one record.
func inMemory(t *testing.T, db *sql.DB) *sqlledger.Ledger {
	t.Helper()
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	db.SetMaxOpenConns(1)
	l, err := sqlledger.NewSQLite(t.Context(), db)
	require.NoError(t, err)
	_, err = l.Record(t.Context(), "acme", deployment("1", payload.StatusSuccess))
	require.NoError(t, err)
	return l
}

func stillRecords(t *testing.T, l *sqlledger.Ledger) {
	t.Helper()
	_, err := l.Record(t.Context(), "acme", deployment("3", payload.StatusSuccess))
	require.NoError(t, err)
	all, err := l.List(t.Context(), "acme", deployments.Filter{}, deployments.Page{})
	require.NoError(t, err)
	require.Len(t, all.Items, 2)
	require.Equal(t, "3", all.Items[0].Deployment.DeploymentID)
	require.Equal(t, "1", all.Items[1].Deployment.DeploymentID)
}

// connector connects to databases in memory and can interrupt the beginning of
// a transaction.
type connector struct {
	driver sqlite.Driver
	begin  func(run func() (driver.Result, error)) (driver.Result, error)
}

func (c *connector) Driver() driver.Driver { return &c.driver }

func (c *connector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(":memory:")
	if err != nil {
		return nil, err
	}
	return connection{conn.(sqliteConn), c}, nil
}

type sqliteConn interface {
	driver.Conn
	driver.ExecerContext
	driver.QueryerContext
}

type connection struct {
	sqliteConn
	c *connector
}

func (c connection) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	run := func() (driver.Result, error) { return c.sqliteConn.ExecContext(ctx, query, args) }
	if query == "BEGIN IMMEDIATE" && c.c.begin != nil {
		return c.c.begin(run)
	}
	return run()
}
