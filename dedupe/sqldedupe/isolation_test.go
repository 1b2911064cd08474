package sqldedupe_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
)

// In a transaction with stricter isolation, a renewal since its beginning is a
// conflict, and the transaction has no effect. Completing the claim first
// avoids the conflict.
func TestStricterTransactions(t *testing.T) {
	t.Parallel()
	b := openPostgres(t)
	b.effects()
	b.db = postgresDB(t, servicetest.PostgresURL(t)+"&default_transaction_isolation="+url.PathEscape("repeatable read"))
	s := b.store(b.db)
	c := claim(t, s, key("1"), amply, dedupe.Claimed)
	tx, err := b.db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	require.NoError(t, b.effect("1")(t.Context(), tx))
	require.NoError(t, s.Renew(t.Context(), c, amply))
	err = s.CompleteTx(t.Context(), tx, c)
	var state interface{ SQLState() string }
	require.ErrorAs(t, err, &state)
	require.Equal(t, "40001", state.SQLState())
	require.NotErrorIs(t, err, dedupe.ErrLeaseLost)
	require.NoError(t, tx.Rollback())
	claim(t, s, key("1"), amply, dedupe.InFlight)
	require.NoError(t, s.InTx(t.Context(), c, b.effect("1")))
	require.Equal(t, 1, b.count("1"))
}

// A handler that runs during the receiver's renewals succeeds at the first
// attempt under every default isolation. Each lease gets a new delivery.
func TestStrictTransactionOutlivesRenewals(t *testing.T) {
	t.Parallel()
	for _, isolation := range []string{"read committed", "repeatable read", "serializable"} {
		t.Run(isolation, func(t *testing.T) {
			t.Parallel()
			b := openPostgres(t)
			b.effects()
			s := b.store(strictDB(t, isolation))
			for lease := 3 * time.Second; ; lease *= 2 {
				id := "whk_" + lease.String()
				e := newEndpoint(t, s, slowly(b, s, lease+200*time.Millisecond), receiver.WithLease(lease), receiver.WithStoreTimeout(patience))
				status, answer := e.post(id)
				if status != http.StatusOK {
					// A slow machine renews too late.
					require.Less(t, lease, patience/4, "%d %s", status, answer)
					continue
				}
				_, answer = e.post(id)
				require.JSONEq(t, `{"received":true,"duplicate":true}`, answer)
				require.Equal(t, 1, b.count(id))
				return
			}
		})
	}
}

// slowly returns a handler whose effect is in the transaction of the
// completion, which stays open for a time.
func slowly(b *backend, s *sqldedupe.Store, open time.Duration) receiver.EventHandler {
	return func(ctx context.Context, _ *payload.Event) error {
		d, _ := receiver.FromContext(ctx)
		return d.CompleteWith(func(c dedupe.Claim) error {
			return s.InTx(ctx, c, func(ctx context.Context, tx *sql.Tx) error {
				if err := b.effect(d.ID)(ctx, tx); err != nil {
					return err
				}
				// on the server's clock
				time.Sleep(open)
				return nil
			})
		})
	}
}

func strictDB(t testing.TB, isolation string) *sql.DB {
	t.Helper()
	return postgresDB(t, servicetest.PostgresURL(t)+"&default_transaction_isolation="+url.PathEscape(isolation))
}

// A default isolation that becomes stricter after the store was created costs
// one attempt.
func TestIsolationThatChanges(t *testing.T) {
	t.Parallel()
	b := openPostgres(t)
	b.effects()
	s := b.store(b.db)
	b.db.SetMaxOpenConns(1)
	_, err := b.db.ExecContext(t.Context(), "SET default_transaction_isolation = 'repeatable read'")
	require.NoError(t, err)
	renewing := b.store(b.open())
	c := claim(t, s, key("1"), amply, dedupe.Claimed)
	attempt := func(renew func(context.Context) error) error {
		return s.InTx(t.Context(), c, func(ctx context.Context, tx *sql.Tx) error {
			if err := b.effect("1")(ctx, tx); err != nil {
				return err
			}
			return renew(ctx)
		})
	}
	var state interface{ SQLState() string }
	require.ErrorAs(t, attempt(func(ctx context.Context) error { return renewing.Renew(ctx, c, amply) }), &state)
	require.Equal(t, "40001", state.SQLState())
	require.NoError(t, attempt(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		// The claim is completed first now, so the renewal waits in vain.
		_ = renewing.Renew(ctx, c, amply)
		return nil
	}))
	require.Equal(t, 1, b.count("1"))
}

