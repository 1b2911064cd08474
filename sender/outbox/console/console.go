package console

import (
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/route"
	"github.com/deployhook/deployhook/internal/webui"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/sender/outbox/api"
)

//go:embed templates/*.html
var templates embed.FS

// ErrConfig is what every error of [New] wraps.
var ErrConfig = errors.New("console: invalid configuration")

// Handler serves the pages of one outbox. Make it with [New]. It is safe for
// concurrent use.
type Handler struct {
	outbox    *outbox.Outbox
	authorize api.Authorizer
	ui        *webui.UI
	limit     *limiter
	settled   *settled
	routes    *route.Table[screen]
	config
}

// New returns the pages of an outbox. Both arguments are required. The
// authorizer decides who has access. Use the authorizer of the JSON API.
//
// The paths begin at the root. Mount it under any prefix with
// [http.StripPrefix]. Errors wrap [ErrConfig].
func New(o *outbox.Outbox, authorize api.Authorizer, opts ...Option) (*Handler, error) {
	c, err := newConfig(opts)
	switch {
	case o == nil:
		err = errors.Join(err, fmt.Errorf("%w: New: the outbox is nil", ErrConfig))
	case authorize == nil:
		err = errors.Join(err, fmt.Errorf("%w: New: the authorizer is nil; it decides who has access", ErrConfig))
	}
	if err != nil {
		return nil, err
	}
	ui, err := webui.New(templates, "templates/*.html", templateFuncs())
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	return &Handler{outbox: o, authorize: authorize, ui: ui, limit: newLimiter(), settled: &settled{}, routes: route.New(screens(), func(s screen) (method, path string) { return s.method, s.path }), config: *c}, nil
}

// Faults returns how often the authorizer, or the handler of [WithLogger], has
// panicked or ended its goroutine (runtime.Goexit), by its name. Both are
// contained. A request whose authorizer has a fault is answered 503. The map is
// empty if there was no fault, which is what a healthy process shows.
func (h *Handler) Faults() map[string]uint64 {
	if h == nil || h.faults == nil {
		return map[string]uint64{}
	}
	return h.faults.Counts()
}

// Option configures [New].
type Option interface{ apply(*config) }

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

type config struct {
	product string
	logger  *slog.Logger
	origins *http.CrossOriginProtection
	types   []api.EventType
	faults  *contain.Faults
	err     error
}

func newConfig(opts []Option) (*config, error) {
	c := &config{product: "Webhooks", logger: slog.Default(), origins: http.NewCrossOriginProtection(), types: api.EventTypes()}
	for _, opt := range opts {
		if opt == nil {
			c.err = errors.Join(c.err, fmt.Errorf("%w: an option is nil; leave it out", ErrConfig))
			continue
		}
		opt.apply(c)
	}
	c.faults = contain.New("outbox console", c.logger.Handler())
	c.logger = c.faults.Logger()
	return c, c.err
}

func (c *config) fail(format string, args ...any) {
	c.err = errors.Join(c.err, fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...))
}

// WithName sets the name that all pages show, such as that of the platform.
// Default: "Webhooks". The empty string is an error.
func WithName(name string) Option {
	return optionFunc(func(c *config) {
		if name == "" {
			c.fail("WithName: the name is empty; leave it out for \"Webhooks\"")
			return
		}
		c.product = name
	})
}

// WithLogger sets where changes are logged, with who made them (Access.Actor),
// and requests that failed through no fault of the client. No line has a
// secret, a URL or a body. Default: slog.Default. Nil is an error.
func WithLogger(l *slog.Logger) Option {
	return optionFunc(func(c *config) {
		if l == nil {
			c.fail("WithLogger: the logger is nil; leave it out")
			return
		}
		c.logger = l
	})
}

// WithTrustedOrigins lets pages of other origins send forms to the console,
// such as "https://admin.example.com". Default: none, so a browser's POST must
// come from the origin that serves the pages. An origin that is not valid is an
// error. See [http.CrossOriginProtection].
func WithTrustedOrigins(origins ...string) Option {
	return optionFunc(func(c *config) {
		for _, origin := range origins {
			if err := c.origins.AddTrustedOrigin(origin); err != nil {
				c.fail("WithTrustedOrigins: %w", err)
			}
		}
	})
}

// WithEventTypes adds types of the platform's own, for which customers see the
// schema and can send a test event. Default: [api.EventTypes]. What
// [api.EventType.Complete] refuses, and a name that is taken, are errors.
func WithEventTypes(types ...api.EventType) Option {
	return optionFunc(func(c *config) {
		for _, t := range types {
			complete, err := t.Complete()
			switch {
			case err != nil:
				c.fail("%w", err)
			case slices.ContainsFunc(c.types, func(other api.EventType) bool { return other.Type == t.Type }):
				c.fail("WithEventTypes: %s is there already", t.Type)
			default:
				c.types = append(c.types, complete)
			}
		}
	})
}
