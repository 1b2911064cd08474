package inbox

import (
	"context"
	"fmt"

	"github.com/deployhook/deployhook/internal/jobdb"
)

const replayHead = `UPDATE {schema}inbox_delivery SET state = 'pending', round = round + 1, attempts = 0, retry_at = 0,
	finished_at = 0, dead_error = '' WHERE `

// Replay makes a finished delivery pending again. Its handler is called again,
// with all attempts available.
//
//	delivery     effect of Replay
//	Dead         handled again
//	Handled      handled again, so its effect takes place again
//	Superseded   handled, or superseded again if it is still stale
//	Pending      error that wraps [ErrPending]
//	missing      error that wraps [ErrNotFound]
func (in *Inbox) Replay(ctx context.Context, id int64) error {
	if err := in.open(); err != nil {
		return err
	}
	n, err := in.replay(ctx, "state <> 'pending' AND id = ?", id)
	if err != nil {
		return fmt.Errorf("inbox: Replay: %w", err)
	}
	if n > 0 {
		return nil
	}
	if _, err := in.Get(ctx, id); err != nil {
		return err
	}
	return fmt.Errorf("%w: %d", ErrPending, id)
}

// replayBatch keeps transactions short.
const replayBatch = 50

// ReplayDead replays the dead letters that f selects, oldest first, and returns
// how many. It replays each delivery once that was dead at the start of the
// call. It ignores the State of f. If it returns an error, the first n
// deliveries were replayed.
func (in *Inbox) ReplayDead(ctx context.Context, f Filter) (n int, err error) {
	if err := in.open(); err != nil {
		return 0, err
	}
	f.State = Dead
	where, args := f.where()
	var last int64
	err = in.db.QueryRow(ctx, "SELECT coalesce(max(id), 0) FROM {schema}inbox_delivery WHERE "+where, args...).Scan(&last)
	if err != nil {
		return 0, fmt.Errorf("inbox: ReplayDead: %w", err)
	}
	var after int64
	for after < last {
		ids, err := jobdb.Collect(ctx, in.db, scanID, "SELECT id FROM {schema}inbox_delivery WHERE "+where+
			" AND id > ? AND id <= ? ORDER BY id LIMIT ?", append(args[:len(args):len(args)], after, last, replayBatch)...)
		if err != nil {
			return n, fmt.Errorf("inbox: ReplayDead: %w", err)
		}
		if len(ids) == 0 {
			break
		}
		which, arg := in.db.IsAnyOf("id", ids)
		more, err := in.replay(ctx, "state = 'dead' AND "+which, arg)
		n += more
		if err != nil {
			return n, fmt.Errorf("inbox: ReplayDead: %w", err)
		}
		after = ids[len(ids)-1]
	}
	return n, nil
}

// replay makes matching deliveries pending and gives each a new job.
func (in *Inbox) replay(ctx context.Context, where string, args ...any) (n int, err error) {
	err = in.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
		rows, err := jobdb.Collect(ctx, tx, func(r jobdb.Row) (s insertion, err error) {
			return s, r.Scan(&s.id, &s.round, &s.key)
		}, replayHead+where+" RETURNING id, round, delivery_key", args...)
		if err != nil || len(rows) == 0 {
			return err
		}
		n = len(rows)
		return in.enqueue(ctx, tx, rows)
	})
	if err != nil {
		return 0, err
	}
	if n > 0 {
		in.queue.Kick()
	}
	return n, nil
}
