package deployments

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/loglimit"
	"github.com/deployhook/deployhook/internal/nilable"
	"github.com/deployhook/deployhook/receiver"
)

// Defaults of the options.
const (
	// DefaultLedgerTimeout bounds each call to the [Ledger].
	DefaultLedgerTimeout = 5 * time.Second
	// DefaultLinkTimeout bounds the [Linker].
	DefaultLinkTimeout = 10 * time.Second
)

// ErrConfig is wrapped by every error of this package's constructors. The text
// names the option to change.
var ErrConfig = errors.New("deployments: invalid configuration")

func configError(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...)
}

// Option configures [New].
type Option interface {
	apply(*config)
}

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

type config struct {
	linker        Linker
	linkerGiven   bool
	environments  []string
	ledgerTimeout time.Duration
	linkTimeout   time.Duration
	maxBody       int64
	bodyTimeout   time.Duration
	logger        *slog.Logger
	limited       *slog.Logger // for lines that are not the receiver's
	nilLogger     bool
	observer      func(context.Context, receiver.Result)
	telemetry     func(source string) (receiver.Telemetry, error)
	contradicted  func(context.Context, Contradiction)

	decodeIncident IncidentDecoder
	problems       []error
	faults         *contain.Faults
}

// WithLinker sets the linker that counts the pull requests of a successful
// deployment. Default: none, and linkedPRs is 0. Nil is an error.
//
// The answer waits for the linker until [WithLinkTimeout], even if the linker
// does not end with its context. The linker then continues, but its result is
// ignored. A panic in it only costs the number, see [Endpoint.Faults].
func WithLinker(l Linker) Option {
	return optionFunc(func(c *config) { c.linker, c.linkerGiven = l, true })
}

// WithLinkedEnvironments sets the environments whose deployments are linked to
// pull requests. Upper and lower case matter. Default: "production". No names
// and empty names are errors.
func WithLinkedEnvironments(names ...string) Option {
	return optionFunc(func(c *config) { c.environments = slices.Clone(names) })
}

// WithLinkTimeout bounds how long the linker may take for each delivery. The
// sender waits that long for its answer. Default: 10 seconds
// ([DefaultLinkTimeout]). Zero is an error.
func WithLinkTimeout(d time.Duration) Option {
	return optionFunc(func(c *config) { c.linkTimeout = d })
}

// WithLedgerTimeout bounds each call to the ledger. A slower ledger counts as
// down, and the answer is 503. Default: 5 seconds ([DefaultLedgerTimeout]).
// Zero is an error.
func WithLedgerTimeout(d time.Duration) Option {
	return optionFunc(func(c *config) { c.ledgerTimeout = d })
}

// WithMaxBody sets the largest accepted body in bytes. Larger bodies are
// answered with 413. Default: 1 MiB ([receiver.DefaultMaxBody]). Zero is an
// error.
func WithMaxBody(bytes int64) Option {
	return optionFunc(func(c *config) { c.maxBody = bytes })
}

// WithBodyTimeout sets how long a sender may take to send its body. Slower
// senders are answered with 408. Default: 10 seconds
// ([receiver.DefaultBodyTimeout]). Zero is an error. See
// [receiver.WithBodyTimeout] for its requirements.
func WithBodyTimeout(d time.Duration) Option {
	return optionFunc(func(c *config) { c.bodyTimeout = d })
}

// WithLogger sets the logger for the one line per delivery. Default:
// [slog.Default]. Nil is an error. See [receiver.WithLogger] for the levels. A
// deployment that could not be linked has level Error.
func WithLogger(l *slog.Logger) Option {
	return optionFunc(func(c *config) { c.logger, c.nilLogger = l, l == nil })
}

// WithObserver sets a function that receives the result of every request after
// it was answered. Default: none. A nil function is an error. See
// [receiver.WithObserver].
func WithObserver(f func(context.Context, receiver.Result)) Option {
	return optionFunc(func(c *config) {
		if f == nil {
			c.problems = append(c.problems, configError("WithObserver: the function is nil; leave it out"))
		}
		c.observer = f
	})
}

