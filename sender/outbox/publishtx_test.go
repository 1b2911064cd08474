package outbox_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// foreignTx is a transaction of the application's own. It has a table named
// orders.
type foreignTx struct {
	publish func(ctx context.Context, a *outbox.App, e *payload.Event, opts ...outbox.PublishOption) (outbox.Publication, error)
	exec    func(statement string) error
	end     func() error // commits

	rollback func(testing.TB)
}

func (tx foreignTx) commit(t testing.TB) {
	t.Helper()
	require.NoError(t, tx.end())
}

// begin begins a transaction of the kind that suits the world.
func (w *world) begin(t testing.TB) foreignTx {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	if w.pool != nil && w.standard == nil {
		tx, err := w.pool.Begin(ctx)
		require.NoError(t, err)
		t.Cleanup(func() { _ = tx.Rollback(ctx) })
		return foreignTx{
			publish: func(ctx context.Context, a *outbox.App, e *payload.Event, opts ...outbox.PublishOption) (outbox.Publication, error) {
				return a.PublishPgxTx(ctx, tx, e, opts...)
			},
			exec: func(statement string) error {
				_, err := tx.Exec(ctx, statement)
				return err
			},
			end:      func() error { return tx.Commit(ctx) },
			rollback: func(t testing.TB) { require.NoError(t, tx.Rollback(ctx)) },
		}
	}
	db := w.standard
	if db == nil {
		var err error
		db, err = lite(w.path)
		require.NoError(t, err)
		t.Cleanup(func() { _ = db.Close() })
	}
	tx, err := db.BeginTx(ctx, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() })
	return foreignTx{
		publish: func(ctx context.Context, a *outbox.App, e *payload.Event, opts ...outbox.PublishOption) (outbox.Publication, error) {
			return a.PublishTx(ctx, tx, e, opts...)
		},
		exec: func(statement string) error {
			_, err := tx.ExecContext(ctx, statement)
			return err
		},
		end:      tx.Commit,
		rollback: func(t testing.TB) { require.NoError(t, tx.Rollback()) },
	}
}

// onEachTx runs a test with each kind of transaction.
func onEachTx(t *testing.T, test func(t *testing.T, w *world)) {
	onEach(t, test)
	t.Run("Postgres through database-sql", func(t *testing.T) {
		t.Parallel()
		url := sqldbtest.NewDatabase(t)
		w := &world{url: url, pool: sqldbtest.OpenPool(t, url)}
		var err error
		w.standard, err = sql.Open("pgx", url)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, w.standard.Close()) })
		test(t, w)
	})
}

func TestPublishTx_HappensIfTheCallersTransactionDoes(t *testing.T) {
	t.Parallel()
	onEachTx(t, func(t *testing.T, w *world) {
		o := w.start(t)
		h := newHook(t, nil)
		create(t, o.App("shop"), endpointAt(h.URL))
		e := event(payload.DeployLive, "dep_1")

		tx := w.begin(t)
		p, err := tx.publish(t.Context(), o.App("shop"), e, outbox.WithEventID("rolled-back"))
		require.NoError(t, err)
		require.Len(t, p.Deliveries, 1)
		tx.rollback(t)
		_, err = o.App("shop").Delivery(t.Context(), p.Deliveries[0].ID)
		require.ErrorIs(t, err, outbox.ErrUnknownDelivery)

		// After an error the caller's transaction is still usable and contains nothing
		// of the event.
		tx = w.begin(t)
		kept, err := tx.publish(t.Context(), o.App("shop"), e, outbox.WithEventID("rolled-back"))
		require.NoError(t, err)
		require.False(t, kept.Duplicate, "the rolled back one left its ID behind")
		_, err = tx.publish(t.Context(), o.App("shop"), event(payload.DeployLive, "dep_9"), outbox.WithEventID("rolled-back"))
		require.ErrorIs(t, err, outbox.ErrConflict)
		_, err = tx.publish(t.Context(), o.App("nobody"), e, outbox.WithEventID("half-written"))
		require.ErrorIs(t, err, outbox.ErrUnknownApp)
		tx.commit(t)
		require.NoError(t, o.RegisterApp(t.Context(), "nobody"))
		require.False(t, publish(t, o.App("nobody"), e, outbox.WithEventID("half-written")).Duplicate)
		settled(t, o, kept.Deliveries[0].ID, outbox.Delivered)
		all, err := o.App("shop").Deliveries(t.Context(), outbox.DeliveryFilter{}, outbox.Page{})
		require.NoError(t, err)
		require.Len(t, all.Items, 1)
	})
}

func TestPublishTx_RefusesWhatFitsNoDatabase(t *testing.T) {
	t.Parallel()
	onEachTx(t, func(t *testing.T, w *world) {
		app, e := w.open(t).App("shop"), event(payload.DeployLive, "dep_1")
		_, err := app.PublishTx(t.Context(), nil, e)
		requireField(t, err, "tx")
		_, err = app.PublishPgxTx(t.Context(), nil, e)
		requireField(t, err, "tx")
		if w.pool == nil {
			require.ErrorContains(t, err, "use the method that takes a *sql.Tx")
		}
		tx := w.begin(t)
		tx.commit(t)
		_, err = tx.publish(t.Context(), app, e)
		require.Error(t, err, "it has ended")
	})
}

