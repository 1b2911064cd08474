package circleci

import (
	"context"
	"slices"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound"
	"github.com/deployhook/deployhook/signer"
)

const system = "circleci"

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
	complete    inbound.Completer
	environment string
	workflows   []string
}

// WithEnvironment names the environment of all deployments of this webhook.
// Default: none. The events name no environment, so this option or
// [WithComplete] must set it. The empty string is an error.
func WithEnvironment(name string) Option {
	return optionFunc(func(c *config) {
		c.environment = name
		c.Given("WithEnvironment", name == "")
	})
}

// WithWorkflows names the workflows that deploy. Others are ignored. Default:
// all workflows. No name and an empty name are errors.
func WithWorkflows(names ...string) Option {
	return optionFunc(func(c *config) {
		c.workflows = names
		c.Given("WithWorkflows", len(names) == 0 || slices.Contains(names, ""))
	})
}

// WithComplete sets a function that may change a deployment before it is
// validated. Use it to add values that the event lacks from a table or an API
// of yours. It runs for every authentic delivery, including duplicates, before
// the receiver claims the delivery. Its errors are treated as failures of the
// receiver, so the sender retries. The event is ignored if the error wraps
// [payload.ErrIgnored]. Default: no function. Nil is an error.
func WithComplete(f func(ctx context.Context, d *payload.Deployment) error) Option {
	return optionFunc(func(c *config) {
		c.complete = f
		c.Given("WithComplete", f == nil)
	})
}

// NewVerifier returns the scheme of circleci-signature, which can have several
// signatures. The webhook's secret token comes from [signer.NewLiteralSecret].
// The options are those of [signer.NewBodyOnly]. Use [signer.WithKey] for
// rotation.
func NewVerifier(secret signer.Secret, opts ...signer.Option) (*signer.BodyOnly, error) {
	circleci := []signer.Option{signer.WithHeader("Circleci-Signature"), signer.WithSignaturePrefix("v1="), signer.WithSignatureList()}
	return signer.NewBodyOnly(secret, append(circleci, opts...)...)
}

// NewDecoder returns [Decode] with these options, for receiver.Records. It
// reports all configuration errors, which wrap [ErrConfig].
func NewDecoder(opts ...Option) (func(ctx context.Context, body []byte) (*payload.Deployment, error), error) {
	c := new(config)
	if err := inbound.Configure(system, opts, c, Option.apply); err != nil {
		return nil, err
	}
	if c.environment == "" && c.complete == nil {
		return nil, inbound.NeedsEnvironment(system)
	}
	return inbound.NewDecoder(system, c.mapEvent, c.complete), nil
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
