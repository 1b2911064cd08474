package vercel

import (
	"context"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound"
	"github.com/deployhook/deployhook/signer"
)

const system = "vercel"

// ErrConfig is wrapped by errors about options and arguments.
var ErrConfig = inbound.ErrConfig

// Option configures [Decode] and [NewDecoder].
type Option interface {
	apply(*config)
}

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

type config struct{ complete inbound.Completer }

// WithComplete sets a function that may change a deployment before it is
// validated, to add what the event does not say from a table or an API of yours.
// It runs for every authentic delivery, duplicates included, before the delivery
// is claimed. Its errors are failures on our side, so the sender tries again. One
// that wraps [payload.ErrIgnored] has the event ignored. Default, and meaning of nil:
// none.
func WithComplete(f func(ctx context.Context, d *payload.Deployment) error) Option {
	return optionFunc(func(c *config) { c.complete = f })
}

// NewVerifier returns the scheme of Vercel's x-vercel-signature, for the webhook's secret from [signer.NewLiteralSecret].
// Options are those of [signer.NewBodyOnly]: [signer.WithKey] is for rotation.
func NewVerifier(secret signer.Secret, opts ...signer.Option) (*signer.BodyOnly, error) {
	vercel := []signer.Option{signer.WithHeader("X-Vercel-Signature"), signer.InsecureSHA1()}
	return signer.NewBodyOnly(secret, append(vercel, opts...)...)
}

// NewDecoder returns [Decode] with these options, for receiver.Records. All
// configuration errors are reported here and wrap [ErrConfig].
func NewDecoder(opts ...Option) (func(ctx context.Context, body []byte) (*payload.Deployment, error), error) {
	c := new(config)
	if err := inbound.Configure(system, opts, func(o Option) { o.apply(c) }); err != nil {
		return nil, err
	}
	return inbound.NewDecoder(system, c.mapEvent, c.complete), nil
}

// Decode turns the body of a webhook into a valid deployment. Verify that it is
// authentic before.
//
// The error wraps [payload.ErrIgnored] for an event that is not about a
// deployment, and [payload.ErrInvalid] for one that should be and is broken. It
// then names the event's own member. ctx is for [WithComplete] alone.
func Decode(ctx context.Context, body []byte, opts ...Option) (*payload.Deployment, error) {
	decode, err := NewDecoder(opts...)
	if err != nil {
		return nil, err
	}
	return decode(ctx, body)
}
