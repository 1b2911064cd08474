package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/loglimit"
	"github.com/deployhook/deployhook/internal/route"
	"github.com/deployhook/deployhook/sender/outbox"
)

// ErrConfig is what every error of [New] wraps.
var ErrConfig = errors.New("api: invalid configuration")

// Handler serves the management API of one outbox. Make it with [New]. It is
// safe for concurrent use.
type Handler struct {
	outbox    *outbox.Outbox
	authorize Authorizer
	config
	routes *route.Table[operation]
}

// New returns the API of an outbox. Both arguments are required. The authorizer
// decides who has access.
//
// The paths begin at the root. Mount it under any prefix with
// [http.StripPrefix]. Errors wrap [ErrConfig].
func New(o *outbox.Outbox, authorize Authorizer, opts ...Option) (*Handler, error) {
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
	h := &Handler{outbox: o, authorize: authorize, config: *c}
	h.routes = route.New(h.operations(), func(o operation) (method, path string) { return o.method, o.path })
	return h, nil
}

// call is one request for an operation.
type call struct {
	*Handler
	operation operation
	request   *http.Request
	access    Access
	params    map[string]string
	app       *outbox.App // of the path; nil if it has none
	body      []byte
}

func (c *call) ctx() context.Context { return c.request.Context() }

// answer is a successful answer. A nil body sends an empty one.
type answer struct {
	status   int
	body     any
	etag     string
	location string // relative to the request's path
}

func ok(body any) *answer { return &answer{status: http.StatusOK, body: body} }

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h == nil || h.outbox == nil {
		writeProblem(w, r, newProblem(http.StatusInternalServerError, "internal"))
		return
	}
	header := w.Header()
	header.Set("Cache-Control", "no-store") // some answers have a secret
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	c, p := h.admit(w, r)
	if p != nil {
		writeProblem(w, r, p)
		return
	}
	a, err := c.operation.serve(c)
	if err != nil {
		p := h.problemOf(err)
		h.logFailure(c, p, err)
		writeProblem(w, r, p)
		return
	}
	h.logChange(c, a)
	writeAnswer(w, r, a)
}

// admit decides whether the request may be served.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request) (*call, *problem) {
	if err := h.origins.Check(r); err != nil {
		return nil, newProblem(http.StatusForbidden, "cross_origin")
	}
	access, err := h.access(r)
	if errors.Is(err, ErrUnauthenticated) {
		if h.challenge != "" {
			w.Header().Set("WWW-Authenticate", h.challenge)
		}
		return nil, newProblem(http.StatusUnauthorized, "unauthenticated")
	}
	if err != nil {
		if r.Context().Err() == nil {
			h.logger.ErrorContext(r.Context(), "outbox api: the authorizer failed", slog.Any("error", err))
		}
		return nil, newProblem(http.StatusServiceUnavailable, "unavailable")
	}
	if access.isZero() {
		return nil, newProblem(http.StatusForbidden, "forbidden")
	}
	o, params, p := h.find(r)
	if p != nil {
		return nil, p
	}
	c := &call{Handler: h, operation: o, request: r, access: access, params: params}
	if name, has := params["app"]; has {
		if !access.reaches(name) {
			return nil, outboxProblem(http.StatusNotFound, outbox.ErrUnknownApp)
		}
		c.app = h.outbox.App(name)
	}
	switch {
	case o.operator && !access.Operator:
		return nil, newProblem(http.StatusForbidden, "operators_only")
	case o.right != toRead && access.ReadOnly:
		return nil, newProblem(http.StatusForbidden, "read_only")
	}
	return c, c.readBody(w)
}

// access asks the application. A fault there permits nothing.
func (h *Handler) access(r *http.Request) (a Access, err error) {
	if fault := h.faults.Call(r.Context(), inAuthorizer, func() { a, err = h.authorize(r) }); fault != nil {
		return Access{}, fault.Discreet()
	}
	return a, err
}

const inAuthorizer = "authorizer"

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

// logFailure logs what an operator has to look at.
func (h *Handler) logFailure(c *call, p *problem, err error) {
	if p.Status < http.StatusInternalServerError || c.ctx().Err() != nil {
		return
	}
	h.logger.ErrorContext(c.ctx(), "outbox api: a request failed", append(c.attrs(), slog.Any("error", err))...)
}

// logChange logs who has changed what.
func (h *Handler) logChange(c *call, a *answer) {
	if c.operation.right == toRead {
		return
	}
	h.logger.InfoContext(c.ctx(), "outbox api: "+c.operation.id, append(c.attrs(), slog.Int("status", a.status))...)
}

func (c *call) attrs() []any {
	attrs := []any{slog.String("operation", c.operation.id), slog.String("actor", c.access.Actor), slog.Bool("operator", c.access.Operator)}
	for _, name := range []string{"app", "endpoint", "delivery", "replay", "event"} {
		if value, ok := c.params[name]; ok {
			attrs = append(attrs, slog.String(name, value))
		}
	}
	return attrs
}

