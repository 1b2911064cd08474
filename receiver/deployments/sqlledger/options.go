package sqlledger

import (
	"errors"
	"fmt"
	"regexp"
)

// DefaultTablePrefix begins the names of the ledger's tables.
const DefaultTablePrefix = "deployhook_ledger_"

var (
	// ErrConfig is wrapped by every error of a constructor about its arguments. The text names the option at fault.
	ErrConfig = errors.New("sqlledger: invalid configuration")
	// ErrSchema is wrapped by the error of a constructor that finds tables which it can't work with.
	ErrSchema = errors.New("sqlledger: the tables are not as needed")
)

// An Option configures a constructor.
type Option interface {
	apply(*config)
}

type option func(*config)

func (o option) apply(c *config) { o(c) }

type config struct {
	prefix    string
	noMigrate bool
}

// WithTablePrefix sets what the names of the tables and indexes begin with: up to 40 lower-case letters, digits and underscores, a letter
// first. Two ledgers with different prefixes share a database without meeting. The default, which the empty string also
// stands for, is [DefaultTablePrefix].
func WithTablePrefix(prefix string) Option {
	return option(func(c *config) { c.prefix = prefix })
}

// WithoutMigration leaves the tables alone: for accounts that may not create any. The constructor then only checks that they
// are there and up to date, and otherwise fails with [ErrSchema]. Make them by calling the constructor once, as part of a rollout, with an
// account that may. Default off.
func WithoutMigration() Option {
	return option(func(c *config) { c.noMigrate = true })
}

var validPrefix = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

func newConfig(opts []Option) (config, error) {
	var c config
	for _, o := range opts {
		if o == nil {
			return c, fmt.Errorf("%w: an option is nil; leave it out instead", ErrConfig)
		}
		o.apply(&c)
	}
	if c.prefix == "" {
		c.prefix = DefaultTablePrefix
	}
	if !validPrefix.MatchString(c.prefix) {
		return c, fmt.Errorf("%w: WithTablePrefix(%.50q): want up to 40 lower-case letters, digits and underscores, a letter first", ErrConfig, c.prefix)
	}
	return c, nil
}
