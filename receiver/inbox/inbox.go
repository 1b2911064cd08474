package inbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/deployhook/deployhook/internal/riverdb"
	"github.com/deployhook/deployhook/internal/sqldb"
	"github.com/deployhook/deployhook/internal/timemath"
	"github.com/deployhook/deployhook/receiver"
)

// Inbox stores deliveries durably and hands them to a handler. Make it with [OpenSQLite] or [NewPostgres], mount
// [Inbox.Handler] for each source, and call [Inbox.Start] in the processes that are to do the work. Several processes can use
// one database. It is safe for concurrent use.
type Inbox struct {
	config
	db      *riverdb.DB
	client  riverdb.Client
	handler receiver.EventHandler

	accepts *sqldb.Combiner[*arrival, acceptance]
	loads   *sqldb.Combiner[int64, *record]
	marks   *sqldb.Combiner[turn, bool]
	writes  *sqldb.Combiner[write, struct{}] // nil on PostgreSQL

	backlog backlog
	running running
	leases  leases

	closed atomic.Bool
	mu     sync.Mutex // held while it is started or stopped
	upkeep *upkeep    // nil unless started
}

// queue is the name of the one queue, and kind of the one kind of job.
const (
	queue = "inbox"
	kind  = "deployhook_inbox"
)

// pollInterval bounds how late an attempt is that is to come again soon: nobody is notified of it.
const pollInterval = 200 * time.Millisecond

// most is how many deliveries are stored, loaded or marked together.
const most = 100

// OpenSQLite opens an inbox in the file at path, which it creates, for its owner only, where there is none; the directory must
// exist. handler is what a worker calls for each delivery: a function, or the Handle method of a [receiver.Mux].
// [Inbox.Close] closes it.
//
// Several processes of one machine may open the same file. A delivery that was answered with 202 is on disk. Keep the file
// off network file systems.
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
	db, err := riverdb.OpenSQLite(ctx, path)
	if err != nil {
		return nil, asConfig(err)
	}
	in, err := newInbox(ctx, db, handler, c)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return in, nil
}

// NewPostgres returns an inbox in the database of pool, which stays the caller's to close, after [Inbox.Close]. It must
// allow at least 4 connections. The tables are in a schema of their own: see [WithSchema]. handler is as for [OpenSQLite].
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
	db, err := riverdb.NewPostgres(pool, schema)
	if err != nil {
		return nil, asConfig(err)
	}
	return newInbox(ctx, db, handler, c)
}

func errNoHandler() error {
	return configError("the handler is nil; give the function that events are for, or the Handle method of a receiver.Mux")
}

// asConfig makes a configuration error of the database's one of ours.
func asConfig(err error) error { return sqldb.WithSentinel(ErrConfig, "inbox", err) }

func newInbox(ctx context.Context, db *riverdb.DB, handler receiver.EventHandler, c *config) (*Inbox, error) {
	if err := db.Prepare(ctx, module, steps(), c.setup); err != nil {
		return nil, asConfig(err)
	}
	in := &Inbox{config: *c, db: db, handler: handler}
	in.leases = leases{table: sqlLeases{in}, length: c.rescueAfter, logger: c.logger}
	width := 1 // on SQLite there is one connection
	if db.Dialect() == riverdb.Postgres {
		width = 2
	}
	in.accepts = newCombiner(c, width, in.store, sqldb.IsRejected)
	in.loads = newCombiner(c, width, in.loadAll, never)
	in.marks = newCombiner(c, width, in.markAll, never)
	if db.Dialect() == riverdb.SQLite {
		in.writes = newCombiner(c, width, in.writeAll, always)
	}
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, &worker{in: in}); err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	client, err := db.NewClient(&river.Config{
		Workers: workers,
		Queues:  map[string]river.QueueConfig{queue: {MaxWorkers: c.workers}},
		// A finished job says nothing that the delivery's row does not.
		CompletedJobRetentionPeriod: completedJobRetention,
		CancelledJobRetentionPeriod: completedJobRetention,
		FetchPollInterval:           pollInterval,
		JobTimeout:                  c.jobTimeout(),
		RescueStuckJobsAfter:        timemath.Add(c.jobTimeout(), c.rescueAfter/2),
		SoftStopTimeout:             c.stopTimeout,
		Logger:                      c.logger,
	})
	if err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	in.client = client
	return in, nil
}

// newCombiner returns what runs concurrent calls together.
func newCombiner[T, R any](c *config, width int, run func(context.Context, []T) ([]R, error), alone func(error) bool) *sqldb.Combiner[T, R] {
	return &sqldb.Combiner[T, R]{Run: run, Most: most, Width: width, Timeout: c.storeTimeout, Alone: alone, Faults: c.faults, In: inStoring}
}

func never(error) bool  { return false }
func always(error) bool { return true }

// write is one of several changes that share a transaction. It may be called more than once.
type write func(ctx context.Context, tx *riverdb.Tx) error

// write makes a change in a transaction: on SQLite, where each commit waits for the disk and for the one connection, together
// with those that others want to make at the moment.
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
	err := in.db.InTx(ctx, func(ctx context.Context, tx *riverdb.Tx) error {
		for _, change := range changes {
			if err := change(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
	return make([]struct{}, len(changes)), err
}
