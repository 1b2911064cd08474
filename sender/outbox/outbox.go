package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox/internal/admission"
)

// Outbox publishes events to endpoints, durably. Make it with [OpenSQLite] or
// [NewPostgres]. All methods are safe for concurrent use.
type Outbox struct {
	db            *jobdb.DB
	queue         *jobdb.Queue
	sender        *sender.Sender
	limiter       *admission.Limiter
	endpoints     *endpointStore
	rules         *rules
	publisher     *publisher
	ordering      *ordering
	worker        *worker
	health        *health
	waker         *waker
	replayer      *replayer
	retention     *retention
	feed          *feed
	notifier      *notifier
	stats         *statsCache
	follower      *follower
	faults        *contain.Faults
	maxEndpoints  int
	maintainEvery time.Duration
	stopTimeout   time.Duration
	jobs          jobdb.QueueConfig

	mu      sync.Mutex
	started bool
	closing chan struct{}      // made by the first Close, and closed when it is done
	stop    context.CancelFunc // ends the maintenance
	tasks   sync.WaitGroup
}

// OpenSQLite opens the outbox in the file at path, and creates what is missing.
// The directory must exist. Several processes may open the same file. Close
// closes it. An application's tables can be in the same file (see
// [App.PublishTx]), but those of another module can't.
//
// Lists and other calls that only read do not wait for those that write. A file
// that OpenSQLite creates returns the space of deleted rows to the file system
// (auto_vacuum=INCREMENTAL), and deleted rows are overwritten with zeros
// (secure_delete). A file that already has a database keeps its pragmas, apart
// from journal_mode=WAL.
//
// Errors of the options wrap [ErrConfig].
func OpenSQLite(ctx context.Context, path string, opts ...Option) (*Outbox, error) {
	c, err := newConfig(opts)
	_, schemaErr := c.schemaFor(SQLite)
	if err := errors.Join(err, schemaErr); err != nil {
		return nil, err
	}
	db, err := jobdb.OpenSQLite(ctx, path)
	if err != nil {
		return nil, configError(err)
	}
	return open(ctx, db, c)
}

// NewPostgres makes an outbox in the database of pool, and creates missing
// tables in the schema of [WithSchema]. The pool must allow at least 4
// connections. Start makes one more, which listens, unless [WithPolling] is
// given. The caller closes the pool after the Outbox.
//
// Errors of the options wrap [ErrConfig].
func NewPostgres(ctx context.Context, pool *pgxpool.Pool, opts ...Option) (*Outbox, error) {
	c, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	db, err := jobdb.NewPostgres(pool, c.schema)
	if err != nil {
		return nil, configError(err)
	}
	return open(ctx, db, c)
}

func configError(err error) error { return sqldb.WithSentinel(ErrConfig, "outbox", err) }

func open(ctx context.Context, db *jobdb.DB, c *config) (*Outbox, error) {
	var o *Outbox
	var err error
	if c.follower, err = newFollower(c); err == nil {
		o, err = assemble(ctx, db, c)
	}
	if err != nil {
		return nil, errors.Join(err, c.follower.close(), db.Close())
	}
	c.follower.begin(o)
	return o, nil
}

// assemble prepares the database and connects the parts of an Outbox.
func assemble(ctx context.Context, db *jobdb.DB, c *config) (*Outbox, error) {
	s, err := c.newSender()
	if err != nil {
		return nil, err
	}
	if err := db.Prepare(ctx, module, migrations, c.setup); err != nil {
		return nil, configError(err)
	}
	w := &worker{sender: s, scheduleLimit: c.scheduleLimit, concurrency: c.concurrency, faults: c.faults, follower: c.follower, logger: c.logger}
	queue := jobdb.NewQueue(db, jobTable, c.faults)
	o := &Outbox{
		db: db, queue: queue, sender: s, worker: w, faults: c.faults, follower: c.follower,
		maxEndpoints: c.maxEndpoints, maintainEvery: c.maintainEvery, stopTimeout: c.stopTimeout,
		limiter:   admission.New(admission.Config{Slots: c.workers, Breaker: c.breaker, PollInterval: jobdb.DefaultPollInterval}),
		endpoints: &endpointStore{db: db, keys: c.keys},
		rules:     &rules{sender: s, formats: c.formats, schedules: c.schedules, maxTimeout: c.maxTimeout},
		retention: &retention{
			db: db, feed: newFeed(db, c.faults), age: c.retention, deadAge: c.deadRetention, eventAge: c.eventRetention, bodyAge: c.bodyRetention,
			maxBytes: c.maxBytes, logger: c.logger,
		},
		notifier: &notifier{hook: c.hook, faults: c.faults},
	}
	o.jobs = jobdb.QueueConfig{
		Name: "outbox", Work: w.Work, AtOnce: c.jobs(), Timeout: c.jobTimeout(), Lease: c.lease(), StopTimeout: c.stopTimeout, Logger: c.logger,
	}
	o.feed = o.retention.feed
	o.stats = newStatsCache((&statsReader{db, MaxCount}).read, c.faults)
	o.ordering = &ordering{on: c.ordering, db: db, queue: queue}
	o.publisher = &publisher{db: db, queue: queue, rules: o.rules, breaker: c.breaker, supersede: c.supersede, ordering: o.ordering}
	o.waker = newWaker(db, queue, o.limiter, c.logger)
	o.replayer = &replayer{db: db, queue: queue, endpoints: o.endpoints, publisher: o.publisher, faults: c.faults, logger: c.logger, begun: make(chan struct{}, 1)}
	o.replayer.takeTurn = o.replayer.turn
	o.health = &health{db: db, endpoints: o.endpoints, publisher: o.publisher, disableAfter: c.disableAfter, logger: c.logger}
	w.loader = newLoader(db, c.supersede, c.ordering, c.faults)
	w.targets = &targets{endpoints: o.endpoints, rules: o.rules, logger: c.logger, byID: map[string]target{}}
	w.pace = newReplayPace(db, c.faults)
	w.recorder = newRecorder(db, queue, o.waker, o.ordering, c.faults)
	w.limiter, w.health, w.notifier = o.limiter, o.health, o.notifier
	return o, nil
}

