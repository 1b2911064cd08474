package receiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/loglimit"
	"github.com/deployhook/deployhook/internal/nilable"
)

// Defaults of the options.
const (
	// DefaultMaxBody is the largest accepted body in bytes.
	DefaultMaxBody = 1 << 20
	// DefaultBodyTimeout is how long a sender may take to send its body.
	DefaultBodyTimeout = 10 * time.Second
	// DefaultLease is how long a claim is held without renewal.
	DefaultLease = 30 * time.Second
	// DefaultStoreTimeout bounds each call to the dedupe store.
	DefaultStoreTimeout = 5 * time.Second

	minLease  = time.Second
	maxLease  = time.Hour
	maxSource = 255
)

// ErrConfig is wrapped by every error of [New] and [NewMux]. The error text
// names the option to change.
var ErrConfig = errors.New("receiver: invalid configuration")

// Option is an option of [New].
type Option interface {
	apply(*config)
}

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

type config struct {
	store          dedupe.Store
	source         string
	dedupeGiven    bool
	noDedupe       bool
	maxBody        int64
	bodyTimeout    time.Duration
	lease          time.Duration
	storeTimeout   time.Duration
	logger         *slog.Logger
	nilLogger      bool
	observer       func(context.Context, Result)
	observed       bool
	openTelemetry  func(source string) (Telemetry, error)
	telemetryGiven bool
	telemetry      Telemetry // nil unless WithTelemetry is given
	faults         *contain.Faults
	lines          *loglimit.Limiter
	content        content
	envelope       bool
	success        int // status of a handled delivery
}

// WithDedupe sets the store that remembers deliveries and the name of their
// source, such as "github" or "platform". There is no default. New returns an
// error without this option or [InsecureNoDedupe].
//
// Keys are scoped by the source name and by the principal that verification
// returns. Receivers can therefore share a store, and the same ID from two
// sources is two deliveries.
//
// The store's TTL must be at least twice the verifier's tolerance. With a
// shorter TTL a captured request could be replayed after the store forgot it,
// while its timestamp is still accepted.
//
// A store that panics counts as down. The answer waits for the store, so a
// store must return when its context ends. See [WithStoreTimeout].
func WithDedupe(store dedupe.Store, source string) Option {
	return optionFunc(func(c *config) { c.store, c.source, c.dedupeGiven = store, source, true })
}

// InsecureNoDedupe passes every authentic copy of a delivery to the handler.
// Default: off, and [WithDedupe] is required. Use it only for handlers that
// deduplicate themselves. Senders retry, so handlers see the same delivery more
// than once. An attacker can replay a captured request while its timestamp is
// accepted, or forever if the scheme signs no timestamp.
func InsecureNoDedupe() Option {
	return optionFunc(func(c *config) { c.noDedupe = true })
}

// WithMaxBody sets the largest accepted body in bytes. Larger bodies are
// answered with 413. Default: 1 MiB ([DefaultMaxBody]). Zero is an error.
func WithMaxBody(bytes int64) Option {
	return optionFunc(func(c *config) { c.maxBody = bytes })
}

// WithBodyTimeout sets how long a sender may take to send its body. Slower
// senders are answered with 408. Default: 10 seconds ([DefaultBodyTimeout]).
// Zero is an error.
//
// The deadline is set with [http.ResponseController]. A ResponseWriter that
// hides SetReadDeadline disables it, and the receiver logs one warning. While
// the body is read the deadline replaces http.Server.ReadTimeout.
func WithBodyTimeout(d time.Duration) Option {
	return optionFunc(func(c *config) { c.bodyTimeout = d })
}

// WithLease sets how long a claim holds without renewal, from 1 second to 1
// hour. Default: 30 seconds ([DefaultLease]). Zero is an error.
//
// The lease bounds how long a delivery waits after the process handling it
// crashed. Handlers may run longer, because the claim is renewed at every third
// of the lease.
func WithLease(d time.Duration) Option {
	return optionFunc(func(c *config) { c.lease = d })
}

