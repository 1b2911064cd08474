package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/contain/waits"
	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/loglimit"
	"github.com/deployhook/deployhook/internal/nilable"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox/internal/admission"
)

// Defaults of the options.
const (
	// DefaultWorkers is the number of attempts that a process makes at once.
	DefaultWorkers = 200
	// DefaultMaxEndpoints is the number of endpoints that an app can have.
	DefaultMaxEndpoints = 10
	// DefaultMaxConcurrency is the number of attempts to one endpoint that a
	// process makes at once.
	DefaultMaxConcurrency = 10
	// DefaultDisableAfter is how long an endpoint may fail before it is disabled.
	DefaultDisableAfter = 5 * 24 * time.Hour
	// DefaultRetention is how long finished deliveries are kept, and
	// DefaultDeadRetention how long dead letters are.
	DefaultRetention     = 30 * 24 * time.Hour
	DefaultDeadRetention = 90 * 24 * time.Hour
	// DefaultEventRetention is how long events are kept.
	DefaultEventRetention = 30 * 24 * time.Hour
	// DefaultBreakerThreshold is the number of consecutive failures that opens the
	// circuit breaker of an endpoint. It stays open for about DefaultBreakerPause
	// at first, twice as long each time, up to DefaultBreakerMaxPause.
	DefaultBreakerThreshold = 5
	DefaultBreakerPause     = 10 * time.Second
	DefaultBreakerMaxPause  = 5 * time.Minute
	// DefaultMaxRetryAfter is the longest wait that an endpoint can ask for.
	DefaultMaxRetryAfter = 6 * time.Hour
	// DefaultMaxTimeout is the longest timeout that an endpoint can have.
	DefaultMaxTimeout = 30 * time.Second
	// DefaultStopTimeout is how long [Outbox.Stop] waits for attempts in flight.
	DefaultStopTimeout = 20 * time.Second
)

const (
	// jobMargin is added to the timeout of an attempt for the waits of its job:
	// for a slot and for the database.
	jobMargin = 10 * time.Second
	maxSlots  = 5000
)

// Option configures [OpenSQLite] and [NewPostgres].
type Option interface {
	apply(*config)
}

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

type config struct {
	keys          *keyring
	senderOptions []sender.Option
	formats       map[string]sender.Format
	schedules     map[string]sender.Schedule
	schema        string
	setup         jobdb.Setup

	workers        int
	maxEndpoints   int
	concurrency    int
	breaker        admission.Breaker
	disableAfter   time.Duration
	supersede      bool
	ordering       bool
	retention      time.Duration
	deadRetention  time.Duration
	eventRetention time.Duration
	bodyRetention  time.Duration
	maxBytes       int64
	maxTimeout     time.Duration
	stopTimeout    time.Duration
	hook           func(context.Context, Notice)
	openTelemetry  func(stats func(context.Context) (Stats, error)) (Telemetry, error)
	follower       *follower // nil unless WithTelemetry is given
	logger         *slog.Logger
	faults         *contain.Faults
	maintainEvery  time.Duration
	scheduleLimit  time.Duration

	mistakes []error
}

func (c *config) mistake(option, format string, args ...any) {
	c.mistakes = append(c.mistakes, fmt.Errorf("%w: %s: %s", ErrConfig, option, fmt.Sprintf(format, args...)))
}

func newConfig(opts []Option) (*config, error) {
	c := applyOptions(opts)
	if c.keys == nil {
		c.mistake("WithSealingKeys", "is missing; endpoints' URLs and secrets are never stored in the clear, so give a key from NewSealingKey")
	}
	c.faults = contain.New("outbox", c.logger.Handler())
	c.logger = loglimit.Limit(c.faults.Logger())
	return c, errors.Join(c.mistakes...)
}

