package outbox

import (
	"context"
	"log/slog"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb"
)

const (
	// replayInterval is how long another process takes at most to notice a replay
	// that is to be scheduled in the background.
	replayInterval = time.Second
	// replaysAtOnce is the number of replays that take turns.
	replaysAtOnce = 16
	// countSteps is how often CountReplay reads scanRows deliveries. Dead letters
	// are far apart in a large table.
	countSteps = 2
)

// begin schedules a new replay, now or in the background.
func (r *replayer) begin(ctx context.Context, row *replayRow, progress func(ReplayStatus)) (ReplayStatus, error) {
	k := owned{row.app, row.id}
	if row.background == 0 {
		return r.run(ctx, k, progress)
	}
	select {
	case r.begun <- struct{}{}:
	default:
	}
	return r.status(ctx, k)
}

// watch schedules replays in the background. Every started process does, and a
// process that crashes leaves its replays to the others.
func (r *replayer) watch(ctx context.Context) {
	tick := time.NewTicker(replayInterval)
	defer tick.Stop()
	for {
		more, err := r.takeTurn(ctx)
		if err != nil && ctx.Err() == nil {
			r.logger.WarnContext(ctx, "outbox: scheduling replays; it will be tried again", slog.Any("error", err))
		}
		if more && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-r.begun:
		case <-tick.C:
		}
	}
}

// turn schedules one batch of each of the oldest open replays, and reports
// whether there was one.
func (r *replayer) turn(ctx context.Context) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	open, err := jobdb.Collect(ctx, r.db.Reader(), func(r jobdb.Row) (k owned, err error) { return k, r.Scan(&k.app, &k.id) },
		`SELECT app, id FROM {schema}outbox_replay WHERE background = 1 AND done = 0 AND canceled_at = 0 ORDER BY id LIMIT ?`, int64(replaysAtOnce))
	if err != nil {
		return false, err
	}
	for _, k := range open {
		err := r.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
			free, err := r.isFree(ctx, tx, k)
			if err != nil || !free {
				return err
			}
			more = true
			_, err = r.scheduleBatch(ctx, tx, k)
			return err
		})
		if err != nil {
			return false, err
		}
	}
	return more, nil
}

// isFree reports whether no other process is scheduling a replay.
func (r *replayer) isFree(ctx context.Context, tx *jobdb.Tx, k owned) (bool, error) {
	if r.db.Dialect() == jobdb.SQLite {
		return true, nil
	}
	free, err := jobdb.Collect(ctx, tx, scanText, `SELECT id FROM {schema}outbox_replay WHERE app = ? AND id = ? FOR UPDATE SKIP LOCKED`, k.app, k.id)
	return len(free) > 0, err
}

// CountReplay counts what [App.ReplayRange] would send again now, without
// sending anything. It examines at most 2,000 deliveries, the oldest first. If
// there are others, Count.More is set.
func (a *App) CountReplay(ctx context.Context, f DeliveryFilter) (Count, error) {
	if err := a.open(); err != nil {
		return Count{}, err
	}
	f, err := f.forReplay(afterIDs(time.Now()))
	if err != nil {
		return Count{}, err
	}
	if err := a.registered(ctx); err != nil {
		return Count{}, err
	}
	c, err := a.o.replayer.count(ctx, selection{DeliveryFilter: f, app: a.name})
	return c, wrap("counting deliveries", err)
}

func (r *replayer) count(ctx context.Context, f selection) (c Count, err error) {
	s, err := f.scanForReplay(ctx, r.db.Reader())
	if err != nil {
		return c, err
	}
	for range countSteps {
		found, err := s.step(ctx, r.db.Dialect(), r.db.Reader(), scanRows)
		if err != nil {
			return c, err
		}
		batch, err := r.candidates(ctx, r.db.Reader(), found.ids)
		if err != nil {
			return c, err
		}
		for _, one := range batch {
			if one.sendable() {
				c.N++
			}
		}
		if c.More = found.last != ""; !c.More {
			return c, nil
		}
		s.from(found.last)
	}
	return c, nil
}

// CancelReplay ends a replay. No more of its deliveries are scheduled, and
// those that wait are canceled. An attempt in flight is finished. Canceling a
// replay again does nothing. It does not undo what was delivered.
func (a *App) CancelReplay(ctx context.Context, id string) error {
	if err := a.open(); err != nil {
		return err
	}
	k := a.of(id)
	if !k.storable() {
		return unknownReplay(id)
	}
	return wrap("canceling replay", a.o.replayer.cancel(ctx, k))
}

func (r *replayer) cancel(ctx context.Context, k owned) error {
	// A process that is scheduling a batch holds the row until it has committed.
	n, err := r.db.Exec(ctx, `UPDATE {schema}outbox_replay SET canceled_at = CASE WHEN canceled_at = 0 THEN ? ELSE canceled_at END
		WHERE app = ? AND id = ?`, micros(time.Now()), k.app, k.id)
	if err != nil {
		return err
	}
	if n == 0 {
		return unknownReplay(k.id)
	}
	for canceled, tries := cancelBatch, 0; canceled == cancelBatch; {
		err := r.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) (err error) {
			canceled, err = r.cancelWaiting(ctx, tx, k)
			return err
		})
		// The database may end it in favor of one that makes a delivery due.
		if tries++; sqldb.IsConflict(err) && tries < maxConflicts {
			canceled = cancelBatch
			continue
		}
		if err != nil {
			return err
		}
		tries = 0
	}
	return nil
}

// cancelWaiting cancels up to cancelBatch deliveries of a replay.
func (r *replayer) cancelWaiting(ctx context.Context, tx *jobdb.Tx, k owned) (int, error) {
	all, err := jobdb.Collect(ctx, tx, func(r jobdb.Row) (s sequence, err error) { return s, r.Scan(&s.endpoint, &s.deployment) },
		`WITH waiting AS MATERIALIZED (SELECT id FROM {schema}outbox_delivery WHERE replay = ? AND replay <> '' AND app = ? AND state = 'pending'
			ORDER BY `+byID(r.db.Dialect())+` LIMIT ?`+inOrder(r.db)+`)
		UPDATE {schema}outbox_delivery SET state = ?, done_at = ?, next_at = 0, last_error = ?
		WHERE id IN (SELECT id FROM waiting) AND state = 'pending' RETURNING endpoint, deployment`,
		k.id, k.app, int64(cancelBatch), string(Canceled), micros(time.Now()), "the replay was canceled")
	if err != nil {
		return 0, err
	}
	return len(all), r.publisher.ordering.unblock(ctx, tx, eachOnce(all))
}

// eachOnce returns each sequence once.
func eachOnce(all []sequence) (out []sequence) {
	seen := map[sequence]bool{}
	for _, s := range all {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}
