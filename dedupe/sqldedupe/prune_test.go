package sqldedupe_test

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/internal/servicetest"
)

// waitOut waits until TTLs and leases of at most d have ended on the database's
// clock.
func waitOut(d time.Duration) { time.Sleep(d + 100*time.Millisecond) }

func TestPruneIsBoundedAndNeverEarly(t *testing.T) {
	t.Parallel()
	onEachClocked(t, func(t *testing.T, b clocked) {
		s := b.store(b.db, sqldedupe.WithTTL(time.Hour), sqldedupe.WithPruneBatch(10), sqldedupe.WithoutPruning(), sqldedupe.InsecureUnsynced())
		long := b.store(b.db, sqldedupe.WithTTL(10*time.Hour), sqldedupe.WithoutPruning(), sqldedupe.InsecureUnsynced())
		complete := func(s *sqldedupe.Store, by *sqldedupe.Store, id string) {
			require.NoError(t, by.Complete(t.Context(), claim(t, s, key(id), 10*time.Minute, dedupe.Claimed)))
		}
		for i := range 25 {
			complete(s, s, fmt.Sprint("over ", i))
		}
		// All later times differ, even for a clock in milliseconds.
		b.advance(time.Second)
		// All of these seem to have expired at the same time until pruning
		// reads them. They were renewed, or completed by a store with a longer
		// TTL.
		for i := range 15 {
			complete(s, long, fmt.Sprint("remembered ", i))
		}
		held := claim(t, s, key("held"), 10*time.Minute, dedupe.Claimed)
		require.NoError(t, s.Renew(t.Context(), held, 10*time.Hour))

		n, err := s.Prune(t.Context())
		require.NoError(t, err)
		require.Zero(t, n, "nothing is over yet")
		b.advance(71 * time.Minute)
		var deleted []int64
		for range 6 {
			n, err := s.Prune(t.Context())
			require.NoError(t, err)
			require.LessOrEqual(t, n, int64(10))
			deleted = append(deleted, n)
		}
		require.Equal(t, []int64{10, 10, 5, 0, 0, 0}, deleted, "in the order of their time, and the others are postponed")
		require.Equal(t, 16, b.rows())
		for i := range 15 {
			claim(t, s, key(fmt.Sprint("remembered ", i)), amply, dedupe.Completed)
		}
		claim(t, s, key("held"), amply, dedupe.InFlight)

		// A batch full of rows that only seem to have expired must not block
		// pruning of expired rows.
		complete(s, s, "later")
		b.advance(71 * time.Minute)
		n, err = s.Prune(t.Context())
		require.NoError(t, err)
		require.Equal(t, int64(1), n)
		require.NoError(t, s.Complete(t.Context(), held))
	})
}

// Claims prune once in an interval, and without a pause while there are many
// expired rows.
func TestClaimsPrune(t *testing.T) {
	t.Parallel()
	onEachClocked(t, func(t *testing.T, b clocked) {
		var rounds, deleted atomic.Int64
		hook := sqldedupe.WithPruneHook(func(n int64, err error) {
			require.NoError(t, err)
			rounds.Add(1)
			deleted.Add(n)
		})
		quiet := b.store(b.db, sqldedupe.WithoutPruning(), hook, sqldedupe.InsecureUnsynced())
		for i := range 25 {
			require.NoError(t, quiet.Release(t.Context(), claim(t, quiet, key(fmt.Sprint(i)), amply, dedupe.Claimed)))
		}
		require.Zero(t, rounds.Load())
		b.advance(dedupe.DefaultTTL + amply)
		s := b.store(b.db, sqldedupe.WithPruneBatch(10), sqldedupe.WithPruneInterval(time.Hour), hook, sqldedupe.InsecureUnsynced())
		for i, want := range []int64{10, 20, 25, 25, 25} {
			claim(t, s, key(fmt.Sprint("new ", i)), amply, dedupe.Claimed)
			require.Equal(t, want, deleted.Load())
		}
		require.Equal(t, int64(3), rounds.Load(), "the third found few, so the next is due in an hour")
		require.Equal(t, 5, b.rows())

		eager := b.store(b.db, sqldedupe.WithPruneInterval(time.Nanosecond), hook, sqldedupe.InsecureUnsynced())
		for range 3 {
			claim(t, eager, key("new 0"), amply, dedupe.InFlight)
		}
		require.Equal(t, int64(6), rounds.Load())
	})
}