// ender is a format that ends the context of the call.
type ender struct{ end context.CancelFunc }

func (f ender) Encode(context.Context, *payload.Event) (string, []byte, error) {
	f.end()
	return "text/plain", []byte("text"), nil
}

// The context ends while PublishTx is writing. The caller commits its own row
// all the same.
func TestPublishTx_ContextEndsWhileItWrites(t *testing.T) {
	t.Parallel()
	onEachTx(t, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(t.Context())
		o := w.open(t, outbox.WithFormat("ender", ender{cancel}))
		c := endpointAt("http://127.0.0.1:1/")
		c.BodyFormat, c.Scheme = "ender", outbox.InsecureUnsigned
		create(t, o.App("shop"), c)
		tx := w.begin(t)
		require.NoError(t, tx.exec("CREATE TABLE orders (id text)"))
		_, err := tx.publish(ctx, o.App("shop"), event(payload.DeployLive, "dep_1"), outbox.WithEventID("e1"))
		require.ErrorIs(t, err, context.Canceled)
		requireOnlyTheirs(t, w, o, tx)
	})
}

// Another transaction has published under the same ID and is still open when
// the deadline comes. On SQLite there is no second writing transaction.
func TestPublishTx_DeadlineWhileItWaitsForALock(t *testing.T) {
	t.Parallel()
	onEachTx(t, func(t *testing.T, w *world) {
		if w.pool == nil {
			return
		}
		o := w.open(t)
		create(t, o.App("shop"), endpointAt("http://127.0.0.1:1/"))
		other, tx := w.begin(t), w.begin(t)
		_, err := other.publish(t.Context(), o.App("shop"), event(payload.DeployLive, "dep_1"), outbox.WithEventID("e1"))
		require.NoError(t, err)
		require.NoError(t, tx.exec("CREATE TABLE orders (id text)"))
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err = tx.publish(ctx, o.App("shop"), event(payload.DeployLive, "dep_1"), outbox.WithEventID("e1"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		other.rollback(t)
		requireOnlyTheirs(t, w, o, tx)
	})
}

// requireOnlyTheirs commits a transaction and requires that the table orders
// exists and the event e1 does not.
func requireOnlyTheirs(t *testing.T, w *world, o *outbox.Outbox, tx foreignTx) {
	t.Helper()
	require.NoError(t, tx.exec("INSERT INTO orders VALUES ('o1')"))
	tx.commit(t)
	require.NoError(t, w.begin(t).exec("INSERT INTO orders VALUES ('o2')"))
	all, err := o.App("shop").Deliveries(t.Context(), outbox.DeliveryFilter{}, outbox.Page{})
	require.NoError(t, err)
	require.Empty(t, all.Items)
}

// A SQLite transaction that has not written waits for the lock on the file. It
// can't be interrupted, and its caller can write once the lock is free.
func TestPublishTx_DeadlineWhileSQLiteIsLocked(t *testing.T) {
	t.Parallel()
	w := &world{path: outbox.NewSQLite(t)}
	o := w.open(t)
	create(t, o.App("shop"), endpointAt("http://127.0.0.1:1/"))
	holder := w.begin(t)
	db, err := sql.Open("sqlite", "file:"+w.path+"?_pragma=busy_timeout(100)")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	tx, err := db.BeginTx(t.Context(), nil) // deferred
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = o.App("shop").PublishTx(ctx, tx, event(payload.DeployLive, "dep_1"), outbox.WithEventID("e1"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	holder.rollback(t)
	_, err = tx.ExecContext(t.Context(), "CREATE TABLE orders (id text)")
	require.NoError(t, err)
	requireOnlyTheirs(t, w, o, foreignTx{end: tx.Commit, exec: func(statement string) error {
		_, err := tx.ExecContext(t.Context(), statement)
		return err
	}})
}

// failingTx panics when the deliveries are inserted, to stand for a faulty
// driver.
type failingTx struct{ pgx.Tx }

func (tx failingTx) Query(ctx context.Context, statement string, args ...any) (pgx.Rows, error) {
	if strings.Contains(statement, "outbox_endpoint") {
		panic("boom")
	}
	return tx.Tx.Query(ctx, statement, args...)
}

func TestPublishPgxTx_APanicLeavesNoHalfEventBehind(t *testing.T) {
	t.Parallel()
	address := sqldbtest.NewDatabase(t)
	w := &world{url: address, pool: sqldbtest.OpenPool(t, address)}
	o := w.open(t)
	create(t, o.App("shop"), endpointAt(newHook(t, nil).URL))
	tx, err := w.pool.Begin(t.Context())
	require.NoError(t, err)
	require.Panics(t, func() {
		_, _ = o.App("shop").PublishPgxTx(t.Context(), failingTx{tx}, event(payload.DeployLive, "d"), outbox.WithEventID("e1"))
	})
	require.NoError(t, tx.Commit(t.Context()))
	p := publish(t, o.App("shop"), event(payload.DeployLive, "d"), outbox.WithEventID("e1"))
	require.False(t, p.Duplicate)
	require.Len(t, p.Deliveries, 1)
}
