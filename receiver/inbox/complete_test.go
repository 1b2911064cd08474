package inbox_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
)

// app is the application's part of the inbox's database. It is a table with a
// row for each effect.
type app struct {
	// inTx runs f in a transaction of the application.
	inTx func(ctx context.Context, f func(tx appTx) error) error
	// all returns the effects.
	all func(ctx context.Context) ([]string, error)
}

// appTx is a transaction of the application.
type appTx struct {
	// complete is CompleteTx or CompletePgxTx.
	complete func(ctx context.Context, a *inbox.Attempt) error
	// effect inserts an effect.
	effect func(text string) error
}

// withApp runs a test on both databases and with both kinds of transactions,
// each with the application's table.
func withApp(t *testing.T, test func(t *testing.T, open opener, a app)) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "app.db")
		own := openAppSQLite(t, path)
		test(t, func(h receiver.EventHandler, opts ...inbox.Option) *inbox.Inbox {
			in, err := inbox.OpenSQLite(t.Context(), path, h, append(testOptions(), opts...)...)
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, in.Close()) })
			return in
		}, own)
	})
	postgres := func(t *testing.T, pool *pgxpool.Pool, own app) {
		test(t, func(h receiver.EventHandler, opts ...inbox.Option) *inbox.Inbox {
			in, err := inbox.NewPostgres(t.Context(), pool, h, append(testOptions(), opts...)...)
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, in.Close()) })
			return in
		}, own)
	}
	t.Run("Postgres", func(t *testing.T) {
		t.Parallel()
		pool := sqldbtest.NewPool(t)
		postgres(t, pool, openAppPostgres(t, pool))
	})
	t.Run("Postgres through database-sql", func(t *testing.T) {
		t.Parallel()
		pool := sqldbtest.NewPool(t)
		postgres(t, pool, openAppSQL(t, stdlib.OpenDBFromPool(pool), "INSERT INTO effect VALUES ($1)"))
	})
}

const createEffects = "CREATE TABLE IF NOT EXISTS effect (delivery text NOT NULL)"

func openAppSQLite(t testing.TB, path string) app {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(60000)&_pragma=journal_mode(WAL)&_txlock=immediate")
	require.NoError(t, err)
	return openAppSQL(t, db, "INSERT INTO effect VALUES (?)")
}

func openAppSQL(t testing.TB, db *sql.DB, insert string) app {
	t.Helper()
	t.Cleanup(func() { _ = db.Close() })
	_, err := db.ExecContext(t.Context(), createEffects)
	require.NoError(t, err)
	return app{
		inTx: func(ctx context.Context, f func(appTx) error) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
			err = f(appTx{
				func(ctx context.Context, a *inbox.Attempt) error { return a.CompleteTx(ctx, tx) },
				func(text string) error {
					_, err := tx.ExecContext(ctx, insert, text)
					return err
				},
			})
			if err != nil {
				return err
			}
			return tx.Commit()
		},
		all: func(ctx context.Context) (all []string, err error) {
			rows, err := db.QueryContext(ctx, "SELECT delivery FROM effect")
			if err != nil {
				return nil, err
			}
			defer rows.Close()
			for rows.Next() {
				var one string
				if err := rows.Scan(&one); err != nil {
					return nil, err
				}
				all = append(all, one)
			}
			return all, rows.Err()
		},
	}
}

func openAppPostgres(t testing.TB, pool *pgxpool.Pool) app {
	t.Helper()
	_, err := pool.Exec(t.Context(), createEffects)
	require.NoError(t, err)
	return app{
		inTx: func(ctx context.Context, f func(appTx) error) error {
			return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				return f(appTx{
					func(ctx context.Context, a *inbox.Attempt) error { return a.CompletePgxTx(ctx, tx) },
					func(text string) error {
						_, err := tx.Exec(ctx, "INSERT INTO effect VALUES ($1)", text)
						return err
					},
				})
			})
		},
		all: func(ctx context.Context) ([]string, error) {
			rows, err := pool.Query(ctx, "SELECT delivery FROM effect")
			if err != nil {
				return nil, err
			}
			return pgx.CollectRows(rows, pgx.RowTo[string])
		},
	}
}

// list counts the effects of each delivery.
func (a app) list(t *testing.T) map[string]int {
	t.Helper()
	all, err := a.all(context.WithoutCancel(t.Context()))
	require.NoError(t, err)
	list := make(map[string]int)
	for _, id := range all {
		list[id]++
	}
	return list
}

func (a app) count(t *testing.T) (n int) {
	t.Helper()
	for _, times := range a.list(t) {
		n += times
	}
	return n
}

// handle inserts the effect and completes the delivery in one transaction.
func (a app) handle(ctx context.Context, _ *payload.Event) error {
	d, _ := receiver.FromContext(ctx)
	attempt, _ := inbox.FromContext(ctx)
	return a.inTx(ctx, func(tx appTx) error {
		if err := tx.effect(d.ID); err != nil {
			return err
		}
		return tx.complete(ctx, attempt)
	})
}

func TestCompleteTx(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]inbox.Option{"unordered": nil, "ordered": {inbox.WithOrdering()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withApp(t, func(t *testing.T, open opener, own app) {
				in := open(own.handle, opts...)
				at := newEndpoint(t, in, "platform")
				for i := range 5 {
					at.accept(started(i))
				}
				start(t, in)
				reaches(t, in, inbox.Stats{Handled: 5})
				assert.Equal(t, 5, own.count(t))
				assert.Equal(t, 1, func() int { l, _ := in.List(t.Context(), inbox.Filter{}, inbox.Page{}); return l.Items[0].Attempts }())
			})
		})
	}
}

