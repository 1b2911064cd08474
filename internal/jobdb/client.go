package jobdb

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivertype"
)

// Defaults that [DB.NewClient] sets for zero fields of the configuration,
// instead of River's own.
const (
	DefaultFetchCooldown   = 10 * time.Millisecond
	DefaultJobTimeout      = 20 * time.Second
	DefaultRescueAfter     = time.Minute // beyond the job's timeout
	DefaultSoftStopTimeout = 10 * time.Second
)

// Client is River's client without its type parameter. Methods whose names end
// in Tx run in a transaction of the same [DB], or in one of the caller's that
// the DB has wrapped. Do not call the others while a transaction is open on the
// same goroutine. See river.Client for the methods.
type Client interface {
	txClient

	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	StopAndCancel(ctx context.Context) error
	Stopped() <-chan struct{}

	Insert(ctx context.Context, args river.JobArgs, opts *river.InsertOpts) (*rivertype.JobInsertResult, error)
	InsertMany(ctx context.Context, params []river.InsertManyParams) ([]*rivertype.JobInsertResult, error)

	JobGet(ctx context.Context, id int64) (*rivertype.JobRow, error)
	JobList(ctx context.Context, params *river.JobListParams) (*river.JobListResult, error)
	JobCancel(ctx context.Context, id int64) (*rivertype.JobRow, error)
	JobRetry(ctx context.Context, id int64) (*rivertype.JobRow, error)
	JobDelete(ctx context.Context, id int64) (*rivertype.JobRow, error)

	// Finished says that FinishTx was committed for a job. Its worker calls this
	// before it returns. River then records nothing for the job.
	Finished(job int64)

	Queues() *river.QueueBundle
	Subscribe(kinds ...river.EventKind) (<-chan *river.Event, func())
}

// txClient has the methods that run in a transaction.
type txClient interface {
	InsertTx(ctx context.Context, tx *Tx, args river.JobArgs, opts *river.InsertOpts) (*rivertype.JobInsertResult, error)
	InsertManyTx(ctx context.Context, tx *Tx, params []river.InsertManyParams) ([]*rivertype.JobInsertResult, error)
	JobGetTx(ctx context.Context, tx *Tx, id int64) (*rivertype.JobRow, error)
	JobListTx(ctx context.Context, tx *Tx, params *river.JobListParams) (*river.JobListResult, error)
	JobCancelTx(ctx context.Context, tx *Tx, id int64) (*rivertype.JobRow, error)
	JobRetryTx(ctx context.Context, tx *Tx, id int64) (*rivertype.JobRow, error)
	JobDeleteTx(ctx context.Context, tx *Tx, id int64) (*rivertype.JobRow, error)
}

// FinishTx deletes jobs in the transaction that records what their workers have
// done. So the end of a job needs no further transaction, and no crash
// separates the two. The worker calls [Client.Finished] after the commit.
//
// River locks jobs in any order. FinishTx therefore leaves out those that are
// locked, or the two could deadlock. River is about to run such a job again,
// whose worker took too long. That run must find that there is nothing to do.
func (db *DB) FinishTx(ctx context.Context, tx *Tx, jobs []int64) error {
	if len(jobs) == 0 {
		return nil
	}
	statement, arg := db.Finish(jobs)
	_, err := tx.Exec(ctx, statement, arg)
	return err
}

// Finish returns the statement of [DB.FinishTx] and its argument. On PostgreSQL
// it can be part of another statement, as WITH finished AS (...).
func (db *DB) Finish(jobs []int64) (statement string, arg any) {
	which, arg := db.IsAnyOf("id", jobs)
	if db.Dialect() == Postgres {
		which = `id = ANY(ARRAY(SELECT id FROM {schema}river_job WHERE ` + which + ` FOR UPDATE SKIP LOCKED))`
	}
	return `DELETE FROM {schema}river_job WHERE ` + which, arg
}

