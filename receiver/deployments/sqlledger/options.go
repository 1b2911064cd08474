package sqlledger

import (
	"errors"
	"fmt"
	"regexp"
)

// DefaultTablePrefix is the default prefix of the ledger's table names.
const DefaultTablePrefix = "deployhook_ledger_"

var (
	// ErrConfig is wrapped by errors that a change of configuration fixes.
	// Examples are an invalid option and tables that are missing or have
	// another version. The text names the option.
	ErrConfig = errors.New("sqlledger: invalid configuration")

	errZero = errors.New("sqlledger: the Ledger is empty; make it with OpenSQLite, NewSQLite or NewPostgres")
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
	prepared  bool
}

// WithTablePrefix sets the prefix of the table and index names. It has up to 40
// lower-case letters, digits and underscores, and starts with a letter.
// Default: [DefaultTablePrefix]. The empty string is an error. Ledgers with
// different prefixes can share a database.
func WithTablePrefix(prefix string) Option {
	return option(func(c *config) { c.prefix = prefix })
}

// WithoutMigration leaves the tables to the caller, see [Migrate] and
// [Migrations]. Default: off. The constructor then changes nothing. If the
// tables are missing or outdated, it returns an error that wraps [ErrConfig].
func WithoutMigration() Option {
	return option(func(c *config) { c.noMigrate = true })
}

// WithPreparedStatements declares that the pooler in front of PostgreSQL keeps
// prepared statements. Default: off.
//
//	pooler                             what to set
//	PgBouncer 1.21 or later with       this option
//	  max_prepared_statements
//	any pooler in session mode         this option
//	other poolers                      default_query_exec_mode=exec in the
//	                                   connection string
//
// With neither setting, the constructor fails if the connections go through a
// pooler. Without a pooler and on SQLite the option has no effect.
func WithPreparedStatements() Option {
	return option(func(c *config) { c.prepared = true })
}

var validPrefix = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

func newConfig(opts []Option) (config, error) {
	c := config{prefix: DefaultTablePrefix}
	for _, o := range opts {
		if o == nil {
			return c, fmt.Errorf("%w: an option is nil; leave it out instead", ErrConfig)
		}
		o.apply(&c)
	}
	if !validPrefix.MatchString(c.prefix) {
		return c, fmt.Errorf("%w: WithTablePrefix(%.50q): want up to 40 lower-case letters, digits and underscores, starting with a letter", ErrConfig, c.prefix)
	}
	return c, nil
}
