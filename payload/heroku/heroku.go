package heroku

import (
	"context"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound"
)

const system = "heroku"

// ErrConfig is wrapped by errors about options and arguments.
var ErrConfig = inbound.ErrConfig

// Option configures [Decode] and [NewDecoder].
type Option interface {
	apply(*config)
}

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

type config struct {
	complete    inbound.Completer
	environment string
}

// WithEnvironment names the environment that all deployments of this webhook are to. Heroku's events do not name one, so
// this or [WithComplete] is required. Default, and meaning of "": none.
func WithEnvironment(name string) Option {
	return optionFunc(func(c *config) { c.environment = name })
}

// WithComplete sets a function that may change a deployment before it is
// validated, to add what the event does not say from a table or an API of yours.
// It runs for every authentic delivery, duplicates included, before the delivery
// is claimed. Its errors are failures on our side, so the sender tries again. One
// that wraps [payload.ErrIgnored] has the event ignored. Default, and meaning of nil:
// none.
func WithComplete(f func(ctx context.Context, d *payload.Deployment) error) Option {
	return optionFunc(func(c *config) { c.complete = f })
}

// NewDecoder returns [Decode] with these options, for receiver.Records. All
// configuration errors are reported here and wrap [ErrConfig].
func NewDecoder(opts ...Option) (func(ctx context.Context, body []byte) (*payload.Deployment, error), error) {
	c := new(config)
	if err := inbound.Configure(system, opts, func(o Option) { o.apply(c) }); err != nil {
		return nil, err
	}
	if c.environment == "" && c.complete == nil {
		return nil, inbound.NeedsEnvironment(system)
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