// NewClient returns a client of the database that is not started. It copies the
// configuration and sets the schema. Zero fields get defaults that suit
// deliveries:
//
//   - It fetches at most every 10 ms, and only known kinds.
//   - A job may take 20 seconds, and is rescued a minute after that.
//   - A soft stop takes 10 seconds.
//   - Discarded jobs are kept until they are deleted.
//   - Nothing is logged.
//
// Without Queues the client only inserts.
//
// SQLite has no LISTEN, so the client polls a table every 50 ms instead. On
// PostgreSQL, [DB.Prepare] decides whether the client listens, and whether it
// rebuilds indexes.
func (db *DB) NewClient(config *river.Config) (Client, error) {
	c := db.complete(config)
	if db.Dialect() == SQLite {
		driver, err := sqliteDriver(db.SQL())
		if err != nil {
			return nil, err
		}
		return newClient(driver, c, (*Tx).SQL)
	}
	return newPostgresClient(db, c)
}

// complete returns a copy of config with the defaults and the properties of the
// database.
func (db *DB) complete(config *river.Config) *river.Config {
	c := *config
	c.Schema = db.schema
	c.PollOnly = db.polling
	c.ReindexerIndexNames = slices.DeleteFunc(river.ReindexerIndexNamesDefault(), func(name string) bool { return slices.Contains(needless, name) })
	if db.noReindex {
		c.ReindexerSchedule = river.NeverSchedule()
	}
	if c.FetchCooldown == 0 {
		c.FetchCooldown = DefaultFetchCooldown
	}
	if c.JobTimeout == 0 {
		c.JobTimeout = DefaultJobTimeout
	}
	if c.RescueStuckJobsAfter == 0 {
		c.RescueStuckJobsAfter = max(c.JobTimeout, 0) + DefaultRescueAfter
	}
	if c.SoftStopTimeout == 0 {
		c.SoftStopTimeout = DefaultSoftStopTimeout
	}
	if c.DiscardedJobRetentionPeriod == 0 {
		c.DiscardedJobRetentionPeriod = -1
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Logger = slog.New(atLeastWarn{c.Logger.Handler()})
	c.FetchOnlyKnownKinds = true
	return &c
}

type client[T any] struct {
	*river.Client[T]

	unwrap   func(*Tx) T
	finished *finished
}

func newClient[T any](driver riverdriver.Driver[T], config *river.Config, unwrap func(*Tx) T) (Client, error) {
	f := &finished{}
	c, err := river.NewClient[T](&finishingDriver[T]{driver, f}, config)
	if err != nil {
		return nil, err
	}
	return &client[T]{c, unwrap, f}, nil
}

func (c *client[T]) Finished(job int64) { c.finished.add(job) }

func (c *client[T]) InsertTx(ctx context.Context, tx *Tx, args river.JobArgs, opts *river.InsertOpts) (*rivertype.JobInsertResult, error) {
	return c.Client.InsertTx(ctx, c.unwrap(tx), args, opts)
}

func (c *client[T]) InsertManyTx(ctx context.Context, tx *Tx, params []river.InsertManyParams) ([]*rivertype.JobInsertResult, error) {
	return c.Client.InsertManyTx(ctx, c.unwrap(tx), params)
}

func (c *client[T]) JobGetTx(ctx context.Context, tx *Tx, id int64) (*rivertype.JobRow, error) {
	return c.Client.JobGetTx(ctx, c.unwrap(tx), id)
}

func (c *client[T]) JobListTx(ctx context.Context, tx *Tx, params *river.JobListParams) (*river.JobListResult, error) {
	return c.Client.JobListTx(ctx, c.unwrap(tx), params)
}

func (c *client[T]) JobCancelTx(ctx context.Context, tx *Tx, id int64) (*rivertype.JobRow, error) {
	return c.Client.JobCancelTx(ctx, c.unwrap(tx), id)
}

func (c *client[T]) JobRetryTx(ctx context.Context, tx *Tx, id int64) (*rivertype.JobRow, error) {
	return c.Client.JobRetryTx(ctx, c.unwrap(tx), id)
}

func (c *client[T]) JobDeleteTx(ctx context.Context, tx *Tx, id int64) (*rivertype.JobRow, error) {
	return c.Client.JobDeleteTx(ctx, c.unwrap(tx), id)
}
