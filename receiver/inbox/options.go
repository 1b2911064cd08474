package inbox

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/contain/waits"
	"github.com/deployhook/deployhook/internal/riverdb"
	"github.com/deployhook/deployhook/internal/timemath"
)

// Defaults of the options.
const (
	DefaultWorkers        = 20
	DefaultMaxAttempts    = 10
	DefaultHandlerTimeout = 30 * time.Second
	DefaultRescueAfter    = 30 * time.Second
	DefaultStopTimeout    = 10 * time.Second
	DefaultStoreTimeout   = 5 * time.Second
	DefaultRetention      = 48 * time.Hour
	DefaultMaxBacklog     = 100_000
	DefaultSchema         = "deployhook_inbox"

	minRetention = time.Minute
	minRescue    = time.Second
	maxWorkers   = 1000
	maxAttempts  = 1000
	maxTimeout   = 24 * time.Hour
)

// Option configures [OpenSQLite] and [NewPostgres].
type Option interface {
	apply(*config)
}

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

type config struct {
	workers        int
	maxAttempts    int
	schedule       func() backoff.BackOff
	handlerTimeout time.Duration
	rescueAfter    time.Duration
	stopTimeout    time.Duration
	storeTimeout   time.Duration
	retention      time.Duration
	deadRetention  time.Duration // 0: for ever
	maxBacklog     int
	ordering       bool
	schema         string
	setup          riverdb.Setup
	logger         *slog.Logger
	observer       func(context.Context, Result)
	observerGiven  bool
	scheduleLimit  time.Duration // for the application's schedule to answer
	faults         *contain.Faults
}

// WithWorkers sets how many deliveries this process handles at a time. Default 20 ([DefaultWorkers]); from 1 to 1000.
// Zero is an error; a process that only stores does not call [Inbox.Start].
func WithWorkers(n int) Option {
	return optionFunc(func(c *config) { c.workers = n })
}

// WithMaxAttempts sets how many attempts a delivery gets before it is a dead letter. Default 10 ([DefaultMaxAttempts]);
// from 1 to 1000. Zero is an error. Attempts that ended because the process stopped or crashed do not count.
func WithMaxAttempts(n int) Option {
	return optionFunc(func(c *config) { c.maxAttempts = n })
}

// WithRetrySchedule sets the waits between attempts: schedule returns a fresh BackOff, of which each NextBackOff is one
// wait, and backoff.Stop means that there is no further attempt. It must be safe for concurrent use. Default
// [RetrySchedule]. nil is an error. Waits over 5 seconds end up to 5 seconds late.
//
// Where the schedule panics, or does not answer within 5 seconds, the attempt
// counts and RetrySchedule says when the next one is due, see [Inbox.Faults].
func WithRetrySchedule(schedule func() backoff.BackOff) Option {
	return optionFunc(func(c *config) { c.schedule = schedule })
}

// WithHandlerTimeout sets when the context of a handler ends, and its attempt counts as failed. Default 30 seconds
// ([DefaultHandlerTimeout]); at most 24 hours. Zero is an error. A handler that goes on all the same keeps its worker.
func WithHandlerTimeout(d time.Duration) Option {
	return optionFunc(func(c *config) { c.handlerTimeout = d })
}

// WithRescueAfter sets how long after its handler's time is up a delivery is taken up again whose process has died; up to
// 30 seconds more pass until somebody looks. With [WithOrdering] it is also how long a dead process holds up the other
// events of a deployment. Default 30 seconds ([DefaultRescueAfter]), at least 1 second.
func WithRescueAfter(d time.Duration) Option {
	return optionFunc(func(c *config) { c.rescueAfter = d })
}

// WithStopTimeout sets how long handlers may go on after [Inbox.Stop] before their contexts end. Default 10 seconds
// ([DefaultStopTimeout]). Zero is an error.
func WithStopTimeout(d time.Duration) Option {
	return optionFunc(func(c *config) { c.stopTimeout = d })
}

