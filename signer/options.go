package signer

import (
	"fmt"
	"slices"
	"time"
)

const (
	// DefaultTolerance is how far a timestamp may lie from now, on either side, inclusive.
	DefaultTolerance = 5 * time.Minute
	maxTolerance     = 24 * time.Hour
)

// Key is what a scheme signs and verifies with: a [Secret]. The interface is sealed, and a key's type decides the
// algorithm; a message never does.
type Key interface {
	describe() keyInfo
}

type keyInfo struct {
	name     string
	notAfter time.Time
	secret   Secret
}

func (s Secret) describe() keyInfo { return keyInfo{name: s.name, notAfter: s.notAfter, secret: s} }

// Option configures a scheme's constructor. An option that has no meaning for that scheme is an error there.
type Option interface {
	apply(*config)
}

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

// config collects what options set; given records which ones occurred, so that a scheme can refuse those it does not know.
type config struct {
	keys      []Key
	tolerance time.Duration
	principal string
	prefix    string
	given     []string
}

// WithKey adds a further key, for rotation: verification tries every key that is not past its end, and reports which one
// matched. A scheme whose header holds a list of signatures signs with all of them; one with a single
// signature signs with the first that is active. Default: only the key that the constructor takes.
func WithKey(key Key) Option {
	return optionFunc(func(c *config) {
		c.keys = append(c.keys, key)
		c.given = append(c.given, "WithKey")
	})
}

// WithTolerance sets how far a timestamp may lie from now, on either side, inclusive. Default 5 minutes
// ([DefaultTolerance]); from 1 second to 24 hours. Zero is an error: a timestamp that is not checked protects
// nothing.
func WithTolerance(d time.Duration) Option {
	return optionFunc(func(c *config) {
		c.tolerance = d
		c.given = append(c.given, "WithTolerance")
	})
}

// WithPrincipal names who the keys belong to, and is returned in [Verified].Principal: a tenant, an organization. Default
// empty. Give each tenant's scheme its own, so that their deliveries are told apart.
func WithPrincipal(name string) Option {
	return optionFunc(func(c *config) {
		c.principal = name
		c.given = append(c.given, "WithPrincipal")
	})
}

// WithHeaderPrefix replaces X-Webhook in the header names of [Timestamped]: with "X-Temps" they are X-Temps-Timestamp,
// X-Temps-Signature and X-Temps-Id. Default "X-Webhook"; an empty prefix is an error.
func WithHeaderPrefix(prefix string) Option {
	return optionFunc(func(c *config) {
		c.prefix = prefix
		c.given = append(c.given, "WithHeaderPrefix")
	})
}

// newConfig applies opts for a scheme that knows the options in known.
func newConfig(scheme string, key Key, opts []Option, known ...string) (*config, error) {
	c := &config{keys: []Key{key}, tolerance: DefaultTolerance}
	for _, o := range opts {
		if o == nil {
			return nil, configError(scheme, "a nil Option was given; leave it out")
		}
		o.apply(c)
	}
	for _, name := range c.given {
		if !slices.Contains(known, name) {
			return nil, configError(scheme, "%s does not apply to this scheme; leave it out", name)
		}
	}
	if c.tolerance < time.Second || c.tolerance > maxTolerance {
		return nil, configError(scheme, "WithTolerance(%v): want %v to %v", c.tolerance, time.Second, maxTolerance)
	}
	return c, nil
}

func configError(scheme, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrConfig, scheme, fmt.Sprintf(format, args...))
}
