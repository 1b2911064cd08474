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
	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/loglimit"
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
	deadRetention  time.Duration // 0: forever
	schemaGiven    bool
	deadGiven      bool
	maxBacklog     int
	ordering       bool
	schema         string
	setup          jobdb.Setup
	logger         *slog.Logger
	nilLogger      bool
	observer       func(context.Context, Result)
	observerGiven  bool
	openTelemetry  func(backlog func(context.Context) (Backlog, error)) (Telemetry, error)
	telemetryGiven bool
	telemetry      Telemetry     // nil unless WithTelemetry is given
	scheduleLimit  time.Duration // how long the application's schedule may take
	faults         *contain.Faults
}

// WithWorkers sets how many deliveries this process handles at a time, from 1
// to 1000. Default: 20 ([DefaultWorkers]). Zero is an error. In a process that
// only stores deliveries, do not call [Inbox.Start].
func WithWorkers(n int) Option {
	return optionFunc(func(c *config) { c.workers = n })
}

// WithMaxAttempts sets how many attempts a delivery gets before it becomes a
// dead letter, from 1 to 1000. Default: 10 ([DefaultMaxAttempts]). Zero is an
// error. Attempts that ended because the process stopped or crashed do not
// count.
func WithMaxAttempts(n int) Option {
	return optionFunc(func(c *config) { c.maxAttempts = n })
}

// WithRetrySchedule sets the waits between attempts. Default: [RetrySchedule].
// nil is an error.
//
// schedule returns a new BackOff for each delivery's waits. Each NextBackOff is
// one wait, and backoff.Stop ends the attempts. schedule must be safe for
// concurrent use. Waits may end up to 200 ms late.
//
// If the schedule panics or takes longer than 5 seconds, the attempt counts and
// RetrySchedule sets the wait. See [Inbox.Faults].
func WithRetrySchedule(schedule func() backoff.BackOff) Option {
	return optionFunc(func(c *config) { c.schedule = schedule })
}

// WithHandlerTimeout sets how long a handler may run, at most 24 hours.
// Default: 30 seconds ([DefaultHandlerTimeout]). Zero is an error. After this
// time the handler's context ends and the attempt fails. A handler that does
// not return keeps its worker.
func WithHandlerTimeout(d time.Duration) Option {
	return optionFunc(func(c *config) { c.handlerTimeout = d })
}

// WithRescueAfter sets how long after the handler timeout a delivery is retried
// if its process died, at least 1 second. Default: 30 seconds
// ([DefaultRescueAfter]). So with the defaults the retry starts 60 seconds
// after the attempt began.
//
// With [WithOrdering] the retry waits for twice the handler timeout, since a
// worker may first handle other events of the deployment. WithRescueAfter is
// then also how long a dead process delays the other events of its deployment.
func WithRescueAfter(d time.Duration) Option {
	return optionFunc(func(c *config) { c.rescueAfter = d })
}

// WithStopTimeout sets how long handlers may continue after [Inbox.Stop] before
// their contexts end. Default: 10 seconds ([DefaultStopTimeout]). Zero is an
// error.
func WithStopTimeout(d time.Duration) Option {
	return optionFunc(func(c *config) { c.stopTimeout = d })
}

// WithStoreTimeout bounds how long a sender waits for its delivery to be
// stored, and each database call of a worker. A slower store is answered with
// 503. Default: 5 seconds ([DefaultStoreTimeout]). Zero is an error.
func WithStoreTimeout(d time.Duration) Option {
	return optionFunc(func(c *config) { c.storeTimeout = d })
}

// WithRetention sets how long a handled or superseded delivery is kept and its
// copies are recognised, at least 1 minute. Default: 48 hours
// ([DefaultRetention]).
//
// It must be at least twice the tolerance of each verifier passed to
// [Inbox.Handler]. Otherwise a captured request could be replayed. It should be
// longer than the sender's retries.
func WithRetention(d time.Duration) Option {
	return optionFunc(func(c *config) { c.retention = d })
}

