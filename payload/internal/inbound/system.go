package inbound

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

// ErrIgnored and ErrConfig are what the systems' packages export under their own names.
var (
	ErrIgnored = payload.ErrIgnored
	ErrConfig  = errors.New("invalid configuration")
)

// Completer adds what an event does not say.
type Completer = func(ctx context.Context, d *payload.Deployment) error

// Handler handles one deployment.
type Handler = func(ctx context.Context, d *payload.Deployment) error

// Mapping fills a deployment from an event. It returns an error only to have the event ignored; see [Ignore].
type Mapping func(b *Builder, event Node) error

// Settings are the options that all systems have.
type Settings struct {
	Complete Completer
	Logger   *slog.Logger
}

// A System is one system's way to write deployment events.
type System struct {
	Name string // of the package; also the source that deliveries are remembered under
	Settings
	Map Mapping
}

// Configure applies a package's options.
func Configure[C any, O ~func(*C)](system string, c *C, opts []O) error {
	for _, o := range opts {
		if o == nil {
			return ConfigError(system, "a nil Option was given; leave it out")
		}
		o(c)
	}
	return nil
}

// ConfigError is an error of the caller's.
func ConfigError(system, text string) error {
	return fmt.Errorf("%s: %w: %s", system, ErrConfig, text)
}

// NeedsEnvironment is the error for a system whose events name no environment.
func NeedsEnvironment(system string) error {
	return ConfigError(system, "the events name no environment; give WithEnvironment, or WithComplete to set it for each")
}

// Ignore says why an event is none of ours.
func Ignore(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrIgnored}, args...)...)
}

// Quote makes a name from an event fit for an error: printable and short.
func Quote(name string) string {
	const limit = 64
	if len(name) > limit {
		name = name[:limit] + "..."
	}
	return strconv.QuoteToASCII(name)
}

// Decode reads an event. An error of the event's is a bare *payload.ValidationError.
func (s *System) Decode(ctx context.Context, body []byte) (*payload.Deployment, error) {
	b, event, err := newBuilder(body)
	if err != nil {
		return nil, err
	}
	if err := s.Map(b, event); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	return b.finish(ctx, s.Name, s.Complete)
}

// NewHandler serves the system's webhook with the defaults of package receiver.
func (s *System) NewHandler(v signer.Verifier, store dedupe.Store, h Handler) (http.Handler, error) {
	opts := []receiver.Option{receiver.WithDedupe(store, s.Name)}
	if s.Logger != nil {
		opts = append(opts, receiver.WithLogger(s.Logger))
	}
	rcv, err := receiver.New(v, opts...)
	if err != nil {
		return nil, err
	}
	return s.HandlerFor(rcv, h)
}

// HandlerFor serves the system's webhook behind a receiver.
func (s *System) HandlerFor(rcv *receiver.Receiver, h Handler) (http.Handler, error) {
	switch {
	case rcv == nil:
		return nil, ConfigError(s.Name, "the receiver is nil; check the error of receiver.New")
	case h == nil:
		return nil, ConfigError(s.Name, "the handler is nil")
	}
	endpoint := endpoint{System: *s, handle: h}
	if endpoint.Logger == nil {
		endpoint.Logger = slog.Default()
	}
	return rcv.Wrap(&endpoint), nil
}

// endpoint is called for verified, first-time deliveries.
type endpoint struct {
	System
	handle Handler
}

// The receiver logs each delivery and can't know what became of it in here, so the reason gets a line of its own.
const logMessage = "deployment webhook"

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body) // from memory: the receiver has read and bounded it
	if err != nil {
		e.fail(w, r, err)
		return
	}
	d, err := e.Decode(r.Context(), body)
	// Not errors.As: an invalid document that a Completer came upon is not the peer's fault.
	invalid, isInvalid := err.(*payload.ValidationError)
	switch {
	case isInvalid:
		e.Logger.LogAttrs(r.Context(), slog.LevelWarn, logMessage, e.attrs("invalid", err)...)
		text, _ := json.Marshal(map[string]string{"error": invalid.Error()}) // strings always marshal
		answer(w, http.StatusBadRequest, string(text))
		return
	case errors.Is(err, ErrIgnored):
		e.Logger.LogAttrs(r.Context(), slog.LevelInfo, logMessage, e.attrs("ignored", err)...)
		answer(w, http.StatusOK, `{"received":true,"ignored":true}`)
		return
	case err == nil:
		err = e.handle(r.Context(), d)
	}
	if err != nil {
		e.fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, `{"received":true}`)
}

func (e *endpoint) fail(w http.ResponseWriter, r *http.Request, err error) {
	e.Logger.LogAttrs(r.Context(), slog.LevelError, logMessage, e.attrs("failed", err)...)
	answer(w, http.StatusInternalServerError, `{"error":"Delivery was not handled"}`)
}

func (e *endpoint) attrs(outcome string, err error) []slog.Attr {
	return []slog.Attr{
		slog.String("source", e.Name), slog.String("outcome", outcome), slog.String("error", err.Error()),
	}
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}