// A completion at the start of the transaction may conflict with a concurrent
// renewal. InTx then starts again, and calls the function once.
func TestStrictTransactionMeetsRenewal(t *testing.T) {
	t.Parallel()
	b := openPostgres(t)
	b.effects()
	s := b.store(strictDB(t, "repeatable read"))
	c := claim(t, s, key("1"), amply, dedupe.Claimed)
	renewal := begin(t, b.db) // does the same as Renew, but slowly
	_, err := renewal.ExecContext(t.Context(), "UPDATE "+b.table+" SET expires = expires + interval '1 second'")
	require.NoError(t, err)
	calls, done := 0, make(chan error, 1)
	go func() {
		done <- s.InTx(t.Context(), c, func(ctx context.Context, tx *sql.Tx) error {
			calls++
			return b.effect("1")(ctx, tx)
		})
	}()
	require.Eventually(t, func() bool {
		var waiting bool
		err := b.db.QueryRowContext(t.Context(), "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%UPDATE%"+b.table+"%'").Scan(&waiting)
		require.NoError(t, err)
		return waiting
	}, patience, 10*time.Millisecond)
	require.NoError(t, renewal.Commit())
	require.NoError(t, <-done)
	require.Equal(t, 1, calls)
	require.Equal(t, 1, b.count("1"))
}

// Under SERIALIZABLE, concurrent copies make transactions fail. After retries,
// each delivery takes effect once.
func TestSerializableEffects(t *testing.T) {
	t.Parallel()
	b := openPostgres(t)
	b.effects()
	b.db = postgresDB(t, servicetest.PostgresURL(t)+"&default_transaction_isolation=serializable")
	s := b.store(b.db)
	var conflicts atomic.Int64
	deliver := func(id string) error {
		for {
			c, err := s.Claim(t.Context(), key(id), amply)
			switch {
			case err != nil:
				return err
			case c.State == dedupe.Completed:
				return nil
			case c.State == dedupe.InFlight:
				time.Sleep(5 * time.Millisecond) // a real server
				continue
			}
			err = s.InTx(t.Context(), c, b.effect(id))
			if err == nil {
				return nil
			}
			var state interface{ SQLState() string }
			if !errors.As(err, &state) || state.SQLState() != "40001" {
				return err
			}
			conflicts.Add(1)
			if err := s.Release(context.WithoutCancel(t.Context()), c); err != nil {
				return err
			}
		}
	}
	for n := range 20 {
		var copies sync.WaitGroup
		for range 8 {
			copies.Go(func() {
				if err := deliver(fmt.Sprint(n)); err != nil {
					t.Error(err)
				}
			})
		}
		copies.Wait()
		require.Equal(t, 1, b.count(fmt.Sprint(n)))
	}
	t.Logf("%d conflicts", conflicts.Load())
}

// Several stores on one table exceed the capacity by at most as many keys as
// there are stores.
func TestCapacityIsShared(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		const capacity = 100
		var stores []*sqldedupe.Store
		for range 3 {
			stores = append(stores, b.store(b.db, sqldedupe.WithCapacity(capacity)))
		}
		held := 0
		for i := range 3 * capacity {
			_, err := stores[i%3].Claim(t.Context(), key(fmt.Sprint(i)), amply)
			if err == nil {
				held++
				continue
			}
			require.ErrorIs(t, err, dedupe.ErrFull)
		}
		require.GreaterOrEqual(t, held, capacity)
		require.LessOrEqual(t, held, capacity+len(stores))
		claim(t, stores[0], key("0"), amply, dedupe.InFlight)
	})
}

// Concurrent callers do not exceed the capacity of a store.
func TestCapacityIsExact(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		const capacity = 40
		s := b.store(b.db, sqldedupe.WithCapacity(capacity))
		var held atomic.Int64
		var callers sync.WaitGroup
		for w := range 8 {
			callers.Go(func() {
				for i := range capacity {
					// Two callers use each key, so that some of the reserved
					// room is returned.
					c, err := s.Claim(t.Context(), key(fmt.Sprint(w/2, " ", i)), amply)
					if err == nil && c.State == dedupe.Claimed {
						held.Add(1)
					} else if err != nil && !errors.Is(err, dedupe.ErrFull) {
						t.Error(err)
					}
				}
			})
		}
		callers.Wait()
		require.LessOrEqual(t, held.Load(), int64(capacity))
		require.Equal(t, int(held.Load()), b.rows())
	})
}
