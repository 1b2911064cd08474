package bitbucket

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

const system = "bitbucket"

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

// WithEnvironment names the environment that all deployments of this webhook are to. Bitbucket's events do not name one, so
// this or [WithComplete] is required. Default, and meaning of "": none.
func WithEnvironment(name string) Option {
	return func(c *config) { c.environment = name }
}

// WithComplete sets a function that may change a deployment before it is validated: to add what the event does not say,
// from a table or an API of yours. An error of its own is answered with 500, so that the delivery is tried again; one
// that wraps [ErrIgnored] has the event ignored. Default, and meaning of nil: none.
func WithComplete(f func(ctx context.Context, d *payload.Deployment) error) Option {
	return func(c *config) { c.Complete = f }
}

// WithLogger sets where the handlers say why an event was ignored, invalid or not handled; [NewHandler] gives it to the
// receiver as well. Default, and meaning of nil: [slog.Default].
func WithLogger(l *slog.Logger) Option {
	return func(c *config) { c.Logger = l }
}

// NewVerifier returns the scheme of Bitbucket's X-Hub-Signature, Cloud and Data Center, for the webhook's secret from
// [signer.NewLiteralSecret]. Options are those of [signer.NewGitHub]: [signer.WithKey] is for rotation.
func NewVerifier(secret signer.Secret, opts ...signer.Option) (*signer.BodyOnly, error) {
	return signer.NewGitHub(secret, append([]signer.Option{signer.WithHeader(signatureHeader)}, opts...)...)
}

// NewHandler serves a Bitbucket webhook: it verifies, deduplicates, decodes, calls h for each deployment, and answers. An
// error of h is answered with 500 and a retry runs it again; see [receiver.EventHandler] for what h owes. All
// configuration errors are reported here.
//
// The receiver has default options and the source name "bitbucket". For others make one and give it to [HandlerFor].
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
	if c.environment == "" && c.Complete == nil {
		return nil, inbound.NeedsEnvironment(system)
	}
	return &inbound.System{Name: system, Settings: c.Settings, Map: c.mapEvent}, nil
}
