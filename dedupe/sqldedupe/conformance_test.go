package sqldedupe_test

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/dedupetest"
	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/internal/servicetest"
)

// full runs 1,000 copies of 1,000 deliveries, which takes minutes.
var full = flag.Bool("dedupe.full", false, "run the conformance suite with 1,000 copies of 1,000 deliveries")

func TestConforms(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) { conforms(t, clockedSQLite, plain) })
	t.Run("postgres", func(t *testing.T) { conforms(t, atPostgres(t, ""), plain) })
}

// TestTransactionsConform runs the suite on a store whose Complete begins a
// transaction, completes the claim in it and commits.
func TestTransactionsConform(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) { conforms(t, clockedSQLite, inTransactions) })
	t.Run("postgres", func(t *testing.T) { conforms(t, atPostgres(t, ""), inTransactions) })
}

// TestConformsUnderSettings shows that the store works with every default
// isolation of the database, and with every way in which the driver sends
// statements.
func TestConformsUnderSettings(t *testing.T) {
	t.Parallel()
	for name, setting := range map[string]string{
		"repeatable read": "&default_transaction_isolation=" + url.PathEscape("repeatable read") + "&TimeZone=Pacific/Apia",
		"serializable":    "&default_transaction_isolation=serializable",
		"simple protocol": "&default_query_exec_mode=simple_protocol",
	} {
		t.Run(name, func(t *testing.T) { conforms(t, atPostgres(t, setting), plain) })
	}
}

func atPostgres(t *testing.T, settings string) func(testing.TB) clocked {
	server := servicetest.PostgresURL(t) + settings
	return func(t testing.TB) clocked { return clockedPostgres(t, server) }
}

func plain(_ *sql.DB, s *sqldedupe.Store) dedupe.Store           { return s }
func inTransactions(db *sql.DB, s *sqldedupe.Store) dedupe.Store { return transactional{s, db} }

// transactional is a store that completes claims in transactions.
type transactional struct {
	*sqldedupe.Store
	db *sql.DB
}

func (s transactional) Complete(ctx context.Context, c dedupe.Claim) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	err = s.CompleteTx(ctx, tx, c)
	// Complete must return nil in this case.
	if errors.Is(err, sqldedupe.ErrCompleted) {
		return nil
	}
	if err != nil {
		return err
	}
	return tx.Commit()
}

// conforms runs the suite with a clock that can be moved, so that only a delay
// of minutes could cause a failure. All checks share the clock and the
// database. They run one after the other, each with a separate table.
func conforms(t *testing.T, open func(testing.TB) clocked, wrap func(*sql.DB, *sqldedupe.Store) dedupe.Store) {
	t.Parallel()
	place := open(t)
	other, tables := place.open(), 0
	subject := func(t testing.TB, ttl time.Duration, keys int) dedupetest.Subject {
		tables++
		b := *place.backend
		b.t, b.table = t, fmt.Sprint("t", tables)
		s := subject(&b, other, wrap, append(limits(ttl, keys), sqldedupe.InsecureUnsynced())...)
		s.Advance = place.advance
		if keys > 0 {
			s.Advance = func(d time.Duration) {
				place.advance(d)
				// A store stays full for one second of the process's own time.
				time.Sleep(1100 * time.Millisecond)
			}
		}
		return s
	}
	dedupetest.Run(t, dedupetest.Config{
		New:        func(t testing.TB, ttl time.Duration) dedupetest.Subject { return subject(t, ttl, 0) },
		NewBounded: subject,
		Lease:      10 * time.Minute, Slack: 3 * time.Minute,
		Copies: 100, IDs: 10, Remembered: 300,
	})
}

// subject returns two stores with separate database handles, as in two
// processes.
func subject(b *backend, other *sql.DB, wrap func(*sql.DB, *sqldedupe.Store) dedupe.Store, opts ...sqldedupe.Option) dedupetest.Subject {
	return dedupetest.Subject{Store: wrap(b.db, b.store(b.db, opts...)), Other: wrap(other, b.store(other, opts...))}
}

// limits returns the options for a TTL and a capacity. Zero keys mean no
// capacity.
func limits(ttl time.Duration, keys int) []sqldedupe.Option {
	if keys == 0 {
		return []sqldedupe.Option{sqldedupe.WithTTL(ttl)}
	}
	return []sqldedupe.Option{sqldedupe.WithTTL(ttl), sqldedupe.WithCapacity(int64(keys))}
}

// TestFullConformance takes long. Run it with go test -run FullConformance
// -dedupe.full -timeout 2h. It uses the databases' own clocks, and every commit
// is synced to disk.
func TestFullConformance(t *testing.T) {
	if !*full {
		t.Skip("without -dedupe.full; TestConforms runs the same checks with fewer copies")
	}
	for _, each := range backends {
		for name, wrap := range map[string]func(*sql.DB, *sqldedupe.Store) dedupe.Store{"plain": plain, "transactions": inTransactions} {
			t.Run(each.name+"/"+name, func(t *testing.T) {
				subject := func(t testing.TB, ttl time.Duration, keys int) dedupetest.Subject {
					b := each.open(t)
					return subject(b, b.open(), wrap, limits(ttl, keys)...)
				}
				dedupetest.Run(t, dedupetest.Config{
					New:        func(t testing.TB, ttl time.Duration) dedupetest.Subject { return subject(t, ttl, 0) },
					NewBounded: subject,
					Lease:      30 * time.Second, TTL: time.Minute, Slack: 15 * time.Second, Parallel: true,
					Copies: 1000, IDs: 1000, Remembered: 10_000,
				})
			})
		}
	}
}