// WithStoreTimeout bounds how long a peer waits for its delivery to be stored; after that it gets 503. It also bounds each
// of the workers' own calls to the database. Default 5 seconds ([DefaultStoreTimeout]). Zero is an error.
func WithStoreTimeout(d time.Duration) Option {
	return optionFunc(func(c *config) { c.storeTimeout = d })
}

// WithRetention sets how long a delivery is kept, and its copies are recognised, after it was handled or superseded.
// Default 48 hours ([DefaultRetention]), at least 1 minute; it must be at least twice the tolerance of each verifier given to
// [Inbox.Handler], or a captured request could be replayed. It should outlast the sender's last retry.
func WithRetention(d time.Duration) Option {
	return optionFunc(func(c *config) { c.retention = d })
}

// WithDeadRetention sets how long a dead letter is kept. Default, and meaning of zero: until it is replayed and handled. It
// must not be less than [WithRetention].
func WithDeadRetention(d time.Duration) Option {
	return optionFunc(func(c *config) { c.deadRetention = d })
}

// WithMaxBacklog sets how many deliveries may wait to be handled; while there are more, peers get 503 and try again
// later. Default 100,000 ([DefaultMaxBacklog]), at least 1.
//
// The number is looked up once a second. What this process stores is counted in
// between, so other processes can exceed the limit by what they store in a second.
// Up to a limit of 1000 the number is also looked up before a delivery is turned
// away. Above that, deliveries may be turned away for up to 250 ms after others were
// handled.
func WithMaxBacklog(n int) Option {
	return optionFunc(func(c *config) { c.maxBacklog = n })
}

// WithOrdering makes the events of one deployment (of one source and principal) land in order: never two of them are
// handled at a time, in whichever process, and one that is older than what has landed is [Superseded] and
// not handled. Events of different deployments run side by side as before. Default off.
//
// Older means what [payload.Status.Transition] calls stale, and within one status, or where an event has none, an earlier
// timestamp than that of anything that has landed. An event that contradicts what has landed is a dead letter
// with [ErrContradiction]. An event that fails and waits for its next attempt holds nobody up.
func WithOrdering() Option {
	return optionFunc(func(c *config) { c.ordering = true })
}

// WithSchema sets the PostgreSQL schema that the inbox's tables, and its own River's, are in. Default "deployhook_inbox"
// ([DefaultSchema]). It is created where it is missing. Two inboxes with different handlers need a schema each. On
// SQLite, where a file is one inbox, it is an error.
func WithSchema(name string) Option {
	return optionFunc(func(c *config) { c.schema = name })
}

// WithoutMigration leaves the tables to the caller, see [Migrate] and
// [Migrations]. The constructor changes nothing, and fails with an error that
// wraps [ErrConfig] unless the tables are there and current. Default off.
func WithoutMigration() Option {
	return optionFunc(func(c *config) { c.setup.WithoutMigration = true })
}

// WithPolling has the workers poll the tables instead of listening for PostgreSQL's
// notifications, which do not pass a pooler in transaction mode. A delivery then waits
// up to 200 ms for a worker.
// Default off. The constructor fails if the connections go
// through a pooler and the option is missing. On SQLite it changes nothing.
func WithPolling() Option {
	return optionFunc(func(c *config) { c.setup.Polling = true })
}

// WithPreparedStatements says that a pooler between this process and PostgreSQL
// keeps prepared statements: PgBouncer 1.21 or later with max_prepared_statements,
// or any in session mode. Default off. The constructor then fails if the
// connections go through a pooler and pgx would keep prepared statements on them.
// Add default_query_exec_mode=exec to the connection string to keep none. Without
// a pooler, and on SQLite, it changes nothing.
func WithPreparedStatements() Option {
	return optionFunc(func(c *config) { c.setup.PreparedStatements = true })
}

// WithLogger sets where lines about attempts go: Debug for what was handled or superseded, Warn for an attempt that will be
// repeated, Error for a dead letter and for trouble with the database. They contain the handler's error, never a body. Default,
// and meaning of nil: [slog.Default].
//
// A result is on record before its line. Whatever writes a line waits for the
// logger, so one that hangs keeps workers, [Inbox.Start] and [Inbox.Stop] waiting. A
// panic in its handler is contained, see [Inbox.Faults].
func WithLogger(l *slog.Logger) Option {
	return optionFunc(func(c *config) { c.logger = l })
}