// A failure of pruning changes no answer.
func TestFailedPruningIsReported(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		var failed atomic.Int64
		s := b.store(b.db, sqldedupe.WithTTL(time.Second), sqldedupe.WithPruneInterval(time.Nanosecond), sqldedupe.WithPruneHook(func(n int64, err error) {
			if err != nil {
				failed.Add(1)
				require.Zero(t, n)
			}
		}))
		claim(t, s, key("referred to"), time.Millisecond, dedupe.Claimed)
		for _, statement := range []string{
			"CREATE TABLE " + b.effectsTable() + " AS SELECT key FROM " + b.tableName(),
			map[sqldedupe.Dialect]string{
				sqldedupe.SQLite:   "CREATE TRIGGER never BEFORE DELETE ON " + b.tableName() + " BEGIN SELECT RAISE(ABORT, 'never'); END",
				sqldedupe.Postgres: "ALTER TABLE " + b.effectsTable() + " ADD FOREIGN KEY (key) REFERENCES " + b.tableName(),
			}[b.dialect],
		} {
			_, err := b.db.ExecContext(t.Context(), statement)
			require.NoError(t, err)
		}
		waitOut(time.Second)
		claim(t, s, key("1"), amply, dedupe.Claimed)
		require.Equal(t, int64(1), failed.Load())
		_, err := s.Prune(t.Context())
		require.Error(t, err)
		require.Equal(t, int64(2), failed.Load())
	})
}

func TestRunPruner(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		s := b.store(b.db, sqldedupe.WithTTL(time.Second), sqldedupe.WithPruneBatch(2), sqldedupe.WithoutPruning())
		require.ErrorIs(t, s.RunPruner(t.Context(), -1), dedupe.ErrInvalid)
		for i := range 9 {
			require.NoError(t, s.Complete(t.Context(), claim(t, s, key(fmt.Sprint(i)), time.Millisecond, dedupe.Claimed)))
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		result := make(chan error, 1)
		go func() { result <- s.RunPruner(ctx, 50*time.Millisecond) }()
		require.Eventually(t, func() bool { return b.rows() == 0 }, patience, 20*time.Millisecond)
		cancel()
		require.ErrorIs(t, <-result, context.Canceled)

		require.NoError(t, s.Close())
		require.ErrorIs(t, s.RunPruner(t.Context(), 0), dedupe.ErrClosed)
		_, err := s.Prune(t.Context())
		require.ErrorIs(t, err, dedupe.ErrClosed)
	})
}

var pruneFor = flag.Duration("prune.for", 2*time.Second, "how long TestPrune_ConcurrentWithClaims claims and prunes, for each database")

// Rows are created and deleted within milliseconds while all callers prune. No
// two callers hold a key, tokens increase, and remembered keys stay.
func TestPrune_ConcurrentWithClaims(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		opts := []sqldedupe.Option{sqldedupe.WithTTL(time.Second), sqldedupe.WithPruneInterval(time.Nanosecond), sqldedupe.WithPruneBatch(3)}
		stores := []*sqldedupe.Store{b.store(b.db, opts...), b.store(b.open(), opts...)}
		keeper := b.store(b.db, sqldedupe.WithTTL(time.Hour))
		for i := range 20 {
			require.NoError(t, keeper.Complete(t.Context(), claim(t, stores[0], key(fmt.Sprint("kept ", i)), time.Millisecond, dedupe.Claimed)))
		}
		const keys = 5
		var holders, tokens [keys]atomic.Int64
		deadline := time.Now().Add(*pruneFor)
		var workers sync.WaitGroup
		for w := range 8 {
			workers.Go(func() {
				s := stores[w%2]
				for i := w; time.Now().Before(deadline); i++ {
					n := i % keys
					c, err := s.Claim(t.Context(), key(fmt.Sprint(n)), amply)
					if err != nil {
						t.Errorf("claim: %v", err)
						return
					}
					if c.State != dedupe.Claimed {
						continue
					}
					if holders[n].Add(1) != 1 {
						t.Error("two callers hold the same key")
					}
					if before := tokens[n].Swap(int64(c.Token)); before >= int64(c.Token) {
						t.Errorf("token %d follows %d", c.Token, before)
					}
					holders[n].Add(-1)
					if i%3 == 0 {
						err = s.Complete(t.Context(), c)
					} else {
						err = s.Release(t.Context(), c)
					}
					if err != nil {
						t.Errorf("end: %v", err)
					}
				}
			})
		}
		workers.Wait()
		for i := range 20 {
			claim(t, keeper, key(fmt.Sprint("kept ", i)), amply, dedupe.Completed)
		}
	})
}