// WithDeadRetention sets how long a dead letter is kept, at least
// [WithRetention]. Default: until it is replayed and handled. Zero is an error.
func WithDeadRetention(d time.Duration) Option {
	return optionFunc(func(c *config) { c.deadRetention, c.deadGiven = d, true })
}

// WithMaxBacklog sets how many deliveries may be pending, at least 1. Default:
// 100,000 ([DefaultMaxBacklog]). At the limit senders get 503 and try again
// later.
//
// The pending deliveries are counted once a second. Between two counts each
// process adds only what it stored itself. Several processes can therefore
// exceed the limit by what they store in a second.
//
//	limit        counted again           needless refusals
//	up to 1000   before every refusal    none
//	above        at most every 250 ms    for up to 250 ms after others finished
func WithMaxBacklog(n int) Option {
	return optionFunc(func(c *config) { c.maxBacklog = n })
}

// WithOrdering handles the events of each deployment in order and one at a
// time, across all processes. Default: off. A deployment is identified by
// source, principal, app and deployment ID. Different deployments are still
// handled concurrently.
//
//	event                                      result
//	stale (payload.Status.Transition)          Superseded, not handled
//	same or no status, earlier timestamp       Superseded, not handled
//	contradicts the status that was reached    Dead with ErrContradiction
//	failed, waiting for its next attempt       delays no other event
//
// For example, in_progress that arrives after success is superseded.
func WithOrdering() Option {
	return optionFunc(func(c *config) { c.ordering = true })
}

// WithSchema sets the PostgreSQL schema for the inbox's tables. Default:
// "deployhook_inbox" ([DefaultSchema]). The empty name is an error. A missing
// schema is created. Inboxes with different handlers need different schemas. On
// SQLite the option is an error, because each inbox has its own file.
func WithSchema(name string) Option {
	return optionFunc(func(c *config) { c.schema, c.schemaGiven = name, true })
}

// WithoutMigration leaves the tables to the caller, see [Migrate] and
// [Migrations]. Default: off. The constructor then changes nothing. If the
// tables are missing or outdated, it returns an error that wraps [ErrConfig].
func WithoutMigration() Option {
	return optionFunc(func(c *config) { c.setup.WithoutMigration = true })
}

// WithPolling makes the workers poll the tables instead of listening for
// PostgreSQL's notifications. Notifications do not pass a pooler in transaction
// mode. A delivery then waits up to 200 ms for a worker. Default: off. Without
// this option the constructor fails if the connections go through a pooler. On
// SQLite it has no effect.
func WithPolling() Option {
	return optionFunc(func(c *config) { c.setup.Polling = true })
}

// WithPreparedStatements declares that the pooler in front of PostgreSQL keeps
// prepared statements. Default: off.
//
//	pooler                             what to set
//	PgBouncer 1.21 or later with       this option
//	  max_prepared_statements
//	any pooler in session mode         this option
//	other poolers                      default_query_exec_mode=exec in the
//	                                   connection string
//
// With neither setting, the constructor fails if the connections go through a
// pooler. Without a pooler and on SQLite the option has no effect.
func WithPreparedStatements() Option {
	return optionFunc(func(c *config) { c.setup.PreparedStatements = true })
}

// WithLogger sets the logger for lines about attempts. Default: [slog.Default].
// Nil is an error.
//
//	level   lines
//	Debug   delivery handled or superseded
//	Warn    attempt that will be repeated, and trouble of the database
//	Error   dead letter
//
// Warnings and errors are limited. Each kind has 20 lines at once and then one
// every 5 seconds, whose attribute left_out has the number of lines that were
// left out.
//
// Lines contain the handler's error, but never a body. A result is stored
// before its line is written. Code that logs waits for the logger. A logger
// that hangs therefore blocks workers, [Inbox.Start] and [Inbox.Stop]. A panic
// in it is contained, see [Inbox.Faults].
func WithLogger(l *slog.Logger) Option {
	return optionFunc(func(c *config) { c.logger, c.nilLogger = l, l == nil })
}

