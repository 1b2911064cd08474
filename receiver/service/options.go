package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

// Defaults of the options.
const (
	// DefaultDrain is the time between the signal and the end of the listener.
	DefaultDrain = 10 * time.Second
	// DefaultStopTimeout is how long handlers may run after the drain time.
	DefaultStopTimeout = 10 * time.Second
	// DefaultCheckTimeout bounds each check.
	DefaultCheckTimeout = 3 * time.Second
	// DefaultHeaderTimeout is how long a client may take to send its headers.
	DefaultHeaderTimeout = 5 * time.Second
	// DefaultReadTimeout is how long a client may take to send a whole request.
	DefaultReadTimeout = 30 * time.Second
)

// ErrConfig is wrapped by every error of [New]. The text names the option to
// change.
var ErrConfig = errors.New("service: invalid configuration")

// Option is an option of [New].
type Option interface {
	apply(*config)
}

type option func(*config)

func (o option) apply(c *config) { o(c) }

// check is one condition of readiness.
type check struct {
	name  string
	ready func(context.Context) error
}

type config struct {
	checks        []check
	logger        *slog.Logger
	drain         time.Duration
	stopTimeout   time.Duration
	checkTimeout  time.Duration
	headerTimeout time.Duration
	readTimeout   time.Duration
	live, ready   string

	openTelemetry  func(checks func(context.Context) []CheckResult) (io.Closer, error)
	telemetryGiven bool
}

// WithCheck adds a condition of readiness. name is for the log, such as
// "deliveries". ready returns nil if the service can do its work. The method
// Ready of a store fits. Default: none, and the service is ready while it runs.
// A nil function is an error, and so is an empty name.
//
// ready must return when its context ends. A panic in it counts as a failed
// check. While a call has not returned, there is no second one.
func WithCheck(name string, ready func(context.Context) error) Option {
	return option(func(c *config) { c.checks = append(c.checks, check{name, ready}) })
}

// WithLogger sets the logger. Default: [slog.Default]. Nil is an error.
//
//	level   lines
//	Info    the service stops, or is ready again
//	Warn    what the server of net/http reports, limited
//	Error   the service is not ready, limited, with the failed checks
func WithLogger(l *slog.Logger) Option {
	return option(func(c *config) { c.logger = l })
}

// WithDrain sets how long the service goes on serving after the signal, while
// it reports that it is not ready. Default: 10 seconds ([DefaultDrain]). With
// zero the listener closes at once.
func WithDrain(d time.Duration) Option {
	return option(func(c *config) { c.drain = d })
}

// WithStopTimeout sets how long handlers may continue after the drain time.
// Default: 10 seconds ([DefaultStopTimeout]). With zero they are aborted at
// once.
func WithStopTimeout(d time.Duration) Option {
	return option(func(c *config) { c.stopTimeout = d })
}

// WithCheckTimeout bounds each check of [WithCheck]. Default: 3 seconds
// ([DefaultCheckTimeout]). Zero is an error.
func WithCheckTimeout(d time.Duration) Option {
	return option(func(c *config) { c.checkTimeout = d })
}

// WithReadTimeouts sets how long a client may take to send its headers, and how
// long for the whole request. Default: 5 and 30 seconds
// ([DefaultHeaderTimeout], [DefaultReadTimeout]). Zero is an error, because
// connections without a time limit would stay open forever. A handler can set
// another limit for its body with [http.ResponseController].
func WithReadTimeouts(header, request time.Duration) Option {
	return option(func(c *config) { c.headerTimeout, c.readTimeout = header, request })
}

// WithHealthPaths sets the paths of liveness and readiness. Default: "/livez"
// and "/readyz". They must begin with a slash and differ. Requests for them do
// not reach the handler.
func WithHealthPaths(live, ready string) Option {
	return option(func(c *config) { c.live, c.ready = live, ready })
}

func newConfig(opts []Option) (*config, error) {
	c := &config{
		logger: slog.Default(), drain: DefaultDrain, stopTimeout: DefaultStopTimeout, checkTimeout: DefaultCheckTimeout,
		headerTimeout: DefaultHeaderTimeout, readTimeout: DefaultReadTimeout, live: "/livez", ready: "/readyz",
	}
	for _, o := range opts {
		if o == nil {
			return nil, configError("a nil Option was given; leave it out")
		}
		o.apply(c)
	}
	return c, c.validate()
}

func (c *config) validate() error {
	var problems []error
	refuse := func(wrong bool, format string, args ...any) {
		if wrong {
			problems = append(problems, configError(format, args...))
		}
	}
	refuse(c.logger == nil, "WithLogger: the logger is nil; leave it out")
	refuse(c.telemetryGiven && c.openTelemetry == nil, "WithTelemetry: the function is nil; leave it out")
	for _, check := range c.checks {
		refuse(check.name == "" || check.ready == nil, "WithCheck(%q): give a name and a function, such as the method Ready of a store", check.name)
	}
	refuse(c.drain < 0, "WithDrain(%v): want zero or more", c.drain)
	refuse(c.stopTimeout < 0, "WithStopTimeout(%v): want zero or more", c.stopTimeout)
	refuse(c.checkTimeout <= 0, "WithCheckTimeout(%v): want more than zero", c.checkTimeout)
	refuse(c.headerTimeout <= 0 || c.readTimeout < c.headerTimeout,
		"WithReadTimeouts(%v, %v): want more than zero, and the second not less than the first", c.headerTimeout, c.readTimeout)
	refuse(!strings.HasPrefix(c.live, "/") || !strings.HasPrefix(c.ready, "/") || c.live == c.ready,
		"WithHealthPaths(%q, %q): want two different paths that begin with a slash", c.live, c.ready)
	return errors.Join(problems...)
}

func configError(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...)
}
