package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/deployhook/deployhook/internal/riverdb"
	"github.com/deployhook/deployhook/internal/sqldb"
	"github.com/deployhook/deployhook/sender"
)

const (
	// fetchPollInterval is how often the queue is looked at without a notification: for jobs that were put back.
	fetchPollInterval = 200 * time.Millisecond
	fetchCooldown     = 10 * time.Millisecond
	// completedFor is how long River keeps jobs that are done. Everything that anyone wants to know is in our own tables.
	completedFor = 10 * time.Minute
	queueName    = "outbox"
)

// Outbox publishes events to endpoints, durably. Make it with [OpenSQLite] or [NewPostgres]. All methods are safe for
// concurrent use.
type Outbox struct {
	config
	db     *riverdb.DB
	sender *sender.Sender
	client riverdb.Client
	gate   *gate
	cache  *endpointCache
	loader *sqldb.Combiner[string, loaded]
	writer *sqldb.Combiner[*result, saved]
	calls  *callins

	mu      sync.Mutex
	started bool
	closed  bool
	stop    context.CancelFunc // ends the maintenance
	tasks   sync.WaitGroup
}

// OpenSQLite opens the outbox in the file at path, and creates what is missing; the directory must exist. Several processes may
// open the same file. Close closes it. The file is the outbox's own; an application's tables can be beside it (see
// [Outbox.PublishTx]), another module's can't.
//
// Errors of the options wrap [ErrConfig].
func OpenSQLite(ctx context.Context, path string, opts ...Option) (*Outbox, error) {
	c, err := newConfig(opts)
	_, schemaErr := c.schemaFor(SQLite)
	if err := errors.Join(err, schemaErr); err != nil {
		return nil, err
	}
	db, err := riverdb.OpenSQLite(ctx, path)
	if err != nil {
		return nil, configError(err)
	}
	return open(ctx, db, c)
}

// NewPostgres makes an outbox of the database that pool connects to, and creates what is missing in the schema of
// [WithSchema]. The pool must allow at least 4 connections; it stays the caller's, who closes it after the Outbox.
//
// Errors of the options wrap [ErrConfig].
func NewPostgres(ctx context.Context, pool *pgxpool.Pool, opts ...Option) (*Outbox, error) {
	c, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	db, err := riverdb.NewPostgres(pool, c.schema)
	if err != nil {
		return nil, configError(err)
	}
	return open(ctx, db, c)
}

func configError(err error) error { return sqldb.WithSentinel(ErrConfig, "outbox", err) }

func open(ctx context.Context, db *riverdb.DB, c *config) (*Outbox, error) {
	o := &Outbox{config: *c, db: db, cache: newEndpointCache()}
	if err := o.prepare(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return o, nil
}

func (o *Outbox) prepare(ctx context.Context) error {
	if err := o.newSender(); err != nil {
		return err
	}
	if err := o.db.Prepare(ctx, module, migrations, o.setup); err != nil {
		return configError(err)
	}
	o.calls = newCallins(o)
	o.gate = newGate(o.workers, o.breaker, o.calls.add)
	o.loader = newBatcher(o.faults, inLoading, o.load)
	o.writer = newBatcher(o.faults, inRecording, o.save)
	workers := river.NewWorkers()
	var err error
	if err = river.AddWorkerSafely(workers, &worker{o: o}); err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	o.client, err = o.db.NewClient(&river.Config{
		Queues:                      map[string]river.QueueConfig{queueName: {MaxWorkers: o.jobs()}},
		Workers:                     workers,
		FetchCooldown:               fetchCooldown,
		FetchPollInterval:           fetchPollInterval,
		JobTimeout:                  o.jobTimeout(),
		RescueStuckJobsAfter:        o.rescueAfter(),
		SoftStopTimeout:             o.stopTimeout,
		CompletedJobRetentionPeriod: completedFor,
		CancelledJobRetentionPeriod: completedFor,
		DiscardedJobRetentionPeriod: completedFor,
		Logger:                      o.riverLogger(),
	})
	if err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	return nil
}

// jobs is how many jobs may be in hand at once: more than attempts, so that while some are on the network others are read,
// written down, or put back, and batches become large.
func (o *Outbox) jobs() int { return min(2*o.workers+100, river.QueueNumWorkersMax) }

// riverLogger passes on what River warns of.
func (o *Outbox) riverLogger() *slog.Logger { return slog.New(atLeastWarn{o.logger.Handler()}) }

type atLeastWarn struct{ slog.Handler }

func (h atLeastWarn) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}

func (h atLeastWarn) WithAttrs(attrs []slog.Attr) slog.Handler {
	return atLeastWarn{h.Handler.WithAttrs(attrs)}
}

func (h atLeastWarn) WithGroup(name string) slog.Handler {
	return atLeastWarn{h.Handler.WithGroup(name)}
}

// Start begins to deliver. ctx bounds only the start: what runs afterwards ends with [Outbox.Stop]. Publishing needs no Start:
// a process that only publishes leaves the deliveries to others on the same database. Starting twice is an error; after a Start
// that failed, because the database could not be reached or ctx had ended, it can be tried again.
func (o *Outbox) Start(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
		return ErrClosed
	case o.started:
		return errors.New("outbox: Start: it was started before; an Outbox starts once")
	case ctx.Err() != nil:
		return fmt.Errorf("outbox: Start: %w", context.Cause(ctx))
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	if err := o.startClient(ctx, run, cancel); err != nil {
		cancel()
		return fmt.Errorf("outbox: Start: %w", err)
	}
	o.started, o.stop = true, cancel
	o.tasks.Go(func() { o.faults.Run(run, inMaintenance, o.maintain) })
	o.tasks.Go(func() { o.faults.Run(run, inCallingBack, o.calls.run) })
	return nil
}

// startClient starts River, which runs as long as run does; the end of ctx cuts only the start short.
func (o *Outbox) startClient(ctx, run context.Context, cancel context.CancelFunc) error {
	inTime := context.AfterFunc(ctx, cancel)
	err := o.client.Start(run)
	if inTime() {
		return err
	}
	if err == nil { // it was up, and is on its way down
		<-o.client.Stopped()
	}
	return context.Cause(ctx)
}

// Stop ends delivering: nothing new is begun, attempts in flight may end within [WithStopTimeout], and those that have not are cut
// off and made again later, without counting. It returns when everything has ended, or with an error when ctx has. An Outbox that
// was stopped can still publish, and can't be started again.
func (o *Outbox) Stop(ctx context.Context) error {
	o.mu.Lock()
	started := o.started
	o.mu.Unlock()
	if !started {
		return nil
	}
	if err := o.client.Stop(ctx); err != nil {
		return fmt.Errorf("outbox: Stop: %w", err)
	}
	o.halt()
	return nil
}

// halt ends, after Start, everything that isn't River's.
func (o *Outbox) halt() {
	o.stop()
	o.tasks.Wait()
}

// Close stops delivering, if it was started, as [Outbox.Stop] does, and closes what [OpenSQLite] opened. It may be called more than
// once.
func (o *Outbox) Close() error {
	o.mu.Lock()
	closed := o.closed
	o.closed = true
	o.mu.Unlock()
	if closed {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), o.stopTimeout+10*time.Second)
	defer cancel()
	err := o.Stop(ctx)
	if err != nil { // jobs that don't end; nothing else may go on with a database that is closed
		o.halt()
	}
	o.sender.Close()
	return errors.Join(err, o.db.Close())
}

func (o *Outbox) open() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return ErrClosed
	}
	return nil
}
