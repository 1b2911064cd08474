package inbox

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/deployhook/deployhook/internal/riverdb"
	"github.com/deployhook/deployhook/payload"
)

// A lane is the events of one deployment, of one source and principal. Its row says what has landed, and who may handle the
// next one until when. Taking the lane raises its token, which each change is conditional on: who has lost the
// lane without noticing changes nothing.

// hold is the right to handle a lane's events. It is renewed until it is given back.
type hold struct {
	in       *Inbox
	lane     []byte
	token    int64
	status   payload.Status // what has landed
	landedAt int64

	over   context.CancelCauseFunc // ends the handler's context; nil while none runs
	mu     sync.Mutex
	isLost bool
	until  time.Time // by this machine's monotonic clock
}

// takeLane returns nil if another has the lane.
func (in *Inbox) takeLane(ctx context.Context, lane []byte) (*hold, error) {
	h := &hold{in: in, lane: lane}
	asked := time.Now()
	taken := false
	err := in.write(ctx, func(ctx context.Context, tx *riverdb.Tx) error {
		var status string
		err := tx.QueryRow(ctx, `INSERT INTO {schema}inbox_lane AS l (lane, status, landed_at, owner, token, until, used_at)
			VALUES (?, '', 0, ?, 1, {now} + ?, {now})
			ON CONFLICT (lane) DO UPDATE SET owner = excluded.owner, token = l.token + 1, until = excluded.until, used_at = excluded.used_at
			WHERE l.until <= {now} RETURNING token, status, landed_at`,
			lane, in.owner, in.rescueAfter.Microseconds()).Scan(&h.token, &status, &h.landedAt)
		taken = err == nil
		h.status = payload.Status(status)
		if errors.Is(err, riverdb.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil || !taken {
		return nil, err
	}
	h.until = asked.Add(in.rescueAfter)
	in.held.add(h)
	return h, nil
}

// giveBack lets another have the lane at once. If that fails its lease ends by itself.
func (h *hold) giveBack(ctx context.Context) {
	h.in.held.remove(h)
	_ = h.in.write(context.WithoutCancel(ctx), func(ctx context.Context, tx *riverdb.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE {schema}inbox_lane SET until = 0, owner = '' WHERE lane = ? AND token = ?`, h.lane, h.token)
		return err
	})
}

// position is where r leaves the lane when it lands.
func (h *hold) position(r *record) (status payload.Status, landedAt int64) {
	status, landedAt = h.status, max(h.landedAt, r.eventAt)
	if next, ok := r.status(); ok && h.status.Transition(next) == payload.Legal {
		status = next
	}
	return status, landedAt
}

// move moves the lane on in tx, if it is still ours.
func (h *hold) move(ctx context.Context, tx *riverdb.Tx, r *record) error {
	status, landedAt := h.position(r)
	// The lease is renewed as well: until tx is committed nobody else can.
	n, err := tx.Exec(ctx, `UPDATE {schema}inbox_lane SET status = ?, landed_at = ?, until = {now} + ?, used_at = {now}
		WHERE lane = ? AND token = ?`, string(status), landedAt, h.in.rescueAfter.Microseconds(), h.lane, h.token)
	if err == nil && n == 0 {
		err = ErrOver
	}
	return err
}

// verdict says what an event means for a deployment of which h knows what has landed.
func (h *hold) verdict(r *record) payload.Transition {
	next, known := r.status()
	transition := payload.Repeated
	if known {
		transition = h.status.Transition(next)
	}
	if transition != payload.Legal && r.eventAt < h.landedAt {
		return payload.Stale
	}
	return transition
}

// status is what the event says about its deployment.
func (r *record) status() (payload.Status, bool) {
	e, err := payload.DecodeEvent(r.body)
	if err != nil {
		return "", false
	}
	return e.DeploymentStatus()
}

// context is the one for a handler, which ends when the lane is lost.
func (h *hold) context(ctx context.Context) (context.Context, func()) {
	if h == nil {
		return ctx, func() {}
	}
	ctx, end := context.WithCancelCause(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = end
	if h.isLost {
		end(ErrLeaseLost)
	}
	return ctx, func() { end(nil) }
}

func (h *hold) lost() bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.isLost
}

func (h *hold) lose() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.isLost = true
	if h.over != nil {
		h.over(ErrLeaseLost)
	}
}

// workLane handles the events of r's deployment that are due, in their order, r's own among them: those that come in
// meanwhile need not wait for a worker of their own.
func (in *Inbox) workLane(ctx context.Context, r *record) error {
	h, err := in.takeLane(ctx, r.lane)
	if err != nil {
		return in.troubled(ctx, r.id, err)
	}
	if h == nil {
		return snooze(50*time.Millisecond + rand.N(100*time.Millisecond))
	}
	defer h.giveBack(ctx)
	own := r.id // zero once its turn has been
	result := snooze(0)
	for start := time.Now(); time.Since(start) < in.handlerTimeout && ctx.Err() == nil && !h.lost(); {
		next, err := in.nextInLane(ctx, r.lane, own)
		if err != nil {
			return in.troubled(ctx, r.id, err)
		}
		if next == nil {
			if own != 0 {
				return nil // another job's worker has handled r
			}
			return result
		}
		end := in.takeTurn(ctx, next, h)
		if next.id == own {
			own, result = 0, in.after(ctx, r, end)
		}
		if end.err != nil {
			return result // trouble on our side, which the others' own jobs will meet or not
		}
	}
	return result
}

// nextInLane is the earliest event of a deployment that is pending and has not failed yet, or the worker's own. One that
// has failed waits for its next attempt, and nobody waits for it.
func (in *Inbox) nextInLane(ctx context.Context, lane []byte, own int64) (*record, error) {
	ctx, cancel := context.WithTimeout(ctx, in.storeTimeout)
	defer cancel()
	next, err := scanRecord(in.db.QueryRow(ctx, "SELECT "+recordColumns+` FROM {schema}inbox_delivery
		WHERE lane = ? AND state = 'pending' AND (attempts = 0 OR id = ?) ORDER BY event_at, id LIMIT 1`, lane, own))
	if errors.Is(err, riverdb.ErrNoRows) {
		return nil, nil
	}
	return next, err
}

// takeTurn handles one event, or finds that its time is past.
func (in *Inbox) takeTurn(ctx context.Context, r *record, h *hold) ending {
	switch h.verdict(r) {
	case payload.Stale:
		return in.finish(ctx, r, Result{State: Superseded})
	case payload.Illegal:
		return in.bury(ctx, r, ErrContradiction)
	}
	end := in.attempt(ctx, r, h)
	if end.landed {
		h.status, h.landedAt = h.position(r)
	}
	return end
}
