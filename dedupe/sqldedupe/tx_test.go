package sqldedupe_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/internal/servicetest"
)

const amply = 10 * time.Minute

func TestInTxCommitsEffectAndCompletion(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		b.effects()
		s := b.store(b.db)
		c := claim(t, s, key("1"), amply, dedupe.Claimed)
		require.NoError(t, s.InTx(t.Context(), c, b.effect("1")))
		claim(t, s, key("1"), amply, dedupe.Completed)
		require.Equal(t, 1, b.count("1"))

		err := s.InTx(t.Context(), c, b.effect("1"))
		require.ErrorIs(t, err, sqldedupe.ErrCompleted)
		require.NotErrorIs(t, err, dedupe.ErrLeaseLost)
		require.NoError(t, s.Complete(t.Context(), c), "the contract's Complete can be repeated")
		require.Equal(t, 1, b.count("1"), "a claim's effect is committed once, also if the handler tries again")
	})
}

func TestInTxRollsBack(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		b.effects()
		s := b.store(b.db)
		mine := errors.New("mine")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for name, attempt := range map[string]func(c dedupe.Claim){
			"error": func(c dedupe.Claim) {
				require.Equal(t, mine, s.InTx(t.Context(), c, func(ctx context.Context, tx *sql.Tx) error {
					require.NoError(t, b.effect("error")(ctx, tx))
					return mine
				}))
			},
			"panic": func(c dedupe.Claim) {
				require.PanicsWithValue(t, "mine", func() {
					_ = s.InTx(t.Context(), c, func(ctx context.Context, tx *sql.Tx) error {
						require.NoError(t, b.effect("panic")(ctx, tx))
						panic("mine")
					})
				})
			},
			"cancel": func(c dedupe.Claim) {
				require.ErrorIs(t, s.InTx(ctx, c, func(ctx context.Context, tx *sql.Tx) error {
					require.NoError(t, b.effect("cancel")(ctx, tx))
					cancel()
					return nil
				}), context.Canceled)
			},
			"own rollback": func(c dedupe.Claim) {
				require.ErrorIs(t, s.InTx(t.Context(), c, func(ctx context.Context, tx *sql.Tx) error {
					require.NoError(t, b.effect("own rollback")(ctx, tx))
					return tx.Rollback()
				}), sql.ErrTxDone)
			},
			"failed statement": func(c dedupe.Claim) {
				require.Error(t, s.InTx(t.Context(), c, func(ctx context.Context, tx *sql.Tx) error {
					require.NoError(t, b.effect("failed statement")(ctx, tx))
					_, err := tx.ExecContext(ctx, "SELECT nonsense")
					require.Error(t, err)
					return err
				}))
			},
		} {
			c := claim(t, s, key(name), amply, dedupe.Claimed)
			attempt(c)
			require.Zero(t, b.count(name), name)
			claim(t, s, key(name), amply, dedupe.InFlight)
			require.NoError(t, s.Release(t.Context(), c), name)
			again := claim(t, s, key(name), amply, dedupe.Claimed)
			require.NoError(t, s.InTx(t.Context(), again, b.effect(name)), "%s: the retry", name)
			require.Equal(t, 1, b.count(name), name)
		}
	})
}

func TestCompleteTx_RefusesOtherTypes(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		s := b.store(b.db)
		c := claim(t, s, key("1"), amply, dedupe.Claimed)
		for _, tx := range []sqldedupe.Tx{nil, b.db, (*sql.Tx)(nil), struct{ *sql.DB }{b.db}, &embedded{DB: b.db}, beginner{b.db, b.db}} {
			require.ErrorIs(t, s.CompleteTx(t.Context(), tx, c), dedupe.ErrInvalid)
		}
		require.ErrorIs(t, s.CompletePgxTx(t.Context(), nil, c), dedupe.ErrInvalid)
		require.ErrorIs(t, s.InTx(t.Context(), c, nil), dedupe.ErrInvalid)
		nothing := func(context.Context, *sql.Tx) error { t.Error("called"); return nil }
		require.ErrorIs(t, s.InTx(t.Context(), dedupe.Claim{}, nothing), dedupe.ErrInvalid)
		claim(t, s, key("1"), amply, dedupe.InFlight)

		ended, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, s.InTx(ended, c, nothing), context.Canceled)
		require.NoError(t, s.Close())
		require.ErrorIs(t, s.InTx(t.Context(), c, nothing), dedupe.ErrClosed)
	})
}