// newSender makes the sender, which says how long an attempt may take. A job
// must outlast its attempt.
func (c *config) newSender() (*sender.Sender, error) {
	opts := append([]sender.Option{
		sender.WithLogger(c.logger), sender.WithMaxRetryAfter(DefaultMaxRetryAfter), sender.WithTimeout(min(sender.DefaultTimeout, c.maxTimeout)),
	}, slices.Concat(c.follower.option(), c.senderOptions)...)
	s, err := sender.New(opts...)
	if err != nil {
		return nil, fmt.Errorf("%w: WithSender: %w", ErrConfig, err)
	}
	if s.Timeout() > c.maxTimeout {
		return nil, fmt.Errorf("%w: WithSender: sender.WithTimeout(%v) is over the %v of WithMaxTimeout; lower the one or raise the other",
			ErrConfig, s.Timeout(), c.maxTimeout)
	}
	return s, nil
}

// jobs is the number of jobs that run at once. There are more jobs than
// attempts. While some are on the network, others are read, recorded or
// snoozed, and batches become large.
func (c *config) jobs() int { return 2*c.workers + 100 }

const (
	maintainEvery = time.Minute
	// forgetAfter is how long the limiter remembers an endpoint without
	// deliveries.
	forgetAfter = 10 * time.Minute
)

// Start begins to deliver. ctx bounds only the start. What runs afterwards ends
// with [Outbox.Stop]. Publishing needs no Start. A process that only publishes
// leaves the deliveries to others on the same database. Starting twice is an
// error. After a Start that failed, because the database could not be reached
// or ctx had ended, it can be tried again.
func (o *Outbox) Start(ctx context.Context) error {
	if err := o.open(); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closing != nil:
		return ErrClosed
	case o.started:
		return errors.New("outbox: Start: it was started before; an Outbox starts once")
	case ctx.Err() != nil:
		return fmt.Errorf("outbox: Start: %w", context.Cause(ctx))
	}
	if err := o.queue.Start(ctx, o.jobs); err != nil {
		return fmt.Errorf("outbox: Start: %w", err)
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	o.started, o.stop = true, cancel
	o.tasks.Go(func() { o.faults.Run(run, inMaintenance, o.maintain) })
	o.tasks.Go(func() { o.faults.Run(run, inReplaying, o.replayer.watch) })
	o.tasks.Go(func() { o.faults.Run(run, inWaking, o.waker.run) })
	o.tasks.Go(func() { o.faults.Run(run, inWaking, o.waker.watch) })
	return nil
}

// Stop ends delivering. No attempt begins, and attempts in flight may end
// within [WithStopTimeout]. Stop interrupts those that have not ended. They do
// not count and are made again later. Stop returns when everything has ended,
// or with an error when ctx has. An Outbox that was stopped can still publish,
// and can't be started again.
func (o *Outbox) Stop(ctx context.Context) error {
	if o == nil || o.db == nil {
		return errNotMade
	}
	o.mu.Lock()
	started := o.started
	o.mu.Unlock()
	if !started {
		return nil
	}
	if err := o.queue.Stop(ctx); err != nil {
		return fmt.Errorf("outbox: Stop: %w", err)
	}
	o.halt()
	return nil
}

// halt ends, after Start, everything except the queue.
func (o *Outbox) halt() {
	o.stop()
	o.tasks.Wait()
}

// Close stops delivering as [Outbox.Stop] does. It waits for attempts in
// flight, at most for [WithStopTimeout] and 10 seconds more. It closes the file
// that [OpenSQLite] opened, and leaves the pool of [NewPostgres] open. Other
// methods return [ErrClosed] afterwards.
//
// Closing again, or closing a nil or zero Outbox, does nothing. A Close that
// runs at the same time as another one waits until that is done.
func (o *Outbox) Close() error {
	if o == nil || o.db == nil {
		return nil
	}
	o.mu.Lock()
	other := o.closing
	if other == nil {
		o.closing = make(chan struct{})
		defer close(o.closing)
	}
	o.mu.Unlock()
	if other != nil {
		<-other
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), o.stopTimeout+10*time.Second)
	defer cancel()
	err := o.Stop(ctx)
	if err != nil { // jobs that don't end; nothing else may use a closed database
		o.halt()
	}
	o.stats.close()
	o.feed.close()
	return errors.Join(err, o.sender.Close(), o.follower.close(), o.db.Close())
}

// maintain does what is due about once a minute.
func (o *Outbox) maintain(ctx context.Context) {
	timer := time.NewTimer(jitter(o.maintainEvery))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		o.limiter.Sweep(forgetAfter)
		o.retention.maintain(ctx)
		timer.Reset(jitter(o.maintainEvery))
	}
}

var errNotMade = fmt.Errorf("%w: the Outbox is nil or zero; make it with OpenSQLite or NewPostgres and check its error", ErrConfig)

// open returns an error if the outbox was closed, or was not made.
func (o *Outbox) open() error {
	if o == nil || o.db == nil {
		return errNotMade
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closing != nil {
		return ErrClosed
	}
	return nil
}