// applyOptions collects mistakes. It accepts that options are missing.
func applyOptions(opts []Option) *config {
	c := &config{
		formats: map[string]sender.Format{},
		schedules: map[string]sender.Schedule{
			SchedulePlatform: sender.Platform, ScheduleStandardWebhooks: sender.StandardWebhooks, ScheduleOnce: sender.Once,
		},
		schema: defaultSchema, workers: DefaultWorkers, maxEndpoints: DefaultMaxEndpoints, concurrency: DefaultMaxConcurrency,
		breaker:      admission.Breaker{Failures: DefaultBreakerThreshold, Pause: DefaultBreakerPause, MaxPause: DefaultBreakerMaxPause},
		disableAfter: DefaultDisableAfter, retention: DefaultRetention, deadRetention: DefaultDeadRetention,
		eventRetention: DefaultEventRetention,
		maxTimeout:     DefaultMaxTimeout, stopTimeout: DefaultStopTimeout, maintainEvery: maintainEvery, scheduleLimit: waits.Limit,
		logger: slog.Default(),
	}
	for _, o := range opts {
		if o == nil {
			c.mistake("Option", "an option is nil; leave it out")
			continue
		}
		o.apply(c)
	}
	return c
}

// Names of the schedules that always exist, see EndpointConfig.Schedule.
const (
	SchedulePlatform         = "platform"
	ScheduleStandardWebhooks = "standard_webhooks"
	ScheduleOnce             = "once"
)

// Names of the formats that always exist, see EndpointConfig.BodyFormat.
const (
	// FormatJSON is the event itself.
	FormatJSON = "json"
	// FormatEnvelope is the event in the body that Standard Webhooks recommends,
	// see package sender/envelope.
	FormatEnvelope = "envelope"
)

const defaultSchema = "deployhook_outbox"

// WithSealingKeys sets the keys that seal endpoints' URLs, headers, secrets and
// client certificates in the database. Required. New values are sealed with
// current. Values that were sealed with a previous key can still be opened. To
// change keys, give the new one as current and the old one as previous in every
// process, call [Outbox.ReSeal], and then leave the old one out.
func WithSealingKeys(current SealingKey, previous ...SealingKey) Option {
	return optionFunc(func(c *config) {
		keys, err := newKeyring(current, previous)
		if err != nil {
			c.mistake("WithSealingKeys", "%v", err)
			keys = &keyring{} // so that they do not count as missing
		}
		c.keys = keys
	})
}

// WithSender passes options to the sender that makes the attempts, such as the
// networks of the dial guard, certificate authorities and the longest body.
// Default: none, which allows only https to public addresses. Repeated options
// add up.
//
// Some options of the sender have another meaning here:
//
//   - A schedule is set with [WithSchedule] and EndpointConfig.Schedule
//     instead.
//   - Retry-After counts for up to 6 hours ([DefaultMaxRetryAfter]), unless
//     sender.WithMaxRetryAfter says otherwise.
//   - sender.WithTimeout is for endpoints without a timeout. One
//     over [WithMaxTimeout] is an error.
//   - sender.WithStopOnClientError makes such an answer the delivery's last.
//   - sender.WithDeliveryControl lets an answer disable the endpoint, and end
//     its delivery.
func WithSender(opts ...sender.Option) Option {
	return optionFunc(func(c *config) { c.senderOptions = append(c.senderOptions, opts...) })
}

// WithFormat registers a format under a name, for EndpointConfig.BodyFormat.
// Endpoints store the name, so every process that publishes must register the
// same formats. Default: only "json", the event itself, and "envelope", the
// event in a Standard Webhooks envelope. An empty name, nil and a name that is
// taken are errors.
func WithFormat(name string, f sender.Format) Option {
	return optionFunc(func(c *config) {
		_, taken := c.formats[name]
		if _, ok := builtin(name); !validName(name) || ok || taken || nilable.IsNil(f) {
			c.mistake("WithFormat", "%q: want a name of 1 to 64 lower-case letters, digits, _ and - that is not taken, and a format", name)
			return
		}
		c.formats[name] = f
	})
}

// WithSchedule registers a retry schedule under a name, for
// EndpointConfig.Schedule. Default: "platform", which is the default of
// endpoints, "standard_webhooks" and "once", see package sender. Those can be
// replaced. An empty name and nil are errors. A process that does not know an
// endpoint's schedule uses "platform".
//
// If a schedule panics or does not answer within 5 seconds, the attempt is
// recorded and "platform" says when the next one is due, see [Outbox.Faults].
//
// A schedule is made anew for every attempt, perhaps in another process. So it
// must not measure time itself. The MaxElapsedTime of an ExponentialBackOff of
// github.com/cenkalti/backoff counts from the delivery's first attempt since it
// was published or replayed, with all waits. That is 15 minutes by default.
func WithSchedule(name string, s sender.Schedule) Option {
	return optionFunc(func(c *config) {
		if !validName(name) || !answers(s) {
			c.mistake("WithSchedule", "%q: want a name of 1 to 64 lower-case letters, digits, _ and -, and a schedule that returns a BackOff", name)
			return
		}
		c.schedules = maps.Clone(c.schedules)
		c.schedules[name] = s
	})
}

