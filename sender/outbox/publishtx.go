package outbox

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/payload"
)

// PublishTx is [App.Publish] in the caller's own transaction on the outbox's
// database. The event and its deliveries exist if and when tx commits, together
// with the caller's own rows. The package documentation shows how to get the
// *sql.Tx of an ORM. [App.PublishPgxTx] takes a pgx.Tx.
//
// After an error the transaction is as it was before, and the caller can commit
// it without the event. This is also true if ctx ends, for example because
// another transaction has published under the same ID and is still open. If the
// transaction can't be restored, PublishTx rolls it back, so that its Commit
// fails and nothing is stored. That happens in these cases:
//
//   - The connection is lost.
//   - ctx ends, and PostgreSQL does not cancel the current statement within 5
//     seconds. PublishTx asks for it with pg_cancel_backend, for which the role
//     of the outbox's pool must be that of tx or a member of it.
//   - ctx ends during a statement, and the driver is Bun's pgdriver. It closes
//     the connection when a statement is canceled.
//   - SQLite ends the transaction because of an error, such as a full disk.
//   - The context that began tx ends. database/sql rolls tx back itself.
//
// On SQLite, tx belongs to a connection of the caller to the outbox's file. It
// must write from its beginning (BEGIN IMMEDIATE, with _txlock=immediate in the
// data source name of modernc.org/sqlite) if it reads before PublishTx. All
// other writers wait until it ends. The end of ctx does not interrupt a
// statement. A statement waits for the lock on the file as long as the
// connection's busy timeout says.
func (a *App) PublishTx(ctx context.Context, tx *sql.Tx, event *payload.Event, opts ...PublishOption) (Publication, error) {
	return a.publishIn(ctx, func() (*jobdb.Tx, error) { return a.o.db.WrapSQL(ctx, tx) }, event, opts)
}

// PublishPgxTx is [App.PublishTx] for the native interface of pgx. It does not
// need the right to cancel statements of another role. An outbox on SQLite
// returns a [*FieldError].
func (a *App) PublishPgxTx(ctx context.Context, tx pgx.Tx, event *payload.Event, opts ...PublishOption) (Publication, error) {
	return a.publishIn(ctx, func() (*jobdb.Tx, error) { return a.o.db.WrapPgx(tx) }, event, opts)
}

func (a *App) publishIn(ctx context.Context, wrapTx func() (*jobdb.Tx, error), event *payload.Event, opts []PublishOption) (p Publication, err error) {
	if err := a.open(); err != nil {
		return Publication{}, err
	}
	ctx, trace := a.o.follower.startPublish(ctx, a.name, event)
	p, err = a.storeIn(ctx, trace, wrapTx, event, opts)
	a.o.follower.endPublish(ctx, p, err)
	return p, err
}

func (a *App) storeIn(ctx context.Context, trace string, wrapTx func() (*jobdb.Tx, error), event *payload.Event, opts []PublishOption) (p Publication, err error) {
	draft, err := a.o.publisher.draft(ctx, a.name, event, opts)
	if err != nil {
		return Publication{}, err
	}
	draft.trace = trace
	own, err := wrapTx()
	if errors.Is(err, jobdb.ErrTx) {
		return Publication{}, &FieldError{Field: "tx", Reason: err.Error(), cause: err}
	}
	if err == nil {
		err = own.InSavepoint(ctx, func(ctx context.Context) (err error) {
			p, err = a.o.publisher.publish(ctx, own, draft)
			return err
		})
	}
	if err != nil {
		return Publication{}, wrap("publishing", err)
	}
	return p, nil
}
