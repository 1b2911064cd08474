package console

import (
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/nilable"
	"github.com/deployhook/deployhook/internal/route"
	"github.com/deployhook/deployhook/internal/webui"
	"github.com/deployhook/deployhook/receiver/deployments/dora"
	"github.com/deployhook/deployhook/receiver/inbox"
)

//go:embed templates/*.html
var templates embed.FS

// ErrConfig is what every error of [New] wraps.
var ErrConfig = errors.New("console: invalid configuration")

// ErrUnauthenticated is for an [Authorizer]. The caller is unknown, and the
// request is answered with 401.
var ErrUnauthenticated = errors.New("console: not authenticated")

// Access is what a request may do. The zero Access permits nothing.
type Access struct {
	// Read permits reading. The inbox and the recent requests are those of
	// the whole service. They are not divided by sender.
	Read bool
	// Act permits replays. It needs Read.
	Act bool
	// Organizations are those whose deployments and metrics may be read. Empty
	// means none. Reading them needs Read, too.
	Organizations []string
	// Actor is who the request is from, for the log and the page.
	Actor string
}

// Authorizer returns what a request may do. An error that wraps
// [ErrUnauthenticated] is answered with 401, and any other error with 503. It
// must be safe for concurrent use.
type Authorizer func(r *http.Request) (Access, error)

// Handler serves the pages of one service. Make it with [New]. It is safe for
// concurrent use.
type Handler struct {
	authorize Authorizer
	ui        *webui.UI
	routes    *route.Table[screen]
	config
}

// New returns the pages of what the options name. At least one of [WithInbox],
// [WithRecent], [WithLedger] and [WithMetrics] is required. The authorizer is
// required too, because New refuses to guess who has access.
//
// The paths begin at the root. Mount it under any prefix with
// [http.StripPrefix]. Errors wrap [ErrConfig].
func New(authorize Authorizer, opts ...Option) (*Handler, error) {
	c, err := newConfig(opts)
	if authorize == nil {
		err = errors.Join(err, fmt.Errorf("%w: New: the authorizer is nil; it decides who has access", ErrConfig))
	}
	if err == nil && c.inbox == nil && c.recent == nil && c.ledger == nil && c.metrics == nil {
		err = fmt.Errorf("%w: New: there is nothing to show; use WithInbox, WithRecent, WithLedger or WithMetrics", ErrConfig)
	}
	if err != nil {
		return nil, err
	}
	ui, err := webui.New(templates, "templates/*.html", templateFuncs())
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	h := &Handler{authorize: authorize, ui: ui, config: *c}
	h.routes = route.New(h.screens(), func(s screen) (method, path string) { return s.method, s.path })
	return h, nil
}

// Faults returns how often the authorizer, the ledger of [WithLedger], or the
// handler of [WithLogger] has panicked or ended its goroutine (runtime.Goexit),
// by its name. All are contained. A request whose authorizer has a fault is
// answered 503. The map is empty if there was no fault.
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
	inbox   *inbox.Inbox
	recent  *Recent
	ledger  Ledger
	metrics *dora.Calculator
	reports chan struct{} // one for each report that is being computed

	product string
	logger  *slog.Logger
	origins *http.CrossOriginProtection
	faults  *contain.Faults
	err     error
}

// maxReports bounds how many reports are computed at the same time.
const maxReports = 2

func newConfig(opts []Option) (*config, error) {
	c := &config{
		product: "Received webhooks", logger: slog.Default(), origins: http.NewCrossOriginProtection(), reports: make(chan struct{}, maxReports),
	}
	for _, opt := range opts {
		if opt == nil {
			c.err = errors.Join(c.err, fmt.Errorf("%w: an option is nil; leave it out", ErrConfig))
			continue
		}
		opt.apply(c)
	}
	c.faults = contain.New("receiver console", c.logger.Handler())
	c.logger = c.faults.Logger()
	if c.ledger != nil {
		c.ledger = &containedLedger{c.ledger, c.faults}
	}
	return c, c.err
}

func (c *config) fail(format string, args ...any) {
	c.err = errors.Join(c.err, fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...))
}

// WithInbox shows an inbox: what is pending, and dead letters by their error.
// Who may act can replay them. Default: no inbox. Nil is an error.
func WithInbox(in *inbox.Inbox) Option {
	return optionFunc(func(c *config) {
		if in == nil {
			c.fail("WithInbox: the inbox is nil; leave the option out")
		}
		c.inbox = in
	})
}

// WithRecent shows the requests of the last 24 hours by their outcome and
// reason. Default: none. Nil is an error. See [Recent.Observer].
func WithRecent(recent *Recent) Option {
	return optionFunc(func(c *config) {
		if recent == nil || recent.sources == nil {
			c.fail("WithRecent: the Recent was not made with NewRecent")
		}
		c.recent = recent
	})
}

// WithLedger shows the deployments of the organizations in [Access], by service
// and environment. Default: none. Nil is an error.
func WithLedger(l Ledger) Option {
	return optionFunc(func(c *config) {
		if nilable.IsNil(l) {
			c.fail("WithLedger: the ledger is nil; leave the option out")
			return
		}
		c.ledger = l
	})
}

// WithMetrics shows the five DORA metrics of the organizations in [Access],
// with the evidence behind each figure. Two reports are computed at the same
// time, and others wait. Default: none. Nil is an error.
func WithMetrics(calculator *dora.Calculator) Option {
	return optionFunc(func(c *config) {
		if calculator == nil {
			c.fail("WithMetrics: the calculator is nil; leave the option out")
		}
		c.metrics = calculator
	})
}

// WithName sets the name that all pages show, such as that of the service.
// Default: "Received webhooks". The empty string is an error.
func WithName(name string) Option {
	return optionFunc(func(c *config) {
		if name == "" {
			c.fail("WithName: the name is empty; leave it out for \"Received webhooks\"")
			return
		}
		c.product = name
	})
}

// WithLogger sets where replays are logged, with who asked for them
// (Access.Actor), and requests that failed through no fault of the client. No
// line has a body. Default: slog.Default. Nil is an error.
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