// WithSchema sets the PostgreSQL schema of all tables. Default:
// "deployhook_outbox". An empty name is an error, as is the option for a SQLite
// file.
func WithSchema(name string) Option {
	return optionFunc(func(c *config) {
		if name == "" {
			c.mistake("WithSchema", "is empty; leave it out for %s", defaultSchema)
		}
		c.schema = name
	})
}

// WithoutMigration leaves the tables to the caller, see [Migrate] and
// [Migrations]. The constructor changes nothing, and fails with an error that
// wraps [ErrConfig] unless the tables are there and current. Default: off.
func WithoutMigration() Option {
	return optionFunc(func(c *config) { c.setup.WithoutMigration = true })
}

// WithPolling has the workers poll the tables instead of listening for
// PostgreSQL's notifications, which do not pass a pooler in transaction mode. A
// delivery then waits up to 200 ms for a worker. Default: off. The constructor
// fails if the connections go through a pooler and the option is missing. On
// SQLite it changes nothing.
func WithPolling() Option {
	return optionFunc(func(c *config) { c.setup.Polling = true })
}

// WithPreparedStatements says that a pooler between this process and PostgreSQL
// keeps prepared statements: PgBouncer 1.21 or later with
// max_prepared_statements, or any in session mode. Default: off. The
// constructor then fails if the connections go through a pooler and pgx would
// keep prepared statements on them. Add default_query_exec_mode=exec to the
// connection string to keep none. Without a pooler, and on SQLite, it changes
// nothing.
func WithPreparedStatements() Option {
	return optionFunc(func(c *config) { c.setup.PreparedStatements = true })
}

// WithDisableAfter sets how long an endpoint may fail, without one success,
// before it is disabled. Default: 5 days ([DefaultDisableAfter]). Zero never
// disables one for failing, but 410 still does. Negative is an error.
//
// Time without traffic is no evidence. After that time, an endpoint is disabled
// in two cases:
//
//   - A delivery uses up its attempts, and another one had done so at least a
//     tenth of the time earlier.
//   - An attempt fails, and others had failed in four fifths of the time.
func WithDisableAfter(d time.Duration) Option {
	return optionFunc(func(c *config) {
		if d < 0 {
			c.mistake("WithDisableAfter", "%v is negative; 0 turns it off", d)
		}
		c.disableAfter = d
	})
}

// WithSupersession drops an undelivered deploy.started, build.completed or
// health_check.passed if the deployment is over for the endpoint. That is so
// if the endpoint gets a terminal event of the deployment that is not older:
// deploy.live, deploy.failed or deploy.rolled_back. A terminal event that the
// endpoint's format can't express does not count. Terminal events and the
// platform's own types are never dropped. Default: off.
func WithSupersession() Option {
	return optionFunc(func(c *config) { c.supersede = true })
}

// WithRetention sets how long finished deliveries are kept, with their
// attempts. They are kept for age. If bytes is not zero, the oldest deliveries
// and events are deleted while all together have more bytes. Default: 30 days
// ([DefaultRetention]) and no limit in bytes. Age must be at least a minute.
// Dead letters and events have their own ages, [WithDeadRetention] and
// [WithEventRetention], but count for bytes.
func WithRetention(age time.Duration, bytes int64) Option {
	return optionFunc(func(c *config) {
		if age < time.Minute || bytes < 0 {
			c.mistake("WithRetention", "%v, %d: want at least a minute, and 0 or more bytes", age, bytes)
		}
		c.retention, c.maxBytes = age, bytes
	})
}

// WithDeadRetention sets how long dead letters are kept. Default: 90 days
// ([DefaultDeadRetention]), at least a minute.
func WithDeadRetention(age time.Duration) Option {
	return optionFunc(func(c *config) {
		if age < time.Minute {
			c.mistake("WithDeadRetention", "%v: want at least a minute", age)
		}
		c.deadRetention = age
	})
}

