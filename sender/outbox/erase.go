package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb"
)

// EraseEvent deletes what an event says, for a person who asks for it: its body
// in every format, and the headers, errors and answers of its attempts. Pending
// deliveries are canceled. What is left says that the event existed, and when,
// where and how it was delivered: IDs, types, the deployment's ID, times,
// states, status codes, sizes. Its ID stays taken, so publishing the event
// again stores nothing. An attempt in flight is finished, and its answer is not
// stored.
//
// In a SQLite file that [OpenSQLite] has created, the text is also gone from
// the file and its write-ahead log when EraseEvent returns. If a reader keeps
// the log in use for 5 seconds, the error wraps [ErrFileInUse]. The event is
// erased then, and a second call cleans the file. Each call reads the whole
// file, which takes some seconds for each gigabyte. Others write meanwhile.
//
// Other files keep deleted text until it is overwritten. Run VACUUM and then
// PRAGMA wal_checkpoint(TRUNCATE) there, or set PRAGMA secure_delete in every
// process. PostgreSQL removes the old versions of rows with the next VACUUM of
// the tables outbox_body, outbox_attempt and outbox_delivery, and keeps the
// text in its write-ahead log until that is recycled. Backups and archived logs
// keep it until they are deleted, everywhere.
//
// Erasing twice is no error. An ID that the app does not have is one
// ([ErrUnknownEvent]).
func (a *App) EraseEvent(ctx context.Context, eventID string) error {
	if err := a.open(); err != nil {
		return err
	}
	if !a.of(eventID).storable() {
		return unknownEvent(eventID)
	}
	err := a.o.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
		if err := erase(ctx, a.o.db, tx, a.of(eventID)); err != nil {
			return err
		}
		return a.o.ordering.unblockAfter(ctx, tx, a.of(eventID))
	})
	if err != nil {
		return wrap("erasing event", err)
	}
	if err = a.o.db.Scrub(ctx); errors.Is(err, sqldb.ErrInUse) {
		return fmt.Errorf("%w: %w; erase the event again later", ErrFileInUse, err)
	}
	return wrap("cleaning the file after an erasure", err)
}

func unknownEvent(id string) error { return fmt.Errorf("%w: %s", ErrUnknownEvent, clean(id)) }

// erase locks the event before its deliveries. The transaction that makes
// deliveries of a stored event locks it, too.
func erase(ctx context.Context, db *jobdb.DB, tx *jobdb.Tx, event owned) error {
	now := micros(time.Now())
	// A hash could reveal a short text.
	found, err := tx.Exec(ctx, `UPDATE {schema}outbox_event SET hash = '', erased_at = CASE WHEN erased_at = 0 THEN ? ELSE erased_at END
		WHERE app = ? AND id = ?`, now, event.app, event.id)
	if err != nil {
		return err
	}
	// Recorders lock deliveries in this order.
	lock := ` ORDER BY id FOR UPDATE`
	if db.Dialect() == jobdb.SQLite {
		lock = ``
	}
	deliveries, err := jobdb.Collect(ctx, tx, scanText, `SELECT id FROM {schema}outbox_delivery WHERE app = ? AND event = ?`+lock,
		event.app, event.id)
	if err != nil {
		return err
	}
	if found == 0 && len(deliveries) == 0 {
		return unknownEvent(event.id)
	}
	if err := deleteContents(ctx, db, tx, keys{[]string{event.app}, []string{event.id}}); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE {schema}outbox_delivery SET state = ?, done_at = ?, next_at = 0, last_error = 'the event was erased'
		WHERE app = ? AND event = ? AND state = 'pending'`, string(Canceled), now, event.app, event.id)
	return err
}