// WithObserver sets a function that is called after every attempt, and for every
// delivery that is superseded or found dead without one. It is the place for
// metrics. Default none. A nil function is an error.
//
// The result is on record before the call. The worker waits for the function, so a
// slow one keeps a worker busy, and one that hangs keeps it until it returns. It
// must be safe for concurrent use. A panic in it is contained, see [Inbox.Faults].
func WithObserver(f func(context.Context, Result)) Option {
	return optionFunc(func(c *config) { c.observer, c.observerGiven = f, true })
}

func newConfig(opts []Option) (*config, error) {
	c := &config{
		workers: DefaultWorkers, maxAttempts: DefaultMaxAttempts, schedule: RetrySchedule,
		handlerTimeout: DefaultHandlerTimeout, rescueAfter: DefaultRescueAfter, stopTimeout: DefaultStopTimeout,
		storeTimeout: DefaultStoreTimeout, retention: DefaultRetention, maxBacklog: DefaultMaxBacklog,
		scheduleLimit: waits.Limit,
	}
	for _, o := range opts {
		if o == nil {
			return nil, configError("a nil Option was given; leave it out")
		}
		o.apply(c)
	}
	if c.logger == nil {
		c.logger = slog.Default()
	}
	c.faults = contain.New("inbox", c.logger.Handler())
	c.logger = c.faults.Logger()
	return c, c.validate()
}

func (c *config) validate() error {
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, configError(format, args...))
		}
	}
	check(c.workers >= 1 && c.workers <= maxWorkers, "WithWorkers(%d): want 1 to %d", c.workers, maxWorkers)
	check(c.maxAttempts >= 1 && c.maxAttempts <= maxAttempts, "WithMaxAttempts(%d): want 1 to %d", c.maxAttempts, maxAttempts)
	check(c.schedule != nil, "WithRetrySchedule: the schedule is nil; leave the option out for the default")
	check(c.handlerTimeout > 0 && c.handlerTimeout <= maxTimeout, "WithHandlerTimeout(%v): want more than 0 and at most %v", c.handlerTimeout, maxTimeout)
	check(c.rescueAfter >= minRescue, "WithRescueAfter(%v): want at least %v", c.rescueAfter, minRescue)
	check(c.stopTimeout > 0, "WithStopTimeout(%v): want more than zero", c.stopTimeout)
	check(c.storeTimeout > 0, "WithStoreTimeout(%v): want more than zero", c.storeTimeout)
	check(c.retention >= minRetention, "WithRetention(%v): want at least %v, and twice the verifiers' tolerance", c.retention, minRetention)
	check(c.deadRetention == 0 || c.deadRetention >= c.retention, "WithDeadRetention(%v): want at least the retention of %v, or 0 to keep dead letters", c.deadRetention, c.retention)
	check(!c.observerGiven || c.observer != nil, "WithObserver: the function is nil; leave it out")
	check(c.maxBacklog >= 1, "WithMaxBacklog(%d): want at least 1", c.maxBacklog)
	return errors.Join(problems...)
}

// jobTimeout is when River considers a worker to be overdue. With an order a worker may handle others' events first.
func (c *config) jobTimeout() time.Duration {
	handlers := c.handlerTimeout
	if c.ordering {
		handlers *= 2
	}
	return timemath.Add(handlers, c.rescueAfter/2)
}

// RetrySchedule is the default of [WithRetrySchedule]: waits of 5 s, 15 s, 45 s, 2 min, 7 min, 20 min and then an hour each, a
// quarter more or less at random so that what failed together does not return together. With 10 attempts they add up to about
// 4 hours.
func RetrySchedule() backoff.BackOff { return &tripling{} }

type tripling struct{ next time.Duration }

func (b *tripling) Reset() { b.next = 0 }

func (b *tripling) NextBackOff() time.Duration {
	if b.next == 0 {
		b.next = 5 * time.Second
	}
	wait := b.next
	b.next = min(b.next*3, time.Hour)
	return wait*3/4 + rand.N(wait/2+1)
}
