package sqlledger

import (
	"errors"
	"fmt"
	"regexp"
)

// DefaultTablePrefix begins the names of the ledger's tables.
const DefaultTablePrefix = "deployhook_ledger_"

var (
	// ErrConfig is wrapped by every error of a constructor that a change of
	// configuration fixes: an invalid option, or tables that are missing or of
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

// WithTablePrefix sets what the names of the tables and indexes begin with: up to 40 lower-case letters, digits and underscores, a letter
// first. Two ledgers with different prefixes share a database without meeting. The default, which the empty string also
// stands for, is [DefaultTablePrefix].
func WithTablePrefix(prefix string) Option {
	return option(func(c *config) { c.prefix = prefix })
}

// WithoutMigration leaves the tables to the caller, see [Migrate] and
// [Migrations]. The constructor changes nothing, and fails with an error that
// wraps [ErrConfig] unless the tables are there and current. Default off.
func WithoutMigration() Option {
	return option(func(c *config) { c.noMigrate = true })
}

// WithPreparedStatements says that a pooler between this process and PostgreSQL
// keeps prepared statements: PgBouncer 1.21 or later with max_prepared_statements,
// or any in session mode. Default off. The constructor then fails if the
// connections go through a pooler and pgx would keep prepared statements on them.
// Add default_query_exec_mode=exec to the connection string to keep none. Without
// a pooler, and on SQLite, it changes nothing.
func WithPreparedStatements() Option {
	return option(func(c *config) { c.prepared = true })
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
