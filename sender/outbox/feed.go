package outbox

import (
	"context"
	"time"

	"github.com/deployhook/deployhook/internal/riverdb"
)

// placeBatch is the number of events that get a position in one transaction.
const placeBatch = 1000

// feed hands out the positions by which consumers poll events.
//
// A position must be later than all positions that a consumer can have seen,
// and no event with an earlier one may appear afterwards. On PostgreSQL neither
// a sequence nor a time that a publisher takes has this property, since
// transactions commit in another order. So events get their positions after
// their transaction has been committed, by one transaction at a time, which
// holds the row of outbox_position.
//
// Positions are microseconds since 1970, or one more than the last position if
// the clock is behind it. After a restore of an old backup they therefore
// continue above all that a consumer has seen.
type feed struct{ db *riverdb.DB }

// place gives a position to each event that has been committed and has none.
func (f *feed) place(ctx context.Context) error {
	if f.db.Dialect() == riverdb.SQLite { // see nextPosition
		return nil
	}
	for {
		var waiting int64
		err := f.db.QueryRow(ctx, `SELECT count(*) FROM (SELECT FROM {schema}outbox_event WHERE position = 0 LIMIT 1) e`).Scan(&waiting)
		if err != nil || waiting == 0 {
			return wrap("placing events", err)
		}
		var n int64
		err = f.db.InTx(ctx, func(ctx context.Context, tx *riverdb.Tx) (err error) {
			n, err = placeBatchOf(ctx, tx)
			return err
		})
		if err != nil || n < placeBatch {
			return wrap("placing events", err)
		}
	}
}

func placeBatchOf(ctx context.Context, tx *riverdb.Tx) (int64, error) {
	var last int64
	if err := tx.QueryRow(ctx, `SELECT last FROM {schema}outbox_position WHERE id = 1 FOR UPDATE`).Scan(&last); err != nil {
		return 0, err
	}
	// This statement begins after the lock was obtained, so it sees what the last
	// holder has done.
	// The condition on position is not repeated for e. With old statistics
	// PostgreSQL would expect one such row, and read the batch once for each event
	// of a backlog.
	last = max(last, micros(time.Now()))
	n, err := tx.Exec(ctx, `UPDATE {schema}outbox_event e SET position = ? + next.n FROM (
			SELECT app, id, row_number() OVER (ORDER BY created_at, app, id) AS n FROM (
				SELECT app, id, created_at FROM {schema}outbox_event WHERE position = 0 ORDER BY created_at LIMIT ?) waiting
		) next WHERE e.app = next.app AND e.id = next.id`, last, int64(placeBatch))
	if err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, `UPDATE {schema}outbox_position SET last = ? WHERE id = 1`, last+n)
	return n, err
}

// nextPosition is the position of an event that is being inserted. On SQLite
// transactions commit in the order in which they write.
func nextPosition(d riverdb.Dialect) string {
	if d == riverdb.SQLite {
		return `MAX({now}, COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'outbox_event'), 0) + 1)`
	}
	return `0`
}
