package inbox

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb"
	"github.com/deployhook/deployhook/receiver"
)

// Inbox stores deliveries durably and passes them to a handler. Make it with
// [OpenSQLite] or [NewPostgres], and mount [Inbox.Handler] for each source.
// Call [Inbox.Start] in the processes that handle deliveries. Several processes
// can use one database. An Inbox is safe for concurrent use.
type Inbox struct {
	config
	db      *jobdb.DB
	queue   *jobdb.Queue
	handler receiver.EventHandler

	accepts *sqldb.Combiner[*arrival, acceptance]
	loads   *sqldb.Combiner[int64, *record]
	marks   *sqldb.Combiner[deliveryRound, bool]
	writes  *sqldb.Combiner[write, struct{}] // nil on PostgreSQL

	backlog backlog
	running running
	leases  leases

	closed atomic.Bool
	mu     sync.Mutex // held during Start, Stop and Close
	upkeep *upkeep    // nil unless started
}

// maxBatch is how many deliveries are stored, loaded or marked together.
const maxBatch = 100

// OpenSQLite opens an inbox in the file at path. It creates a missing file with
// access for its owner only. The directory must exist. Workers call handler for
// each delivery. handler is a function, or the Handle method of a
// [receiver.Mux]. [Inbox.Close] closes the file.
//
// Several processes of one machine may open the same file. A delivery that was
// answered with 202 is on disk. Do not put the file on a network file system.
func OpenSQLite(ctx context.Context, path string, handler receiver.EventHandler, opts ...Option) (*Inbox, error) {
	c, err := newConfig(opts)
	if err == nil {
		_, err = c.schemaFor(SQLite)
	}
	if handler == nil {
		err = errors.Join(err, errNoHandler())
	}
	if err != nil {
		return nil, err
	}
	db, err := jobdb.OpenSQLite(ctx, path)
	if err != nil {
		return nil, asConfig(err)
	}
	in, err := newInbox(ctx, db, handler, c)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return in, nil
}

// NewPostgres returns an inbox in the database of pool. The caller closes pool
// after [Inbox.Close]. pool must allow at least 4 connections. Start makes one
// more, which listens, unless [WithPolling] is given. The tables are in a
// separate schema, see [WithSchema]. handler is as for [OpenSQLite].
func NewPostgres(ctx context.Context, pool *pgxpool.Pool, handler receiver.EventHandler, opts ...Option) (*Inbox, error) {
	c, err := newConfig(opts)
	if handler == nil {
		err = errors.Join(err, errNoHandler())
	}
	if err != nil {
		return nil, err
	}
	schema, err := c.schemaFor(Postgres)
	if err != nil {
		return nil, err
	}
	db, err := jobdb.NewPostgres(pool, schema)
	if err != nil {
		return nil, asConfig(err)
	}
	return newInbox(ctx, db, handler, c)
}

func errNoHandler() error {
	return configError("the handler is nil; pass a function, or the Handle method of a receiver.Mux")
}

// asConfig turns a configuration error of the database package into an inbox
// error.
func asConfig(err error) error { return sqldb.WithSentinel(ErrConfig, "inbox", err) }

func newInbox(ctx context.Context, db *jobdb.DB, handler receiver.EventHandler, c *config) (*Inbox, error) {
	if err := db.Prepare(ctx, module, steps(), c.setup); err != nil {
		return nil, asConfig(err)
	}
	in := &Inbox{config: *c, db: db, queue: jobdb.NewQueue(db, jobTable, c.faults), handler: handler}
	in.leases = leases{table: sqlLeases{in}, length: c.rescueAfter, logger: c.logger}
	width := 1 // SQLite has one connection
	if db.Dialect() == jobdb.Postgres {
		width = 2
	}
	in.accepts = newCombiner(c, width, in.store, sqldb.IsRejected)
	in.loads = newCombiner(c, width, in.loadAll, never)
	in.marks = newCombiner(c, width, in.markAll, never)
	if db.Dialect() == jobdb.SQLite {
		in.writes = newCombiner(c, width, in.writeAll, always)
	}
	if err := in.startTelemetry(ctx); err != nil {
		return nil, err
	}
	return in, nil
}

// newCombiner returns a combiner that batches concurrent calls.
func newCombiner[T, R any](c *config, width int, run func(context.Context, []T) ([]R, error), alone func(error) bool) *sqldb.Combiner[T, R] {
	return &sqldb.Combiner[T, R]{Run: run, Most: maxBatch, Width: width, Timeout: c.storeTimeout, Alone: alone, Faults: c.faults, In: inStoring}
}

func never(error) bool  { return false }
func always(error) bool { return true }

// write is one of several changes in a transaction. It may be called more than
// once.
type write func(ctx context.Context, tx *jobdb.Tx) error

// write makes a change in a transaction. On SQLite each commit waits for the
// disk and for the only connection, so concurrent changes share a transaction.
func (in *Inbox) write(ctx context.Context, change write) error {
	if in.writes != nil {
		_, err := in.writes.Do(ctx, change)
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, in.storeTimeout)
	defer cancel()
	return in.db.InTx(ctx, change)
}

func (in *Inbox) writeAll(ctx context.Context, changes []write) ([]struct{}, error) {
	err := in.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
		for _, change := range changes {
			if err := change(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
	return make([]struct{}, len(changes)), err
}
