package outbox

import (
	"context"
	"sync"
	"time"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/jobdb"
)

const (
	// placeBatch is the number of events that get a position in one transaction.
	placeBatch = 1000
	// placeEvery is the pause between two rounds of placing while consumers poll.
	placeEvery = 100 * time.Millisecond
	// placeFor is how long after the last poll events are placed.
	placeFor = 30 * time.Second
	// placeAge is how long after its commit an event may be without a position for
	// a consumer that polls.
	placeAge = time.Second
)

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
//
// A consumer does not wait for this while it polls. The process in which it
// polls places events in the background. Nothing is placed there for an
// application that never polls.
type feed struct {
	db     *jobdb.DB
	faults *contain.Faults
	ctx    context.Context // ends with close
	end    context.CancelFunc
	tasks  sync.WaitGroup

	mu      sync.Mutex
	asked   time.Time // by the last poll
	placed  time.Time // when the last round began that has placed all it found
	placing bool      // in the background
}

func newFeed(db *jobdb.DB, faults *contain.Faults) *feed {
	f := &feed{db: db, faults: faults}
	f.ctx, f.end = context.WithCancel(context.Background())
	return f
}

// close ends what runs in the background.
func (f *feed) close() {
	f.mu.Lock()
	f.end()
	f.mu.Unlock()
	f.tasks.Wait()
}

// poll sees to it that all events have a position whose transactions were
// committed a while ago.
func (f *feed) poll(ctx context.Context) error {
	if f.db.Dialect() == jobdb.SQLite { // see nextPosition
		return nil
	}
	if f.fresh() {
		return nil
	}
	return f.round(ctx)
}

// fresh reports whether the last round is young enough for a poll. From now on
// there are rounds in the background.
func (f *feed) fresh() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = time.Now()
	if !f.placing && f.ctx.Err() == nil {
		f.placing = true
		f.tasks.Go(func() { f.faults.Run(f.ctx, inPlacing, f.rounds) })
	}
	return f.asked.Sub(f.placed) < placeAge
}

// rounds places events until polling stops.
func (f *feed) rounds(ctx context.Context) {
	tick := time.NewTicker(placeEvery)
	defer tick.Stop()
	for f.wanted() {
		select {
		case <-tick.C:
			_ = f.round(ctx) // a poll places them itself if rounds fail, and returns the error
		case <-ctx.Done():
			return
		}
	}
}

func (f *feed) wanted() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.placing = time.Since(f.asked) < placeFor
	return f.placing
}

// round places all events that were committed before it began.
func (f *feed) round(ctx context.Context) error {
	begun := time.Now()
	if err := f.place(ctx); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if begun.After(f.placed) {
		f.placed = begun
	}
	return nil
}

// place gives a position to each event that has been committed and has none.
func (f *feed) place(ctx context.Context) error {
	if f.db.Dialect() == jobdb.SQLite { // see nextPosition
		return nil
	}
	for {
		var waiting int64
		err := f.db.QueryRow(ctx, `SELECT count(*) FROM (SELECT FROM {schema}outbox_event WHERE position = 0 LIMIT 1) e`).Scan(&waiting)
		if err != nil || waiting == 0 {
			return wrap("placing events", err)
		}
		var n int64
		err = f.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) (err error) {
			n, err = placeBatchOf(ctx, tx)
			return err
		})
		if err != nil || n < placeBatch {
			return wrap("placing events", err)
		}
	}
}

func placeBatchOf(ctx context.Context, tx *jobdb.Tx) (int64, error) {
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
func nextPosition(d jobdb.Dialect) string {
	if d == jobdb.SQLite {
		return `MAX({now}, COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'outbox_event'), 0) + 1)`
	}
	return `0`
}
