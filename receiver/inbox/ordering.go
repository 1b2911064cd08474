package inbox

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/payload"
)

// after returns the deployment's position after r was handled.
func (at position) after(r *record) position {
	next, ok := r.status()
	if ok && at.status.Transition(next) == payload.Legal {
		at.status = next
	}
	at.eventAt = max(at.eventAt, r.eventAt)
	return at
}

// transition classifies r for a deployment at this position.
func (at position) transition(r *record) payload.Transition {
	next, known := r.status()
	transition := payload.Repeated
	if known {
		transition = at.status.Transition(next)
	}
	if transition != payload.Legal && r.eventAt < at.eventAt {
		return payload.Stale
	}
	return transition
}

// status returns the deployment status that the event reports.
func (r *record) status() (payload.Status, bool) {
	e, _, err := payload.DecodeEventOrEnvelope(r.body)
	if err != nil {
		return "", false
	}
	return e.DeploymentStatus()
}

// advance stores the deployment's new position in tx. It returns ErrOver if the
// lease has ended.
func (in *Inbox) advance(ctx context.Context, tx *jobdb.Tx, r *record, l *lease) error {
	at := l.position.after(r)
	// Also renew the lease, because the row is locked until tx commits.
	n, err := tx.Exec(ctx, `UPDATE {schema}inbox_deployment SET status = ?, event_at = ?, until = {now} + ?, used_at = {now}
		WHERE ordering_key = ? AND claim = ?`, string(at.status), at.eventAt, in.rescueAfter.Microseconds(), l.key, l.claim)
	if err == nil && n == 0 {
		err = ErrOver
	}
	return err
}

// workInOrder handles the due events of r's deployment in order, including r.
// New events are handled here too and need no other worker.
func (in *Inbox) workInOrder(ctx context.Context, r *record) jobdb.Next {
	l, err := in.leases.take(ctx, r.orderingKey)
	if err != nil {
		return in.interrupted(ctx, r.id, err)
	}
	if l == nil {
		return jobdb.After(50*time.Millisecond + rand.N(100*time.Millisecond))
	}
	defer in.leases.release(ctx, l)
	own := r.id // zero after r was handled
	result := jobdb.After(0)
	for start := time.Now(); time.Since(start) < in.handlerTimeout && ctx.Err() == nil && !l.lost(); {
		next, err := in.nextInOrder(ctx, r.orderingKey, own)
		if err != nil {
			return in.interrupted(ctx, r.id, err)
		}
		if next == nil {
			if own != 0 {
				return jobdb.Done() // another job's worker has handled r
			}
			return result
		}
		if next.id == own {
			next.job = r.job
		}
		end := in.handleInOrder(ctx, next, l)
		if next.id == own {
			own, result = 0, in.jobResult(ctx, r, end)
		}
		if end.err != nil {
			return result // an error of the database; the other events have their own jobs
		}
	}
	return result
}

// nextInOrder returns the earliest pending event of a deployment that has not
// failed yet. It also considers the event with the ID own. A failed event waits
// for its next attempt without delaying the others.
func (in *Inbox) nextInOrder(ctx context.Context, key []byte, own int64) (*record, error) {
	ctx, cancel := context.WithTimeout(ctx, in.storeTimeout)
	defer cancel()
	next, err := scanRecord(in.db.QueryRow(ctx, "SELECT "+recordColumns+` FROM {schema}inbox_delivery
		WHERE ordering_key = ? AND state = 'pending' AND (attempts = 0 OR id = ?) ORDER BY event_at, id LIMIT 1`, key, own))
	if errors.Is(err, jobdb.ErrNoRows) {
		return nil, nil
	}
	return next, err
}

// handleInOrder handles one event unless a later one has superseded it.
func (in *Inbox) handleInOrder(ctx context.Context, r *record, l *lease) ending {
	switch l.position.transition(r) {
	case payload.Stale:
		return in.finish(ctx, r, Result{State: Superseded})
	case payload.Illegal:
		return in.deadLetter(ctx, r, ErrContradiction)
	}
	end := in.attempt(ctx, r, l)
	if end.handled {
		l.position = l.position.after(r)
	}
	return end
}