func writeAnswer(w http.ResponseWriter, r *http.Request, a *answer) {
	if a.etag != "" {
		w.Header().Set("ETag", a.etag)
	}
	if a.location != "" {
		w.Header().Set("Location", a.location)
	}
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	text, err := json.Marshal(a.body)
	if err != nil {
		writeProblem(w, r, newProblem(http.StatusInternalServerError, "internal"))
		return
	}
	write(w, r, a.status, "application/json", text)
}

func write(w http.ResponseWriter, r *http.Request, status int, contentType string, text []byte) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(append(text, '\n')) // the client may have gone
	}
}

// Option configures [New].
type Option interface{ apply(*config) }

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

type config struct {
	logger  *slog.Logger
	origins *http.CrossOriginProtection
	types   []EventType
	faults  *contain.Faults
	read    time.Duration
	err     error

	challenge string
}

func newConfig(opts []Option) (*config, error) {
	c := &config{logger: slog.Default(), origins: http.NewCrossOriginProtection(), types: builtinTypes(), read: DefaultReadTimeout}
	for _, opt := range opts {
		if opt == nil {
			c.err = errors.Join(c.err, fmt.Errorf("%w: an option is nil; leave it out", ErrConfig))
			continue
		}
		opt.apply(c)
	}
	c.faults = contain.New("outbox api", c.logger.Handler())
	c.logger = loglimit.Limit(c.faults.Logger())
	return c, c.err
}

// WithLogger sets where changes are logged, with who made them (Access.Actor),
// and requests that failed through no fault of the client. No line has a
// secret, a URL or a body. Lines about failed requests are limited, with the
// number of those that were left out. Default: slog.Default. Nil is an error.
func WithLogger(l *slog.Logger) Option {
	return optionFunc(func(c *config) {
		if l == nil {
			c.err = errors.Join(c.err, fmt.Errorf("%w: WithLogger: the logger is nil; leave it out", ErrConfig))
			return
		}
		c.logger = l
	})
}

// WithTrustedOrigins lets pages of other origins call the API with the cookies
// of their users, such as "https://admin.example.com". Default: none, so a
// browser's request must come from the origin that serves the API. An origin
// that is not valid is an error. See [http.CrossOriginProtection].
func WithTrustedOrigins(origins ...string) Option {
	return optionFunc(func(c *config) {
		for _, origin := range origins {
			if err := c.origins.AddTrustedOrigin(origin); err != nil {
				c.err = errors.Join(c.err, fmt.Errorf("%w: WithTrustedOrigins: %w", ErrConfig, err))
			}
		}
	})
}

// WithEventTypes adds types of the platform's own to the list of event types.
// Default: the types of package payload and those of package outbox. A type
// without a name or an example, a name that is taken, and a schema or example
// that is not JSON are errors.
func WithEventTypes(types ...EventType) Option {
	return optionFunc(func(c *config) {
		for _, t := range types {
			if _, err := t.Complete(); err != nil {
				c.err = errors.Join(c.err, err)
			} else if slices.ContainsFunc(c.types, func(other EventType) bool { return other.Type == t.Type }) {
				c.err = errors.Join(c.err, fmt.Errorf("%w: WithEventTypes: %s is there already", ErrConfig, t.Type))
			} else {
				c.types = append(c.types, t)
			}
		}
	})
}

// DefaultReadTimeout is how long a body may take to arrive.
const DefaultReadTimeout = 30 * time.Second

// WithReadTimeout sets how long a body may take to arrive. It replaces the
// ReadTimeout of the http.Server for the body, but not for the headers.
// Default: 30 seconds ([DefaultReadTimeout]). Zero is an error, because a
// client could keep its connection open forever.
func WithReadTimeout(d time.Duration) Option {
	return optionFunc(func(c *config) {
		if d <= 0 {
			c.err = errors.Join(c.err, fmt.Errorf("%w: WithReadTimeout(%v): want more than zero", ErrConfig, d))
		}
		c.read = d
	})
}

// WithChallenge sets the header WWW-Authenticate of the answer 401, such as
// "Bearer". HTTP requires it (RFC 9110, section 11.6.1), and the scheme is the
// authorizer's choice. Default: none, which fits cookies, for which there is no
// scheme. An empty text or one that is not a header's value is an error.
func WithChallenge(challenge string) Option {
	return optionFunc(func(c *config) {
		if challenge == "" || !visible(challenge) {
			c.err = errors.Join(c.err, fmt.Errorf("%w: WithChallenge: want visible ASCII, such as Bearer", ErrConfig))
		}
		c.challenge = challenge
	})
}

// visible reports whether a text has only spaces and visible ASCII characters.
func visible(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}