// WithEventRetention sets how long events are kept, whether or not an endpoint
// got them. For that time an event's ID is recognized ([WithEventID]), the
// event can be polled, and endpoints that missed it can get it. An event is
// also kept while one of its deliveries is. Default: 30 days
// ([DefaultEventRetention]), at least a minute.
func WithEventRetention(age time.Duration) Option {
	return optionFunc(func(c *config) {
		if age < time.Minute {
			c.mistake("WithEventRetention", "%v: want at least a minute", age)
		}
		c.eventRetention = age
	})
}

// WithBodyRetention deletes what events say after a time: their bodies, and the
// answers and headers in the log of attempts. What is left says that they
// existed, and when, where and how they were delivered. Such an event can't be
// replayed. A body that a pending delivery needs is kept. Default: 0, which
// keeps bodies as long as their events and deliveries. Negative is an error, as
// is less than a minute.
func WithBodyRetention(age time.Duration) Option {
	return optionFunc(func(c *config) {
		if age != 0 && age < time.Minute {
			c.mistake("WithBodyRetention", "%v: want at least a minute, or 0 for as long as the event", age)
		}
		c.bodyRetention = age
	})
}

// WithMaxTimeout bounds every attempt, EndpointConfig.Timeout and the sender's
// own timeout. Default: 30 s ([DefaultMaxTimeout]), at most 10 minutes. Zero is
// an error.
//
// If a process crashes, its attempts are made again 40 seconds after this
// timeout, or sooner if it is under 10 seconds.
func WithMaxTimeout(d time.Duration) Option {
	return optionFunc(func(c *config) {
		if d <= 0 || d > 10*time.Minute {
			c.mistake("WithMaxTimeout", "%v: want more than 0 and at most 10 minutes", d)
		}
		c.maxTimeout = d
	})
}

// jobTimeout is how long a job may run.
func (c *config) jobTimeout() time.Duration {
	return c.maxTimeout + min(jobMargin, max(c.maxTimeout, 2*time.Second))
}

// lease is how long after its claim another process assumes that the process of
// a job crashed. A worker may take 2*batchTimeout longer than its job, to
// record the attempt.
func (c *config) lease() time.Duration { return c.jobTimeout() + 2*batchTimeout }

// WithStopTimeout sets how long [Outbox.Stop] waits for attempts in flight. It
// then interrupts the others, which are made again later. Default:
// 20 s ([DefaultStopTimeout]). Zero is an error.
func WithStopTimeout(d time.Duration) Option {
	return optionFunc(func(c *config) {
		if d <= 0 {
			c.mistake("WithStopTimeout", "%v: want more than 0", d)
		}
		c.stopTimeout = d
	})
}

// WithHook sets a function that is told what happens: attempts, finished
// deliveries, and endpoints that fail, recover or are disabled. Default: none.
// Nil is an error. It must be safe for concurrent use.
//
// It runs after the change is committed. The worker waits for it, so a slow
// hook takes up one of [WithWorkers], and one that hangs takes it up until it
// returns. A panic in it is contained, see [Outbox.Faults].
func WithHook(hook func(context.Context, Notice)) Option {
	return optionFunc(func(c *config) {
		if hook == nil {
			c.mistake("WithHook", "the function is nil; leave it out")
		}
		c.hook = hook
	})
}

// WithLogger sets where troubles are logged, such as those of the database,
// endpoints that were disabled, and secrets that can't be unsealed. No line has
// a URL, a secret or a body. Default: [slog.Default]. Nil is an error.
//
// Warnings and errors are limited. Each kind has 20 lines at once and then one
// every 5 seconds, whose attribute left_out has the number of lines that were
// left out.
//
// The code that writes a line waits for the logger, so one that hangs stops
// that worker or background loop. A panic in its handler is contained, see
// [Outbox.Faults].
func WithLogger(l *slog.Logger) Option {
	return optionFunc(func(c *config) {
		if l == nil {
			c.mistake("WithLogger", "the logger is nil; leave it out")
			return
		}
		c.logger = l
	})
}

// validName reports whether s can name a format or a schedule.
func validName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
