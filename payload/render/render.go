package render

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

const system = "render"

// ErrIgnored is wrapped by the errors of [Decode] for events that are no news of a deployment. The text says why. It is
// one value for all packages of this kind.
var ErrIgnored = inbound.ErrIgnored

// ErrConfig is wrapped by errors about options and arguments.
var ErrConfig = inbound.ErrConfig

// Option configures [Decode], [NewHandler] and [HandlerFor].
type Option func(*config)

type config struct {
	inbound.Settings
	environment string
}

// WithEnvironment names the environment that all deployments of this webhook are to. Render's events do not name one, so
// this or [WithComplete] has to. Default, and meaning of "": none.
func WithEnvironment(name string) Option {
	return func(c *config) { c.environment = name }
}

// WithComplete sets a function that may change a deployment before it is validated: to add what the event does not say,
// from a table or an API of yours. An error of its own is answered with 500, so that the delivery is tried again; one
// that wraps [ErrIgnored] has the event ignored. Required: Render's events name neither the
// deploy nor its commit.
func WithComplete(f func(ctx context.Context, d *payload.Deployment) error) Option {
	return func(c *config) { c.Complete = f }
}

// WithLogger sets where the handlers say why an event was ignored, invalid or not handled; [NewHandler] gives it to the
// receiver as well. Default, and meaning of nil: [slog.Default].
func WithLogger(l *slog.Logger) Option {
	return func(c *config) { c.Logger = l }
}

// NewVerifier returns the scheme of Render's webhooks, Standard Webhooks, for the webhook's signing secret (whsec_…) from
// [signer.ParseSecret]. Options are those of [signer.NewStandard]: [signer.WithKey] is for rotation.
func NewVerifier(secret signer.Secret, opts ...signer.Option) (*signer.Standard, error) {
	return signer.NewStandard(secret, opts...)
}

// NewHandler serves a Render webhook: it verifies, deduplicates, decodes, calls h for each deployment, and answers. An
// error of h is answered with 500 and a retry runs it again; see [receiver.EventHandler] for what h owes. All
// configuration errors are reported here.
//
// The receiver has default options and the source name "render". For others make one and give it to [HandlerFor].
func NewHandler(
	secret signer.Secret, store dedupe.Store, h func(context.Context, *payload.Deployment) error, opts ...Option,
) (http.Handler, error) {
	v, err := NewVerifier(secret)
	if err != nil {
		return nil, err
	}
	s, err := newSystem(opts)
	if err != nil {
		return nil, err
	}
	return s.NewHandler(v, store, h)
}

// HandlerFor is [NewHandler] behind a receiver of your own, made with [NewVerifier].
func HandlerFor(
	rcv *receiver.Receiver, h func(context.Context, *payload.Deployment) error, opts ...Option,
) (http.Handler, error) {
	s, err := newSystem(opts)
	if err != nil {
		return nil, err
	}
	return s.HandlerFor(rcv, h)
}

// Decode turns the body of a webhook into a valid deployment. Verify that it is authentic before.
//
// The error wraps [ErrIgnored] for an event that is no news of a deployment, and [payload.ErrInvalid] for one that should
// be and is broken; it then names the event's own member. ctx is for [WithComplete] alone.
func Decode(ctx context.Context, body []byte, opts ...Option) (*payload.Deployment, error) {
	s, err := newSystem(opts)
	if err != nil {
		return nil, err
	}
	return s.Decode(ctx, body)
}

func newSystem(opts []Option) (*inbound.System, error) {
	c := new(config)
	if err := inbound.Configure(system, c, opts); err != nil {
		return nil, err
	}
	if c.Complete == nil {
		return nil, inbound.ConfigError(system, "the events name neither deploy nor commit; give WithComplete")
	}
	return &inbound.System{Name: system, Settings: c.Settings, Map: c.mapEvent}, nil
}
