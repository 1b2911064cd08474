package drone

import (
	"context"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound"
)

const system = "drone"

// ErrConfig is wrapped by errors about options and arguments.
var ErrConfig = inbound.ErrConfig

// Option configures [Decode] and [NewDecoder].
type Option interface {
	apply(*config)
}

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

type config struct {
	inbound.Checks
	complete inbound.Completer
}

// WithComplete sets a function that may change a deployment before it is
// validated. Use it to add values that the event lacks from a table or an API
// of yours. It runs for every authentic delivery, including duplicates, before
// the receiver claims the delivery. Its errors are treated as failures of the
// receiver, and Drone does not retry. The event is ignored if the error wraps
// [payload.ErrIgnored]. Default: no function. Nil is an error.
func WithComplete(f func(ctx context.Context, d *payload.Deployment) error) Option {
	return optionFunc(func(c *config) {
		c.complete = f
		c.Given("WithComplete", f == nil)
	})
}

// NewDecoder returns [Decode] with these options, for receiver.Records. It
// reports all configuration errors, which wrap [ErrConfig].
func NewDecoder(opts ...Option) (func(ctx context.Context, body []byte) (*payload.Deployment, error), error) {
	c := new(config)
	if err := inbound.Configure(system, opts, c, Option.apply); err != nil {
		return nil, err
	}
	return inbound.NewDecoder(system, mapEvent, c.complete), nil
}

// Decode converts the body of a webhook to a valid deployment. Verify that the
// body is authentic before the call.
//
// The error wraps [payload.ErrIgnored] if the event is not about a deployment.
// It wraps [payload.ErrInvalid] if the event is about a deployment but invalid,
// and then names the event's own member. Only [WithComplete] uses ctx.
func Decode(ctx context.Context, body []byte, opts ...Option) (*payload.Deployment, error) {
	decode, err := NewDecoder(opts...)
	if err != nil {
		return nil, err
	}
	return decode(ctx, body)
}