// WithStoreTimeout bounds each call to the dedupe store. A slower store counts
// as down and the answer is 503. Default: 5 seconds ([DefaultStoreTimeout]).
// Zero is an error.
func WithStoreTimeout(d time.Duration) Option {
	return optionFunc(func(c *config) { c.storeTimeout = d })
}

// WithLogger sets the logger for the one line per delivery. Default:
// [slog.Default]. Nil is an error.
//
//	level   deliveries
//	Info    handled, duplicate, ignored, or being handled by another instance
//	Warn    refused, by the receiver or with a 4xx of a wrapped handler
//	Error   failed on the receiving side
//
// Warnings and errors are limited, so a flood of refused requests does not fill
// the log. Each outcome has 20 lines at once and then one every 5 seconds,
// whose attribute left_out has the number of lines that were left out.
// [WithObserver] sees every request.
//
// Lines never contain a body, a signature or a secret. The answer is sent
// before the line is written, as with [WithObserver]. A panic in the logger's
// handler is contained.
func WithLogger(l *slog.Logger) Option {
	return optionFunc(func(c *config) { c.logger, c.nilLogger = l, l == nil })
}

// WithObserver sets a function that receives the result of every request, for
// metrics. Default: none. A nil function is an error. It must be safe for
// concurrent use, and must not keep the result after it returns.
//
// The answer is sent before the call if the ResponseWriter can flush. The
// function runs on the request's goroutine. If it hangs, it keeps that
// goroutine and, over HTTP/1.1, the connection. A panic in it is contained, see
// [Receiver.Faults].
func WithObserver(f func(context.Context, Result)) Option {
	return optionFunc(func(c *config) { c.observer, c.observed = f, true })
}

func newConfig(opts []Option) (*config, error) {
	c := &config{
		maxBody: DefaultMaxBody, bodyTimeout: DefaultBodyTimeout, lease: DefaultLease, storeTimeout: DefaultStoreTimeout,
		success: http.StatusOK,
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
	c.faults = contain.New("receiver", c.logger.Handler())
	c.logger = c.faults.InlineLogger()
	c.lines = loglimit.Default()
	return c, c.validate()
}

func (c *config) validate() error {
	var problems []error
	if !c.dedupeGiven && !c.noDedupe {
		problems = append(problems, configError("no store: give WithDedupe (dedupe.NewMemory is the embedded one), or InsecureNoDedupe to go without"))
	}
	if c.nilLogger {
		problems = append(problems, configError("WithLogger: the logger is nil; leave it out"))
	}
	if c.dedupeGiven && c.noDedupe {
		problems = append(problems, configError("WithDedupe and InsecureNoDedupe exclude each other; leave one out"))
	}
	if c.dedupeGiven && nilable.IsNil(c.store) {
		problems = append(problems, configError("WithDedupe: the store is nil; check the error of its constructor"))
	}
	if c.dedupeGiven && (c.source == "" || len(c.source) > maxSource) {
		problems = append(problems, configError("WithDedupe: the source needs a name of 1 to %d bytes, such as the sending system's", maxSource))
	}
	if c.observed && c.observer == nil {
		problems = append(problems, configError("WithObserver: the function is nil; leave it out"))
	}
	if c.maxBody < 1 {
		problems = append(problems, configError("WithMaxBody(%d): want at least 1 byte", c.maxBody))
	}
	if c.bodyTimeout <= 0 {
		problems = append(problems, configError("WithBodyTimeout(%v): want more than zero", c.bodyTimeout))
	}
	if c.lease < minLease || c.lease > maxLease {
		problems = append(problems, configError("WithLease(%v): want %v to %v", c.lease, minLease, maxLease))
	}
	if c.storeTimeout <= 0 {
		problems = append(problems, configError("WithStoreTimeout(%v): want more than zero", c.storeTimeout))
	}
	return errors.Join(append(problems, c.content.validate())...)
}

func configError(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...)
}