// Handlers that fail after their commit have still handled the delivery.
func TestCompleteTx_CommittedIsHandled(t *testing.T) {
	t.Parallel()
	withApp(t, func(t *testing.T, open opener, own app) {
		in := open(func(ctx context.Context, e *payload.Event) error {
			if err := own.handle(ctx, e); err != nil {
				return err
			}
			panic("after the commit")
		})
		newEndpoint(t, in, "platform").accept(started(1))
		start(t, in)
		reaches(t, in, inbox.Stats{Handled: 1})
		assert.Equal(t, 1, own.count(t))
	})
}

func TestCompleteTx_UncommittedIsNotHandled(t *testing.T) {
	t.Parallel()
	withApp(t, func(t *testing.T, open opener, own app) {
		rolledBack := errors.New("rolled back")
		var n atomic.Int32
		results := make(chan inbox.Result, 10)
		in := open(func(ctx context.Context, e *payload.Event) error {
			if n.Add(1) > 2 {
				return own.handle(ctx, e)
			}
			a, _ := inbox.FromContext(ctx)
			err := own.inTx(ctx, func(tx appTx) error {
				assert.NoError(t, tx.effect("x"))
				assert.NoError(t, tx.complete(ctx, a))
				return rolledBack
			})
			assert.ErrorIs(t, err, rolledBack)
			if n.Load() == 2 {
				return err
			}
			return nil // nil, although it did not commit
		}, inbox.WithObserver(func(_ context.Context, r inbox.Result) { results <- r }))
		newEndpoint(t, in, "platform").accept(started(1))
		start(t, in)
		reaches(t, in, inbox.Stats{Handled: 1})
		require.ErrorIs(t, (<-results).Err, inbox.ErrNotCompleted)
		require.ErrorIs(t, (<-results).Err, rolledBack)
		require.NoError(t, (<-results).Err)
		assert.Equal(t, 1, own.count(t))
	})
}

func TestCompleteTx_Refusals(t *testing.T) {
	t.Parallel()
	withApp(t, func(t *testing.T, open opener, own app) {
		attempts := make(chan *inbox.Attempt, 1)
		in := open(func(ctx context.Context, e *payload.Event) error {
			a, _ := inbox.FromContext(ctx)
			assert.Error(t, a.CompleteTx(ctx, nil))
			assert.Error(t, a.CompletePgxTx(ctx, nil))
			if err := own.handle(ctx, e); err != nil {
				return err
			}
			err := own.handle(ctx, e) // already handled, so a second effect must not commit
			assert.ErrorIs(t, err, inbox.ErrOver)
			attempts <- a
			return err
		})
		newEndpoint(t, in, "platform").accept(started(1))
		start(t, in)
		reaches(t, in, inbox.Stats{Handled: 1})
		a := <-attempts
		require.Eventually(t, func() bool {
			return errors.Is(own.inTx(t.Context(), func(tx appTx) error { return tx.complete(t.Context(), a) }), inbox.ErrOver)
		}, patience, often, "after its end")
		assert.Equal(t, 1, own.count(t))
	})
}

// If the process crashes between the handler's commit and the queue's, the job
// runs again and finds the delivery handled.
func TestCompleteTx_CrashAfterCommit(t *testing.T) {
	t.Parallel()
	withApp(t, func(t *testing.T, open opener, own app) {
		in := open(own.handle)
		newEndpoint(t, in, "platform").accept(started(1))
		start(t, in)
		reaches(t, in, inbox.Stats{Handled: 1})
		assert.Equal(t, jobdb.Done(), in.RunAgain(t.Context(), only(t, in).ID))
		assert.Equal(t, 1, own.count(t))
		assert.Equal(t, inbox.Handled, only(t, in).State)
	})
}

// CompleteTx called after the handler returned must fail. The delivery is
// retried and has no effect so far.
func TestCompleteTx_AfterHandlerReturned(t *testing.T) {
	t.Parallel()
	withApp(t, func(t *testing.T, open opener, own app) {
		var left *inbox.Attempt
		in := open(func(ctx context.Context, _ *payload.Event) error {
			left, _ = inbox.FromContext(ctx)
			return errors.New("given up")
		})
		newEndpoint(t, in, "platform").accept(started(1))
		requireWaits(t, in.Work(t.Context(), only(t, in).ID, 0))
		err := own.inTx(t.Context(), func(tx appTx) error { return tx.complete(t.Context(), left) })
		require.ErrorIs(t, err, inbox.ErrOver)
		assert.Equal(t, inbox.Pending, only(t, in).State)
	})
}

// A slow worker that was assumed dead can't complete a delivery that was
// replayed since. Its effect is rolled back.
func TestCompleteTx_OfAnEarlierRound(t *testing.T) {
	t.Parallel()
	withApp(t, func(t *testing.T, open opener, own app) {
		began, release := make(chan struct{}), make(chan struct{})
		completed := make(chan error, 1)
		slow := open(func(ctx context.Context, e *payload.Event) error {
			close(began)
			<-release
			err := own.handle(ctx, e)
			completed <- err
			return err
		})
		other := open(func(context.Context, *payload.Event) error { return nil })
		newEndpoint(t, other, "platform").accept(started(1))
		id := only(t, other).ID
		go func() { _ = slow.WorkRound(t.Context(), id, 0, 1) }()
		<-began
		_ = other.WorkRound(t.Context(), id, 0, 1)
		require.NoError(t, other.Replay(t.Context(), id))
		close(release)
		require.ErrorIs(t, <-completed, inbox.ErrOver)
		require.Zero(t, own.count(t))
		require.Equal(t, inbox.Pending, only(t, other).State)
	})
}