type (
	embedded struct{ *sql.DB } // as in sqlx.DB
	beginner struct {          // a database behind an interface
		sqldedupe.Tx
		db *sql.DB
	}
	nesting struct{ *sql.Tx } // as in bun.Tx, which begins savepoints
)

func (b beginner) BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error) {
	return b.db.BeginTx(ctx, opts)
}

func (n nesting) BeginTx(context.Context, *sql.TxOptions) (*sql.Tx, error) { return n.Tx, nil }

func TestCompleteTxTakesWrappedTransactions(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		s := b.store(b.db)
		for name, wrap := range map[string]func(tx *sql.Tx) sqldedupe.Tx{
			"plain":    func(tx *sql.Tx) sqldedupe.Tx { return tx },
			"embedded": func(tx *sql.Tx) sqldedupe.Tx { return struct{ *sql.Tx }{tx} },
			"nesting":  func(tx *sql.Tx) sqldedupe.Tx { return nesting{tx} },
		} {
			c := claim(t, s, key(name), amply, dedupe.Claimed)
			tx, err := b.db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			require.NoError(t, s.CompleteTx(t.Context(), wrap(tx), c), name)
			require.NoError(t, tx.Commit())
			claim(t, s, key(name), amply, dedupe.Completed)
		}
	})
}

// CompleteTx accepts a SQLite connection on which the caller began a
// transaction.
func TestCompleteTxOnConnection(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		s := b.store(b.db)
		for _, end := range []string{"ROLLBACK", "COMMIT"} {
			c := claim(t, s, key(end), amply, dedupe.Claimed)
			conn, err := b.db.Conn(t.Context())
			require.NoError(t, err)
			for _, statement := range []string{"BEGIN", "", end} {
				if statement == "" {
					require.NoError(t, s.CompleteTx(t.Context(), conn, c))
					continue
				}
				_, err = conn.ExecContext(t.Context(), statement)
				require.NoError(t, err)
			}
			require.NoError(t, conn.Close())
		}
		claim(t, s, key("ROLLBACK"), amply, dedupe.InFlight)
		claim(t, s, key("COMMIT"), amply, dedupe.Completed)
	})
}

// takenOver returns a claim whose lease has ended, and the claim of its
// successor.
func takenOver(t *testing.T, s, other dedupe.Store, k dedupe.Key, successorLease time.Duration) (slow, successor dedupe.Claim) {
	t.Helper()
	slow = claim(t, s, k, 50*time.Millisecond, dedupe.Claimed)
	require.Eventually(t, func() bool {
		var err error
		successor, err = other.Claim(t.Context(), k, successorLease)
		require.NoError(t, err)
		return successor.State == dedupe.Claimed
	}, patience, 10*time.Millisecond)
	return slow, successor
}