// WithTelemetry sets what follows the requests. Default: none. A nil function
// is an error. See [receiver.WithTelemetry]. open gets "deployments" as the
// source, or "incidents" from [NewIncidents].
func WithTelemetry(open func(source string) (receiver.Telemetry, error)) Option {
	return optionFunc(func(c *config) {
		if open == nil {
			c.problems = append(c.problems, configError("WithTelemetry: the function is nil; leave it out"))
		}
		c.telemetry = open
	})
}

// WithContradictionHook sets a function that is called with each
// [Contradiction], after the delivery was recorded and before it is answered.
// Default: none. A nil function is an error. It must be safe for concurrent
// use.
//
// The answer waits for the function for at most 5 seconds. A panic in it is
// contained, see [Endpoint.Faults].
func WithContradictionHook(f func(context.Context, Contradiction)) Option {
	return optionFunc(func(c *config) {
		if f == nil {
			c.problems = append(c.problems, configError("WithContradictionHook: the function is nil; leave it out"))
		}
		c.contradicted = f
	})
}

func newConfig(opts []Option) (*config, error) {
	c := &config{
		environments: []string{"production"}, ledgerTimeout: DefaultLedgerTimeout, linkTimeout: DefaultLinkTimeout,
		maxBody: receiver.DefaultMaxBody, bodyTimeout: receiver.DefaultBodyTimeout,
	}
	var problems []error
	for _, o := range opts {
		if o == nil {
			problems = append(problems, configError("a nil Option was given; leave it out"))
			continue
		}
		o.apply(c)
	}
	if c.logger == nil {
		c.logger = slog.Default()
	}
	c.limited = loglimit.Limit(c.logger)
	c.faults = contain.New("deployments", c.logger.Handler())
	return c, errors.Join(append(append(problems, c.problems...), c.validate())...)
}

func (c *config) validate() error {
	var problems []error
	if c.nilLogger {
		problems = append(problems, configError("WithLogger: the logger is nil; leave it out"))
	}
	if c.linkerGiven && nilable.IsNil(c.linker) {
		problems = append(problems, configError("WithLinker: the linker is nil; check the error of its constructor, or leave the option out"))
	}
	if len(c.environments) == 0 || slices.Contains(c.environments, "") {
		problems = append(problems, configError("WithLinkedEnvironments: give at least one name, and no empty ones; to link nothing, leave WithLinker out"))
	}
	if c.linkTimeout <= 0 {
		problems = append(problems, configError("WithLinkTimeout(%v): want more than zero", c.linkTimeout))
	}
	if c.ledgerTimeout <= 0 {
		problems = append(problems, configError("WithLedgerTimeout(%v): want more than zero", c.ledgerTimeout))
	}
	if c.maxBody < 1 {
		problems = append(problems, configError("WithMaxBody(%d): want at least 1 byte", c.maxBody))
	}
	if c.bodyTimeout <= 0 {
		problems = append(problems, configError("WithBodyTimeout(%v): want more than zero", c.bodyTimeout))
	}
	return errors.Join(problems...)
}

// receiver returns the options of the underlying receiver. It has no dedupe
// store, because the ledger recognises repeated deployments.
func (c *config) receiver(source string) []receiver.Option {
	opts := []receiver.Option{
		receiver.InsecureNoDedupe(), receiver.WithMaxBody(c.maxBody), receiver.WithBodyTimeout(c.bodyTimeout),
		receiver.WithLogger(c.logger),
	}
	if c.observer != nil {
		opts = append(opts, receiver.WithObserver(c.observer))
	}
	if c.telemetry != nil {
		opts = append(opts, receiver.WithTelemetry(func(string) (receiver.Telemetry, error) { return c.telemetry(source) }))
	}
	return opts
}