// Tokens increase even if the row was deleted in between, by the store or by
// hand.
func TestTokensOutliveRows(t *testing.T) {
	t.Parallel()
	onEachClocked(t, func(t *testing.T, b clocked) {
		s := b.store(b.db, sqldedupe.WithoutPruning(), sqldedupe.InsecureUnsynced())
		var last dedupe.Claim
		for range 5 {
			last = claim(t, s, key("1"), amply, dedupe.Claimed)
			require.NoError(t, s.Release(t.Context(), last))
		}
		_, err := b.db.ExecContext(t.Context(), "DELETE FROM "+b.tableName())
		require.NoError(t, err)
		next := claim(t, s, key("1"), amply, dedupe.Claimed)
		require.Greater(t, next.Token, last.Token)
		b.advance(dedupe.DefaultTTL + amply)
		n, err := s.Prune(t.Context())
		require.NoError(t, err)
		require.Equal(t, int64(1), n)

		// A late completion without a row is remembered, and its token does not
		// make later tokens smaller.
		require.NoError(t, s.Complete(t.Context(), last))
		require.NoError(t, s.Complete(t.Context(), last))
		claim(t, s, key("1"), amply, dedupe.Completed)
		require.ErrorIs(t, s.Complete(t.Context(), next), dedupe.ErrLeaseLost)
		b.advance(dedupe.DefaultTTL + amply)
		require.Greater(t, claim(t, s, key("1"), amply, dedupe.Claimed).Token, next.Token)
	})
}

// Pruning finds due rows with the index instead of reading the table.
func TestPruningUsesIndex(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		b.store(b.db)
		table := b.tableName()
		explain, args := "EXPLAIN QUERY PLAN ", []any{100, 0}
		if b.dialect == sqldedupe.Postgres {
			explain, args = "EXPLAIN (COSTS OFF) ", []any{100}
			_, err := b.db.ExecContext(t.Context(), `INSERT INTO `+table+` (key, token, expires, sweep)
				SELECT sha256(i::text::bytea), i, now() + i * interval '1 s', now() + i * interval '1 s' FROM generate_series(1, 20000) i`)
			require.NoError(t, err)
			_, err = b.db.ExecContext(t.Context(), "ANALYZE "+table)
			require.NoError(t, err)
		}
		for _, statement := range sqldedupe.PruneStatements(b.dialect, b.tableName()) {
			rows, err := b.db.QueryContext(t.Context(), explain+statement, args...)
			require.NoError(t, err)
			var plan []string
			for rows.Next() {
				columns, err := rows.Columns()
				require.NoError(t, err)
				line := make([]any, len(columns))
				for i := range line {
					line[i] = new(any)
				}
				require.NoError(t, rows.Scan(line...))
				plan = append(plan, fmt.Sprint(*line[len(line)-1].(*any)))
			}
			require.NoError(t, rows.Err())
			require.NoError(t, rows.Close())
			text := strings.Join(plan, "\n")
			require.Contains(t, text, table+"_sweep", "%s", text)
			if b.dialect == sqldedupe.Postgres {
				require.Contains(t, text, "Index Cond: (sweep <=")
			}
			require.NotContains(t, text, "Seq Scan")
			require.NotContains(t, text, "SCAN "+table)
		}
	})
}

// PostgreSQL completes a claim without writing an index (a heap-only tuple).
func TestCompletionsAreHeapOnly(t *testing.T) {
	t.Parallel()
	b := openPostgres(t)
	b.db = postgresDB(t, servicetest.PostgresURL(t)+"&synchronous_commit=off")
	s := b.store(b.db, sqldedupe.WithoutPruning(), sqldedupe.InsecureUnsynced())
	const each = 200
	var workers sync.WaitGroup
	for w := range 5 {
		workers.Go(func() {
			for i := range each {
				c, err := s.Claim(t.Context(), key(fmt.Sprint(w, " ", i)), amply)
				if err == nil {
					err = s.Complete(t.Context(), c)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	workers.Wait()
	var updates, heapOnly int
	require.Eventually(t, func() bool {
		// Connections report their statistics when they are idle for a moment,
		// or closed.
		_, err := b.db.ExecContext(t.Context(), "SELECT pg_stat_clear_snapshot()")
		require.NoError(t, err)
		err = b.db.QueryRowContext(t.Context(), "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = $1", b.table).Scan(&updates, &heapOnly)
		require.NoError(t, err)
		return updates == 5*each
	}, patience, 200*time.Millisecond)
	t.Logf("%d of %d updates were heap-only", heapOnly, updates)
	require.Greater(t, heapOnly, updates*9/10)
}
