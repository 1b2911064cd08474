package sqldedupe

import (
	"errors"
	"fmt"
	"time"

	"github.com/deployhook/deployhook/dedupe"
)

// DefaultTable is the name of the store's table unless [WithTable] says otherwise.
const DefaultTable = "deployhook_dedupe"

const (
	defaultPruneInterval = 10 * time.Second
	defaultPruneBatch    = 100
	maxPruneBatch        = 10_000
)

// ErrConfig is wrapped by every error of a constructor that is the caller's to mend: an option, a table that is not there, a
// database whose settings would lose what it has acknowledged.
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
	capacity      int64
	noPruning     bool
	noMigration   bool
	unsynced      bool
	prepared      bool
	onPrune       func(deleted int64, err error)
	hooked        bool
}

// WithTTL sets how long a completed delivery is remembered. The default, which zero also stands for, is
// [dedupe.DefaultTTL]. Less than [dedupe.MinTTL] is an error. It should outlast the sender's last retry, and must be at
// least twice the tolerance of the receiver, which checks it. Stores on one table may differ in it: a delivery is remembered
// for the TTL of the store that completed it.
func WithTTL(ttl time.Duration) Option {
	return option(func(c *config) { c.ttl = ttl })
}

// WithTable sets the name of the store's table. The default, which the empty name also stands for, is [DefaultTable]. Names have
// letters, digits and underscores, do not begin with a digit, are at most 48 bytes long and are taken as they are written. For
// PostgreSQL a schema, which must exist, may stand before the name and a dot; without one the search path decides. What
// else the store needs (an index, the schema's version, the source of tokens) has the table's name and a suffix.
//
// Two receivers can share a table, since their keys differ by source.
func WithTable(name string) Option {
	return option(func(c *config) { c.table = name })
}

// WithoutMigration leaves the schema to the caller, see [Migrations] and [Migrate]: the constructor makes and changes
// nothing, and fails with an [ErrConfig] unless the schema is there and current. Default off.
func WithoutMigration() Option {
	return option(func(c *config) { c.noMigration = true })
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

// WithPruneInterval sets how long a Claim lets expired rows lie after the last time that there were only few of them. The
// default, which zero also stands for, is 10 seconds; negative durations are errors.
func WithPruneInterval(d time.Duration) Option {
	return option(func(c *config) { c.pruneInterval = d })
}

// WithPruneBatch bounds how many rows one [Store.Prune] looks at, and so what pruning adds to a Claim. The default, which
// zero also stands for, is 100; negative numbers and those above 10,000 are errors. While there are as many expired rows
// as that, every Claim prunes, so the table shrinks faster than it grows.
func WithPruneBatch(rows int) Option {
	return option(func(c *config) { c.pruneBatch = rows })
}

// WithoutPruning has Claim never prune: for those who call [Store.Prune] or [Store.RunPruner] elsewhere. Unless somebody does,
// the table grows for ever. Default off.
func WithoutPruning() Option {
	return option(func(c *config) { c.noPruning = true })
}

// WithPruneHook has f called after every round of pruning with what it deleted and its error, for metrics and logs: an error
// of the pruning inside Claim is reported nowhere else. f must be safe for concurrent use. Default none. A nil function is an
// error.
//
// The Claim that pruned, [Store.Prune] or [Store.RunPruner] waits for f. A claim that
// was granted is held meanwhile, so one that hangs keeps its delivery in flight until
// the lease ends. A panic in f is contained, see [Store.Faults].
func WithPruneHook(f func(deleted int64, err error)) Option {
	return option(func(c *config) { c.onPrune, c.hooked = f, true })
}

// WithCapacity bounds the keys, claimed and completed together, that are remembered at the same time: with more, claims of
// further ones fail with [dedupe.ErrFull] until leases or TTLs end, while duplicates of what is held are still recognised. The
// default, zero, is no bound but the disk's; negative numbers are errors. It needs to be more than the number of deliveries
// that come in during a TTL.
//
// The rows are counted, which takes the database a moment, each time that an eighth of the room found free has been used,
// and once a second while there is none. With up to eight stores on one table the bound is therefore exceeded by no more
// keys than there are stores. A store by itself keeps it exactly.
func WithCapacity(rows int64) Option {
	return option(func(c *config) { c.capacity = rows })
}

// InsecureUnsynced accepts a database that acknowledges a commit before it is on disk: synchronous_commit or fsync off in
// PostgreSQL, synchronous below FULL in SQLite. The constructors refuse those otherwise. A power cut, with PostgreSQL also a
// crash of the server, then loses the last completions, so that deliveries are handled again; with [Store.InTx] it loses their
// effects together with them, after the sender was told that they were handled and will not send them again. Default off.
func InsecureUnsynced() Option {
	return option(func(c *config) { c.unsynced = true })
}

func newConfig(constructor string, opts []Option) (config, error) {
	var c config
	for _, o := range opts {
		if o == nil {
			return c, fmt.Errorf("%w: %s: an option is nil; leave it out instead", ErrConfig, constructor)
		}
		o.apply(&c)
	}
	if c.ttl == 0 {
		c.ttl = dedupe.DefaultTTL
	}
	if c.pruneInterval == 0 {
		c.pruneInterval = defaultPruneInterval
	}
	if c.pruneBatch == 0 {
		c.pruneBatch = defaultPruneBatch
	}
	return c, c.check()
}

func (c config) check() error {
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...))
	}
	if c.ttl < dedupe.MinTTL {
		wrong("WithTTL(%v): must be at least %v; give a number with its unit, such as 48*time.Hour, or 0 for the default of %v",
			c.ttl, dedupe.MinTTL, dedupe.DefaultTTL)
	}
	if c.hooked && c.onPrune == nil {
		wrong("WithPruneHook: the function is nil; leave it out")
	}
	if c.pruneInterval < 0 {
		wrong("WithPruneInterval(%v): must not be negative; give 0 for the default of %v, or use WithoutPruning", c.pruneInterval, defaultPruneInterval)
	}
	if c.pruneBatch < 0 || c.pruneBatch > maxPruneBatch {
		wrong("WithPruneBatch(%d): must be between 1 and %d, or 0 for the default of %d", c.pruneBatch, maxPruneBatch, defaultPruneBatch)
	}
	if c.capacity < 0 {
		wrong("WithCapacity(%d): must not be negative; give the number of deliveries that come in during a TTL, or 0 for no bound", c.capacity)
	}
	return errors.Join(errs...)
}
