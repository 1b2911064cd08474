package outbox

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb"
)

const (
	// maxPaceWait is the longest that a delivery waits in memory for its slot, and
	// maxPaceWaits is how many do so at once in a process.
	maxPaceWait  = 500 * time.Millisecond
	maxPaceWaits = 64
)

// replayPace keeps the rate of replays. A replay spaces the times of its
// deliveries, but many are due at once after a pause in which no process ran or
// the endpoint's circuit breaker was open. So the first attempt of each
// delivery takes a slot when it comes. A delivery whose slot would be far away
// is put off behind those that were put off before.
type replayPace struct {
	db      *jobdb.DB
	batches *sqldb.Combiner[*paced, struct{}]
	waiting atomic.Int64 // deliveries that wait in memory
}

// paced is a delivery that needs a slot.
type paced struct {
	id, replay, endpoint string
	job                  int64
	at                   time.Time // when it comes
	taken                bool      // it has the slot of this time
}

func newReplayPace(db *jobdb.DB, faults *contain.Faults) *replayPace {
	p := &replayPace{db: db}
	p.batches = newBatcher(faults, inPacing, p.take)
	return p
}

// paceRow is the row of a replay and an endpoint in outbox_replay_pace, in
// microseconds of the database's clock.
type paceRow struct {
	spacing int64
	slot    int64 // the last one that was taken
	putOff  int64 // when the last delivery comes that was put off
}

// take takes the next slot if it is at most ahead in the future. Otherwise it
// returns a later time.
func (p *paceRow) take(now, ahead int64) (at int64, taken bool) {
	if p.slot > now+maxPaceWait.Microseconds() { // the clock was set back
		p.slot = now - p.spacing
	}
	if next := max(p.slot+p.spacing, now); next <= now+ahead {
		p.slot = next
		return next, true
	}
	p.putOff = max(p.putOff, p.slot) + p.spacing
	return p.putOff, false
}

// take gives each delivery a time. Those without a slot are put off in the
// database.
func (p *replayPace) take(ctx context.Context, all []*paced) ([]struct{}, error) {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	// All processes lock the rows in the same order.
	sorted := slices.SortedFunc(slices.Values(all), (*paced).compare)
	err := p.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
		for begin := 0; begin < len(sorted); {
			end := begin + 1
			for end < len(sorted) && sorted[end].compare(sorted[begin]) == 0 {
				end++
			}
			if err := p.takeAll(ctx, tx, sorted[begin:end]); err != nil {
				return err
			}
			begin = end
		}
		return nil
	})
	return make([]struct{}, len(all)), wrap("pacing replays", err)
}

func (d *paced) compare(other *paced) int {
	return cmp.Or(cmp.Compare(d.replay, other.replay), cmp.Compare(d.endpoint, other.endpoint))
}

// takeAll gives deliveries of one replay to one endpoint their times.
func (p *replayPace) takeAll(ctx context.Context, tx *jobdb.Tx, all []*paced) error {
	replay, endpoint := all[0].replay, all[0].endpoint
	_, err := tx.Exec(ctx, `INSERT INTO {schema}outbox_replay_pace (replay, endpoint, spacing, slot_at, put_off_until)
		SELECT id, ?, spacing, 0, 0 FROM {schema}outbox_replay WHERE id = ? ON CONFLICT (replay, endpoint) DO NOTHING`, endpoint, replay)
	if err != nil {
		return err
	}
	lock := ``
	if p.db.Dialect() == jobdb.Postgres {
		lock = ` FOR UPDATE`
	}
	var (
		row paceRow
		now int64
	)
	err = tx.QueryRow(ctx, `SELECT spacing, slot_at, put_off_until, `+(&rateSlots{db: p.db}).now()+` FROM {schema}outbox_replay_pace
		WHERE replay = ? AND endpoint = ?`+lock, replay, endpoint).Scan(&row.spacing, &row.slot, &row.putOff, &now)
	if errors.Is(err, jobdb.ErrNoRows) { // the replay was forgotten, which no longer has a rate
		for _, d := range all {
			d.taken, d.at = true, time.Now()
		}
		return nil
	}
	if err != nil {
		return err
	}
	if err := p.decide(ctx, tx, &row, now, all); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE {schema}outbox_replay_pace SET slot_at = ?, put_off_until = ? WHERE replay = ? AND endpoint = ?`,
		row.slot, row.putOff, replay, endpoint)
	return err
}

func (p *replayPace) decide(ctx context.Context, tx *jobdb.Tx, row *paceRow, now int64, all []*paced) error {
	free := maxPaceWaits - p.waiting.Load()
	for _, d := range all {
		ahead := maxPaceWait.Microseconds()
		if free--; free < 0 {
			ahead = 0
		}
		var at int64
		at, d.taken = row.take(now, ahead)
		d.at = time.Now().Add(micro(at - now))
		if d.taken {
			continue
		}
		_, err := tx.Exec(ctx, `UPDATE {schema}outbox_delivery SET next_at = ? WHERE id = ? AND state = 'pending' AND job = ?`,
			micros(d.at), d.id, d.job)
		if err != nil {
			return err
		}
	}
	return nil
}

// wait has the first attempt of a replayed delivery wait until the rate of the
// replay allows it. If that is not soon, it is not ready and next says when.
func (p *replayPace) wait(ctx context.Context, d *loaded) (next jobdb.Next, ready bool) {
	if d.replay == "" || d.step > 0 {
		return next, true
	}
	slot := &paced{id: d.id, replay: d.replay, endpoint: d.endpoint, job: d.job}
	if _, err := p.batches.Do(ctx, slot); err != nil {
		return jobdb.Failed(err), false
	}
	if !slot.taken {
		return jobdb.After(time.Until(slot.at)), false
	}
	p.waiting.Add(1)
	defer p.waiting.Add(-1)
	timer := time.NewTimer(time.Until(slot.at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return next, true
	case <-ctx.Done():
		return jobdb.Failed(context.Cause(ctx)), false
	}
}
