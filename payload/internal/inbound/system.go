package inbound

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/deployhook/deployhook/payload"
)

// ErrConfig is exported by each system's package under its own name.
var ErrConfig = errors.New("invalid configuration")

// A Completer adds the values that an event lacks.
type Completer = func(ctx context.Context, d *payload.Deployment) error

// A Decoder turns a verified body into a valid deployment.
type Decoder = func(ctx context.Context, body []byte) (*payload.Deployment, error)

// A Mapping fills a deployment from an event. It returns an error only to
// ignore the event, see [Ignore].
type Mapping func(b *Builder, event Node) error

// NewDecoder returns the decoder of one system. Errors about the event wrap
// [payload.ErrInvalid] or [payload.ErrIgnored]. No other error wraps
// [payload.ErrInvalid]. complete may be nil.
func NewDecoder(system string, m Mapping, complete Completer) Decoder {
	return func(ctx context.Context, body []byte) (*payload.Deployment, error) {
		b, event, err := newBuilder(body)
		if err != nil {
			return nil, err
		}
		if err := m(b, event); err != nil {
			return nil, fmt.Errorf("%s: %w", system, err)
		}
		return b.finish(ctx, system, complete)
	}
}

// Checks collects the configuration errors of a package's options.
type Checks struct{ problems []string }

// Given notes an option whose value is zero although the option was given.
func (c *Checks) Given(option string, zero bool) {
	if zero {
		c.problems = append(c.problems, option+": the value is empty; leave the option out")
	}
}

func (c *Checks) failures() []string { return c.problems }

// Configure applies a package's options to its config. A nil option is an
// error, and so is what the config's Checks found.
func Configure[O any, C interface{ failures() []string }](system string, opts []O, config C, apply func(O, C)) error {
	for _, o := range opts {
		if any(o) == nil {
			return ConfigError(system, "a nil Option was given; leave it out")
		}
		apply(o, config)
	}
	var errs []error
	for _, text := range config.failures() {
		errs = append(errs, ConfigError(system, text))
	}
	return errors.Join(errs...)
}

// ConfigError returns an error about the caller's configuration.
func ConfigError(system, text string) error {
	return fmt.Errorf("%s: %w: %s", system, ErrConfig, text)
}

// NeedsEnvironment returns the error for a system whose events name no
// environment.
func NeedsEnvironment(system string) error {
	return ConfigError(system, "the events name no environment; use WithEnvironment, or set it in WithComplete")
}

// Ignore returns an error that explains why an event is not about a deployment.
func Ignore(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{payload.ErrIgnored}, args...)...)
}

// Quote returns a printable and short form of a name from an event, for an
// error.
func Quote(name string) string {
	const limit = 64
	if len(name) > limit {
		name = name[:limit] + "..."
	}
	return strconv.QuoteToASCII(name)
}