// WithObserver sets a function that is called after every attempt, for metrics.
// It is also called for a delivery that becomes superseded or dead without an
// attempt. Default: none. A nil function is an error. It must be safe for
// concurrent use.
//
// The result is stored before the call. The worker waits for the function, so a
// slow observer keeps its worker busy and a hanging one blocks it. A panic in
// it is contained, see [Inbox.Faults].
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
	c.logger = loglimit.Limit(c.faults.Logger())
	return c, c.validate()
}

func (c *config) validate() error {
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, configError(format, args...))
		}
	}
	check(!c.nilLogger, "WithLogger: the logger is nil; leave it out")
	check(c.workers >= 1 && c.workers <= maxWorkers, "WithWorkers(%d): want 1 to %d", c.workers, maxWorkers)
	check(c.maxAttempts >= 1 && c.maxAttempts <= maxAttempts, "WithMaxAttempts(%d): want 1 to %d", c.maxAttempts, maxAttempts)
	check(c.schedule != nil, "WithRetrySchedule: the schedule is nil; leave the option out for the default")
	check(c.handlerTimeout > 0 && c.handlerTimeout <= maxTimeout, "WithHandlerTimeout(%v): want more than 0 and at most %v", c.handlerTimeout, maxTimeout)
	check(c.rescueAfter >= minRescue, "WithRescueAfter(%v): want at least %v", c.rescueAfter, minRescue)
	check(c.stopTimeout > 0, "WithStopTimeout(%v): want more than zero", c.stopTimeout)
	check(c.storeTimeout > 0, "WithStoreTimeout(%v): want more than zero", c.storeTimeout)
	check(c.retention >= minRetention, "WithRetention(%v): want at least %v, and twice the verifiers' tolerance", c.retention, minRetention)
	check(!c.deadGiven || c.deadRetention >= c.retention, "WithDeadRetention(%v): want at least the retention of %v; leave it out to keep dead letters", c.deadRetention, c.retention)
	check(!c.observerGiven || c.observer != nil, "WithObserver: the function is nil; leave it out")
	check(!c.telemetryGiven || c.openTelemetry != nil, "WithTelemetry: the function is nil; leave it out")
	check(c.maxBacklog >= 1, "WithMaxBacklog(%d): want at least 1", c.maxBacklog)
	return errors.Join(problems...)
}

// jobs configures the queue. A job that has ended its timeout still has time to
// store its result, before its lease ends and another process runs it.
func (in *Inbox) jobs() jobdb.QueueConfig {
	return jobdb.QueueConfig{
		Name: module, Work: in.runJob, AtOnce: in.workers, Timeout: in.jobTimeout(), Lease: in.jobLease(),
		StopTimeout: in.stopTimeout, Logger: in.logger,
	}
}

// jobLease is how long after its claim a job of a dead process runs again.
func (c *config) jobLease() time.Duration { return timemath.Add(c.jobTimeout(), c.rescueAfter/2) }

// jobTimeout is how long a worker may take for a job. With ordering it may
// handle other events of the deployment first.
func (c *config) jobTimeout() time.Duration {
	handlers := c.handlerTimeout
	if c.ordering {
		handlers *= 2
	}
	return timemath.Add(handlers, c.rescueAfter/2)
}

// RetrySchedule is the default of [WithRetrySchedule]. Each wait varies
// randomly by a quarter, so that deliveries which failed together are not
// retried together. With 10 attempts the waits add up to about 3.5 hours.
//
//	after attempt   1     2      3      4       5       6        7 and later
//	wait            5 s   15 s   45 s   2 min   7 min   20 min   1 h
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