// A slow worker gets an error at the end of its transaction, and its work is
// rolled back.
func TestInTx_SlowWorkerIsRolledBack(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		b.effects()
		s, other := b.store(b.db), b.store(b.open())

		slow, successor := takenOver(t, s, other, key("running"), amply)
		require.ErrorIs(t, s.InTx(t.Context(), slow, b.effect("running")), dedupe.ErrLeaseLost)
		require.Zero(t, b.count("running"), "the successor has the delivery")
		require.NoError(t, other.InTx(t.Context(), successor, b.effect("running")))
		require.Equal(t, 1, b.count("running"))

		slow, successor = takenOver(t, s, other, key("done"), amply)
		require.NoError(t, other.InTx(t.Context(), successor, b.effect("done")))
		require.ErrorIs(t, s.InTx(t.Context(), slow, b.effect("done")), dedupe.ErrLeaseLost)
		require.Equal(t, 1, b.count("done"))

		slow, successor = takenOver(t, s, other, key("both late"), 50*time.Millisecond)
		time.Sleep(100 * time.Millisecond) // on the database's clock
		require.NoError(t, s.InTx(t.Context(), slow, b.effect("both late")), "no caller holds the key")
		require.ErrorIs(t, other.InTx(t.Context(), successor, b.effect("both late")), dedupe.ErrLeaseLost)
		require.Equal(t, 1, b.count("both late"))

		slow, successor = takenOver(t, s, other, key("given up"), amply)
		require.NoError(t, other.Release(t.Context(), successor))
		require.NoError(t, s.InTx(t.Context(), slow, b.effect("given up")), "no caller holds the key")
		require.Equal(t, 1, b.count("given up"))
	})
}

// The lease is taken over while the handler works. In PostgreSQL other callers
// can then claim the key.
func TestTakeoverDuringTransaction(t *testing.T) {
	t.Parallel()
	b := openPostgres(t)
	b.effects()
	s, other := b.store(b.db), b.store(b.open())
	slow := claim(t, s, key("1"), 50*time.Millisecond, dedupe.Claimed)
	err := s.InTx(t.Context(), slow, func(ctx context.Context, tx *sql.Tx) error {
		require.NoError(t, b.effect("1")(ctx, tx))
		var successor dedupe.Claim
		require.Eventually(t, func() bool {
			var err error
			successor, err = other.Claim(ctx, key("1"), amply)
			require.NoError(t, err)
			return successor.State == dedupe.Claimed
		}, patience, 10*time.Millisecond)
		return other.InTx(ctx, successor, b.effect("1"))
	})
	require.ErrorIs(t, err, dedupe.ErrLeaseLost)
	require.Equal(t, 1, b.count("1"))
}

// Between the completion in a transaction and its end, no other caller gets the
// delivery, although the lease has ended. No caller waits for the transaction
// either.
func TestCompleteTx_NoTakeoverBeforeTransactionEnds(t *testing.T) {
	t.Parallel()
	b := openPostgres(t)
	s, other := b.store(b.db), b.store(b.open())
	for _, commit := range []bool{true, false} {
		k := key(map[bool]string{true: "commit", false: "rollback"}[commit])
		c := claim(t, s, k, 50*time.Millisecond, dedupe.Claimed)
		tx, err := b.db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		require.NoError(t, s.CompleteTx(t.Context(), tx, c))
		time.Sleep(100 * time.Millisecond) // on the database's clock
		for range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			got, err := other.Claim(ctx, k, amply)
			cancel()
			require.NoError(t, err, "the claim is answered while the transaction is open")
			require.Equal(t, dedupe.InFlight, got.State)
			require.Equal(t, time.Second, got.RetryAfter)
		}
		if commit {
			require.NoError(t, tx.Commit())
			claim(t, other, k, amply, dedupe.Completed)
			continue
		}
		require.NoError(t, tx.Rollback())
		claim(t, other, k, amply, dedupe.Claimed)
	}
}

// In SQLite the open transaction has locked the file, and a claim waits for it
// as long as its context allows.
func TestClaimWaitsForSQLiteTransaction(t *testing.T) {
	t.Parallel()
	b := openSQLite(t)
	s, other := b.store(b.db), b.store(b.open())
	k := key("1")
	c := claim(t, s, k, 50*time.Millisecond, dedupe.Claimed)
	tx, err := b.db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	require.NoError(t, s.CompleteTx(t.Context(), tx, c))
	time.Sleep(100 * time.Millisecond) // on the database's clock

	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err = other.Claim(ctx, k, amply)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(began), busyTimeout, "the context ends the wait, not the busy timeout")

	answer := make(chan dedupe.Claim, 1)
	go func() {
		got, _ := other.Claim(t.Context(), k, amply)
		answer <- got
	}()
	require.NoError(t, tx.Commit())
	require.Equal(t, dedupe.Completed, (<-answer).State)
}

