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
	"github.com/deployhook/deployhook/internal/nilable"
)

// Defaults of the options.
const (
	// DefaultMaxBody is the largest accepted body, in bytes.
	DefaultMaxBody = 1 << 20
	// DefaultBodyTimeout is how long a peer may take to send its body.
	DefaultBodyTimeout = 10 * time.Second
	// DefaultLease is how long a claim is held without renewal.
	DefaultLease = 30 * time.Second
	// DefaultStoreTimeout bounds each call to the dedupe store.
	DefaultStoreTimeout = 5 * time.Second

	minLease  = time.Second
	maxLease  = time.Hour
	maxSource = 255
)

// ErrConfig is wrapped by every error of [New] and [NewMux]. The text names the option at fault.
var ErrConfig = errors.New("receiver: invalid configuration")

// Option configures [New].
type Option interface {
	apply(*config)
}

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

type config struct {
	store        dedupe.Store
	source       string
	dedupeGiven  bool
	noDedupe     bool
	maxBody      int64
	bodyTimeout  time.Duration
	lease        time.Duration
	storeTimeout time.Duration
	logger       *slog.Logger
	observer     func(context.Context, Result)
	observed     bool
	faults       *contain.Faults
	content      content
	success      int // the status of what was handled
}

// WithDedupe sets the store that remembers deliveries, and the name of the source they come from: "github", "platform".
// Keys are scoped by that name and by the principal that verification returns, so that receivers can share a store
// and the same ID from two sources is two deliveries. There is no default: without this option or
// [InsecureNoDedupe] New returns an error.
//
// The store's TTL must be at least twice the tolerance of the verifier; otherwise a captured request could be replayed
// after it has been forgotten and while its timestamp still passes.
//
// A store that panics counts as down. The answer waits for the store, so a store
// must end its calls with their context, see [WithStoreTimeout].
func WithDedupe(store dedupe.Store, source string) Option {
	return optionFunc(func(c *config) { c.store, c.source, c.dedupeGiven = store, source, true })
}

// InsecureNoDedupe lets every authentic copy of a delivery through to the handler. Senders retry, so handlers will see
// the same delivery more than once, and whoever captures a request can replay it for as long as its timestamp
// passes, or for ever with a scheme that signs none. It is for handlers that deduplicate by themselves.
func InsecureNoDedupe() Option {
	return optionFunc(func(c *config) { c.noDedupe = true })
}

// WithMaxBody sets the largest accepted body in bytes; larger ones are answered with 413. Default 1 MiB
// ([DefaultMaxBody]). Zero is an error.
func WithMaxBody(bytes int64) Option {
	return optionFunc(func(c *config) { c.maxBody = bytes })
}

// WithBodyTimeout sets how long a peer may take to send its body; a slower one is answered with 408. Default 10 seconds
// ([DefaultBodyTimeout]). Zero is an error. It is enforced through [http.ResponseController], so a ResponseWriter that
// hides SetReadDeadline defeats it: that is logged as a warning, once. While the body is read it takes the place of
// http.Server.ReadTimeout.
func WithBodyTimeout(d time.Duration) Option {
	return optionFunc(func(c *config) { c.bodyTimeout = d })
}

// WithLease sets how long a claim holds without renewal. It bounds how long a delivery waits after the process that
// handled it has crashed; a handler may run longer, since its claim is renewed at every third of the lease. Default 30
// seconds ([DefaultLease]); from 1 second to 1 hour. Zero is an error.
func WithLease(d time.Duration) Option {
	return optionFunc(func(c *config) { c.lease = d })
}

// WithStoreTimeout bounds each call to the dedupe store; one that takes longer counts as down, and the answer is 503.
// Default 5 seconds ([DefaultStoreTimeout]). Zero is an error.
func WithStoreTimeout(d time.Duration) Option {
	return optionFunc(func(c *config) { c.storeTimeout = d })
}

// WithLogger sets where the one line per delivery goes: level Info for what was handled or is a duplicate, Warn for what
// was refused, Error for what failed on our side. Lines never contain a body, a signature or a secret. Default, and
// meaning of nil: [slog.Default].
//
// The answer is sent before the line is written, as with [WithObserver]. A panic in
// the logger's handler is contained.
func WithLogger(l *slog.Logger) Option {
	return optionFunc(func(c *config) { c.logger = l })
}

// WithObserver sets a function that is called with the result of every request: the place for metrics. Default none. A
// nil function is an error. It must be safe for concurrent use, and must not keep what it is given longer than the call.
//
// The answer is sent before the call, if the ResponseWriter can flush. The function
// runs on the request's goroutine, so one that hangs keeps that goroutine and, over
// HTTP/1.1, the connection. A panic in it is contained, see [Receiver.Faults].
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
	return c, c.validate()
}

func (c *config) validate() error {
	var problems []error
	if !c.dedupeGiven && !c.noDedupe {
		problems = append(problems, configError("no store: give WithDedupe (dedupe.NewMemory is the embedded one), or InsecureNoDedupe to go without"))
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
