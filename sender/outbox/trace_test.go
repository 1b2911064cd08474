package outbox

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
)

// executed is a statement that a database has run.
type executed struct {
	text string
	// read counts the rows that PostgreSQL has read, and the pages that SQLite
	// has used.
	read int
	plan string
}

// tracer collects the statements that an outbox runs, with the plans by which
// the database has run them.
type tracer struct {
	mu  sync.Mutex
	all []executed
}

func (c *tracer) add(e executed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, e)
}

// take returns what was collected since the last call.
func (c *tracer) take() []executed {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.all
	c.all = nil
	return all
}

// tracedEach runs a test on both databases, on outboxes that report what they
// run.
func tracedEach(t *testing.T, test func(t *testing.T, o *inside, c *tracer), opts ...Option) {
	for name, connect := range map[string]func(*testing.T, *tracer) *jobdb.DB{"SQLite": tracedSQLite, "Postgres": tracedPostgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &tracer{}
			config, err := newConfig(append([]Option{WithSealingKeys(sealingKey(t)), loopbackOnly()}, opts...))
			require.NoError(t, err)
			o, err := open(t.Context(), connect(t, c), config)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, o.Close()) })
			test(t, &inside{o, t}, c)
		})
	}
}

// tracedPostgres lets PostgreSQL send the plan of each statement that it has
// run.
func tracedPostgres(t *testing.T, c *tracer) *jobdb.DB {
	config, err := pgxpool.ParseConfig(sqldbtest.NewDatabase(t))
	require.NoError(t, err)
	config.MaxConns = sqldbtest.MaxConns
	config.ConnConfig.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if _, plan, ok := strings.Cut(n.Message, "plan:\n"); ok {
			c.add(planOfPostgres(plan))
		}
	}
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_analyze = on;
			SET auto_explain.log_timing = off; SET auto_explain.log_format = json; SET client_min_messages = log`)
		return err
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	db, err := jobdb.NewPostgres(pool, "deployhook_outbox")
	require.NoError(t, err)
	return db
}

// node is a part of a plan of PostgreSQL.
type node struct {
	Type      string  `json:"Node Type"`
	Relation  string  `json:"Relation Name"`
	Index     string  `json:"Index Name"`
	Condition string  `json:"Index Cond"`
	Filter    string  `json:"Filter"`
	Rows      float64 `json:"Actual Rows"`
	Filtered  float64 `json:"Rows Removed by Filter"`
	Rechecked float64 `json:"Rows Removed by Index Recheck"`
	Loops     float64 `json:"Actual Loops"`
	Plans     []node
}

func planOfPostgres(text string) (e executed) {
	var plan struct {
		Text string `json:"Query Text"`
		Plan node
	}
	if err := json.Unmarshal([]byte(text), &plan); err != nil {
		return executed{text: "unreadable: " + err.Error(), plan: text}
	}
	e.text = plan.Text
	plan.Plan.addTo(&e, 0)
	return e
}

func (n *node) addTo(e *executed, depth int) {
	e.plan += fmt.Sprintf("%*s%s %s %s %s filter %s: %.0f rows, %.0f filtered, %.0f times\n", 2*depth, "", n.Type, n.Relation, n.Index, n.Condition,
		n.Filter, n.Rows, n.Filtered, n.Loops)
	if len(n.Plans) == 0 || n.Relation != "" {
		e.read += int((n.Rows + n.Filtered + n.Rechecked) * n.Loops)
	}
	for i := range n.Plans {
		n.Plans[i].addTo(e, depth+1)
	}
}

// tracedSQLite counts the pages that each statement uses.
func tracedSQLite(t *testing.T, c *tracer) *jobdb.DB {
	base, err := sqlite.NewConnector("file:" + (&url.URL{Path: NewSQLite(t)}).EscapedPath() +
		"?_pragma=busy_timeout(30000)&_pragma=journal_mode(WAL)&_txlock=immediate")
	require.NoError(t, err)
	db := sql.OpenDB(tracedConnector{base, c})
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return &jobdb.DB{DB: sqldb.NewImmediate(db, "")}
}

type tracedConnector struct {
	driver.Connector
	c *tracer
}

// Connect implements driver.Connector.
func (t tracedConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := t.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &tracedConn{conn.(liteConn), t.c}, nil
}

type liteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
	sqlite.DBStatus
}

// tracedConn explains each statement before it runs.
type tracedConn struct {
	liteConn
	c *tracer
}

// ExecContext implements driver.ExecerContext.
func (t *tracedConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	e, before := t.explain(ctx, text, args), t.pages()
	defer func() {
		e.read = t.pages() - before
		t.c.add(e)
	}()
	return t.liteConn.ExecContext(ctx, text, args)
}

// QueryContext implements driver.QueryerContext.
func (t *tracedConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	e, before := t.explain(ctx, text, args), t.pages()
	rows, err := t.liteConn.QueryContext(ctx, text, args)
	if err != nil {
		return nil, err
	}
	return &tracedRows{rows, func() {
		e.read = t.pages() - before
		t.c.add(e)
	}}, nil
}

type tracedRows struct {
	driver.Rows
	done func()
}

// Close implements driver.Rows.
func (r *tracedRows) Close() error {
	err := r.Rows.Close()
	if r.done != nil {
		r.done()
		r.done = nil
	}
	return err
}

func (t *tracedConn) pages() int {
	hits, _, _ := t.Status(sqlite.DBStatusCacheHit, false)
	misses, _, _ := t.Status(sqlite.DBStatusCacheMiss, false)
	return hits + misses
}

func (t *tracedConn) explain(ctx context.Context, text string, args []driver.NamedValue) executed {
	e := executed{text: text}
	rows, err := t.liteConn.QueryContext(ctx, "EXPLAIN QUERY PLAN "+text, args)
	if err != nil {
		return e // not a statement with a plan
	}
	defer rows.Close()
	values := make([]driver.Value, len(rows.Columns()))
	for rows.Next(values) == nil {
		e.plan += fmt.Sprintln(values[len(values)-1])
	}
	return e
}