// The TTL begins when the claim is completed, not when the transaction began.
// The function now() would give the latter.
func TestClockGoesOnInTransactions(t *testing.T) {
	t.Parallel()
	b := clockedPostgres(t, servicetest.PostgresURL(t))
	s := b.store(b.db, sqldedupe.WithTTL(time.Hour), sqldedupe.InsecureUnsynced())
	tx, err := b.db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "SELECT now()")
	require.NoError(t, err)
	b.advance(61 * time.Minute)
	c := claim(t, s, key("1"), amply, dedupe.Claimed)
	require.NoError(t, s.CompleteTx(t.Context(), tx, c))
	require.NoError(t, tx.Commit())
	claim(t, s, key("1"), amply, dedupe.Completed)
}

func TestCompletePgxTx(t *testing.T) {
	t.Parallel()
	b := openPostgres(t)
	b.effects()
	s := b.store(b.db)
	pool, err := pgxpool.New(t.Context(), servicetest.PostgresURL(t)+"&pool_max_conns=4")
	require.NoError(t, err)
	defer pool.Close()
	run := func(c dedupe.Claim, id string, fail error) error {
		return pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), "INSERT INTO "+b.effectsTable()+" (id) VALUES ($1)", id); err != nil {
				return err
			}
			return errors.Join(s.CompletePgxTx(t.Context(), tx, c), fail)
		})
	}
	c := claim(t, s, key("1"), amply, dedupe.Claimed)
	mine := errors.New("mine")
	require.ErrorIs(t, run(c, "1", mine), mine)
	claim(t, s, key("1"), amply, dedupe.InFlight)
	require.NoError(t, run(c, "1", nil))
	claim(t, s, key("1"), amply, dedupe.Completed)
	require.ErrorIs(t, run(c, "1", nil), sqldedupe.ErrCompleted)
	require.Equal(t, 1, b.count("1"))

	slow, _ := takenOver(t, s, s, key("2"), amply)
	require.ErrorIs(t, run(slow, "2", nil), dedupe.ErrLeaseLost)
	require.Zero(t, b.count("2"))

	// The row was pruned. The statements return no row, which pgx reports in
	// its own way.
	late := dedupe.Claim{Key: key("3"), State: dedupe.Claimed, Token: 1}
	require.NoError(t, run(late, "3", nil))
	claim(t, s, key("3"), amply, dedupe.Completed)
}

// With several connections and transactions that begin without the file's lock,
// a transaction that has read first can no longer write after another one
// wrote. InTx writes first.
func TestInTxTakesTheLockFirst(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "test.db")+
		"?_pragma=busy_timeout(60000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	require.NoError(t, err)
	db.SetMaxOpenConns(8)
	closeAfter(t, db)
	_, err = db.ExecContext(t.Context(), "CREATE TABLE counter AS SELECT 0 AS n")
	require.NoError(t, err)
	s, err := sqldedupe.NewSQLite(t.Context(), db)
	require.NoError(t, err)
	const workers, rounds = 8, 10
	var together sync.WaitGroup
	for w := range workers {
		together.Go(func() {
			for i := range rounds {
				c, err := s.Claim(t.Context(), key(fmt.Sprint(w, " ", i)), amply)
				if err == nil {
					err = s.InTx(t.Context(), c, func(ctx context.Context, tx *sql.Tx) error {
						var n int
						if err := tx.QueryRowContext(ctx, "SELECT n FROM counter").Scan(&n); err != nil {
							return err
						}
						_, err := tx.ExecContext(ctx, "UPDATE counter SET n = ?", n+1)
						return err
					})
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	together.Wait()
	var n int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT n FROM counter").Scan(&n))
	require.Equal(t, workers*rounds, n)
}
