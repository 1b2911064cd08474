package sqldedupe

import (
	"errors"
	"fmt"
	"time"

	"github.com/deployhook/deployhook/dedupe"
)

// DefaultTable is the name of the store's table unless [WithTable] says
// otherwise.
const DefaultTable = "deployhook_dedupe"

const (
	defaultPruneInterval = 10 * time.Second
	defaultPruneBatch    = 100
	maxPruneBatch        = 10_000
)

// ErrConfig is wrapped by every constructor error that the caller must correct.
// Examples are an invalid option, a missing table, and a database whose
// settings can lose confirmed commits.
var ErrConfig = errors.New("sqldedupe: invalid configuration")

// An Option changes a default of [NewPostgres], [NewSQLite] or [OpenSQLite].
type Option interface {
	apply(*config)
}

type option func(*config)

func (o option) apply(c *config) { o(c) }

type config struct {
	table         string
	ttl           time.Duration
	pruneInterval time.Duration
	pruneBatch    int
	capacity      int64 // 0: no bound
	noPruning     bool
	noMigration   bool
	unsynced      bool
	prepared      bool
	onPrune       func(deleted int64, err error)
	hooked        bool
	bounded       bool
}

// WithTTL sets how long a completed delivery is remembered. Default: 48 hours
// ([dedupe.DefaultTTL]). A TTL below [dedupe.MinTTL] is an error, and so is
// zero. The TTL should exceed the time to the sender's last retry. It must be
// at least twice the receiver's tolerance, which the receiver checks. Stores on
// one table may have different TTLs. The TTL of the store that completed a
// delivery applies to it.
func WithTTL(ttl time.Duration) Option {
	return option(func(c *config) { c.ttl = ttl })
}

// WithTable sets the name of the store's table. Default: [DefaultTable]. The
// empty name is an error. A name has up to 48 letters, digits and underscores
// and does not begin with a digit. It is case-sensitive. In PostgreSQL, an
// existing schema and a dot may precede the name. Without a schema the search
// path applies. The index, the schema version and the source of tokens have the
// table's name and a suffix.
//
// Two receivers can share a table, because their keys differ by source.
func WithTable(name string) Option {
	return option(func(c *config) { c.table = name })
}

// WithoutMigration leaves the schema to the caller, see [Migrations] and
// [Migrate]. The constructor then changes nothing, and fails with an
// [ErrConfig] unless the schema is current. Default: off.
func WithoutMigration() Option {
	return option(func(c *config) { c.noMigration = true })
}

// WithPreparedStatements declares that a pooler between this process and
// PostgreSQL supports prepared statements. PgBouncer 1.21 or later does with
// max_prepared_statements, and any pooler does in session mode. Default: off.
// Without this option, the constructor fails if the connections go through a
// pooler and pgx would prepare statements. To prepare none, add
// default_query_exec_mode=exec to the connection string. Without a pooler, and
// for SQLite, the option has no effect.
func WithPreparedStatements() Option {
	return option(func(c *config) { c.prepared = true })
}

// WithPruneInterval sets the pause between two prunings by Claim, after one
// that found only few expired rows. Default: 10 seconds. Zero and negative
// intervals are errors.
func WithPruneInterval(d time.Duration) Option {
	return option(func(c *config) { c.pruneInterval = d })
}

// WithPruneBatch sets the maximum number of rows that one [Store.Prune] reads,
// which limits the time that pruning adds to a Claim. Default: 100. Zero,
// negative numbers and those above 10,000 are errors. While a full batch of
// rows has expired, every Claim prunes, so the table shrinks faster than it
// grows.
func WithPruneBatch(rows int) Option {
	return option(func(c *config) { c.pruneBatch = rows })
}

// WithoutPruning turns off pruning in Claim, for programs that call
// [Store.Prune] or [Store.RunPruner] elsewhere. Otherwise the table grows
// without limit. Default: off.
func WithoutPruning() Option {
	return option(func(c *config) { c.noPruning = true })
}

// WithPruneHook sets a function that is called after every pruning with the
// number of deleted rows and the error. Use it for metrics and logs, because
// errors of pruning inside Claim are not reported elsewhere. f must be safe for
// concurrent use. Default: none. A nil function is an error.
//
// Claim, [Store.Prune] or [Store.RunPruner] waits for f. During that time a
// granted claim is held, so an f that hangs keeps the delivery in flight until
// the lease ends. A panic in f is contained, see [Store.Faults].
func WithPruneHook(f func(deleted int64, err error)) Option {
	return option(func(c *config) { c.onPrune, c.hooked = f, true })
}

// WithCapacity sets the maximum number of claimed and completed keys together.
// At the limit, claims of new keys fail with [dedupe.ErrFull] until leases or
// TTLs end. Duplicates of stored keys are still recognized. Default: no limit
// except the disk. Zero and negative numbers are errors. The limit must exceed
// the number of deliveries that arrive during a TTL.
//
// Counting the rows takes the database a moment. The store counts each time
// that an eighth of the free room has been used, and once a second while it is
// full. A single store never exceeds the limit. Up to eight stores on one table
// exceed it by at most as many keys as there are stores.
func WithCapacity(rows int64) Option {
	return option(func(c *config) { c.capacity, c.bounded = rows, true })
}

// InsecureUnsynced accepts a database that confirms a commit before it is on
// disk. The constructors refuse such a database by default. In PostgreSQL this
// is the case if synchronous_commit or fsync is off, and in SQLite if
// synchronous is below FULL.
//
// A power cut then loses the last completions, as does a crash of the
// PostgreSQL server, so that these deliveries are handled again. With
// [Store.InTx] their effects are lost too, although the sender was told that
// the deliveries were handled and will not retry them. Default: off.
func InsecureUnsynced() Option {
	return option(func(c *config) { c.unsynced = true })
}

func newConfig(constructor string, opts []Option) (config, error) {
	c := config{table: DefaultTable, ttl: dedupe.DefaultTTL, pruneInterval: defaultPruneInterval, pruneBatch: defaultPruneBatch}
	for _, o := range opts {
		if o == nil {
			return c, fmt.Errorf("%w: %s: an option is nil; leave it out instead", ErrConfig, constructor)
		}
		o.apply(&c)
	}
	return c, c.check()
}

func (c config) check() error {
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...))
	}
	if c.ttl < dedupe.MinTTL {
		wrong("WithTTL(%v): must be at least %v; use a number with a unit, such as 48*time.Hour, or leave it out for the default of %v",
			c.ttl, dedupe.MinTTL, dedupe.DefaultTTL)
	}
	if c.hooked && c.onPrune == nil {
		wrong("WithPruneHook: the function is nil; leave it out")
	}
	if c.pruneInterval <= 0 {
		wrong("WithPruneInterval(%v): must be more than zero; leave it out for the default of %v, or use WithoutPruning", c.pruneInterval, defaultPruneInterval)
	}
	if c.pruneBatch < 1 || c.pruneBatch > maxPruneBatch {
		wrong("WithPruneBatch(%d): must be between 1 and %d; leave it out for the default of %d", c.pruneBatch, maxPruneBatch, defaultPruneBatch)
	}
	if c.bounded && c.capacity < 1 {
		wrong("WithCapacity(%d): must be more than zero; use the number of deliveries that arrive during a TTL, or leave it out for no limit", c.capacity)
	}
	return errors.Join(errs...)
}
