package deployments

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/deployhook/deployhook/payload"
)

// Tx is one organization's records within one transaction: the little that a database has to offer for
// [Apply] to make a ledger of it. Transactions of the same organization must run one after the other.
type Tx interface {
	// Find returns the record of a deployment, or nil.
	Find(ctx context.Context, deploymentID string) (*Record, error)
	// Insert adds a record and sets its ID.
	Insert(ctx context.Context, r *Record) error
	// Update replaces the record that has the ID of r.
	Update(ctx context.Context, r *Record) error
	// Before returns the last record before p that was live at p.At, or nil. See
	// [Record.LiveAt].
	Before(ctx context.Context, p Position) (*Record, error)
	// Following returns the records after p in their order, up to and including the
	// first one of status success.
	Following(ctx context.Context, p Position) ([]*Record, error)
}

// Position is a place in the sequence of one organization's deployments of one
// service to one environment. The order is that of [Position.Compare]. The record
// of DeploymentID itself is neither before nor after it.
type Position struct {
	Service     string
	Environment string
	// At is when the deployment succeeded, in microseconds since 1970. For one that
	// is not known to have succeeded it is when it started.
	At           int64
	DeploymentID string
}

// Compare orders positions of one service and environment, first by At, then by
// DeploymentID. So the order does not depend on which record came first.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.At, q.At), cmp.Compare(p.DeploymentID, q.DeploymentID))
}

// Position returns the record's place among the deployments of its service and
// environment.
func (r *Record) Position() Position {
	d := r.Deployment
	p := Position{Service: d.Service, Environment: d.Environment, At: d.StartedAt.UnixMicro(), DeploymentID: d.DeploymentID}
	if !r.SucceededAt.IsZero() {
		p.At = r.SucceededAt.UnixMicro()
	}
	return p
}

// LiveAt reports whether the deployment had succeeded and had not been rolled
// back at a time in microseconds since 1970. Later deployments do not matter.
func (r *Record) LiveAt(at int64) bool {
	if r.SucceededAt.IsZero() || r.SucceededAt.UnixMicro() > at {
		return false
	}
	return r.Deployment.Status == payload.StatusSuccess || r.Deployment.CompletedAt.UnixMicro() > at
}

// Apply is what [Ledger.Record] does, within a transaction of the ledger's. On an error the transaction must be
// rolled back. The rules are:
//
// A deployment ID that is new creates a record. Otherwise [payload.Status.Transition] decides. A status that moves the
// deployment forward, or repeats what is known, updates the record; a stale one leaves it alone. A second,
// different outcome, success after failure for example, updates the record only if it was completed later than the one on
// record: pipelines that are run again under the same ID do that. An earlier one is stale.
//
// An update replaces what it contains and keeps the rest: a member that is absent keeps its value, members without a field are
// kept one by one (up to 256 KiB in all; beyond, the update's replace them), metadata and rawPayload are
// replaced as a whole. There are two exceptions. A deployment starts once, so the earliest startedAt stays, unless a
// pipeline was run again. And an abbreviated commit does not replace the full one that it abbreviates.
//
// A previous commit that no delivery gave is filled in. It is the commit of the
// last deployment to the same service and environment that was live when this
// one succeeded. For one that is not known to have succeeded, the start counts
// instead. A deployment is live from its success until it is rolled back. The result depends on the
// deployments alone and not on the order in which their deliveries arrive, so a
// delivery can change the filled-in commit of other records. A success that
// arrives after its rollback is stale, and only its time is kept.
//
// When a record's commit, previous commit, service or environment changes, its number of linked pull requests is void: LinkedPRs is
// 0 and Linked false until it is set again.
//
// An invalid deployment is an error that wraps [payload.ErrInvalid].
func Apply(ctx context.Context, tx Tx, d *payload.Deployment) (Recorded, error) {
	if d == nil {
		return Recorded{}, configError("the deployment to record is nil")
	}
	if err := d.Validate(); err != nil {
		return Recorded{}, err
	}
	old, err := tx.Find(ctx, d.DeploymentID)
	if err != nil {
		return Recorded{}, err
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	if old == nil {
		return create(ctx, tx, d, now)
	}
	transition := old.Deployment.Status.Transition(d.Status)
	again := transition == payload.Illegal && d.CompletedAt.After(old.Deployment.CompletedAt)
	r := *old
	stale := transition == payload.Stale || transition == payload.Illegal && !again
	if stale {
		copied := *old.Deployment
		r.Deployment = &copied
	} else {
		r.Deployment = mergeDeployment(old.Deployment, d, again)
		r.PreviousGiven = old.PreviousGiven || d.PreviousCommitSHA != ""
	}
	r.SucceededAt = succeededAt(old, r.Deployment, d)
	if err := fillPrevious(ctx, tx, &r); err != nil {
		return Recorded{}, err
	}
	recorded := Recorded{Record: *old, Stale: stale, Transition: transition, Contradiction: contradiction(old.Deployment, d)}
	if r.Deployment.Equal(old.Deployment) && r.PreviousGiven == old.PreviousGiven && r.SucceededAt.Equal(old.SucceededAt) {
		return recorded, nil // there is nothing to write
	}
	r.UpdatedAt = now
	if r.Link("") != old.Link("") {
		r.Linked, r.LinkedPRs = false, 0
	}
	if err := tx.Update(ctx, &r); err != nil {
		return Recorded{}, err
	}
	recorded.Record = r
	recorded.Shifted, err = shift(ctx, tx, old, &r)
	return recorded, err
}

func create(ctx context.Context, tx Tx, d *payload.Deployment, now time.Time) (Recorded, error) {
	copied := *d
	copied.Dropped = nil
	r := &Record{Deployment: &copied, PreviousGiven: d.PreviousCommitSHA != "", RecordedAt: now, UpdatedAt: now}
	r.SucceededAt = succeededAt(&Record{}, d, d)
	if err := fillPrevious(ctx, tx, r); err != nil {
		return Recorded{}, err
	}
	if err := tx.Insert(ctx, r); err != nil {
		return Recorded{}, err
	}
	shifted, err := shift(ctx, tx, nil, r)
	return Recorded{Record: *r, Created: true, Transition: payload.Legal, Shifted: shifted}, err
}

// succeededAt is when the deployment succeeded, now that the delivery d has made
// it what merged says. A rollback keeps the time, and a success that arrives
// after the rollback brings it.
func succeededAt(old *Record, merged, d *payload.Deployment) time.Time {
	at := time.Time{}
	switch {
	case merged.Status == payload.StatusSuccess:
		at = merged.CompletedAt
	case merged.Status != payload.StatusRolledBack:
		return at
	case !old.SucceededAt.IsZero():
		return old.SucceededAt
	case d.Status == payload.StatusSuccess:
		at = d.CompletedAt
	}
	if at.IsZero() {
		return at
	}
	return time.UnixMicro(at.UnixMicro()).UTC() // as a database keeps it
}

// fillPrevious sets the previous commit, unless the sender did.
func fillPrevious(ctx context.Context, tx Tx, r *Record) error {
	if r.PreviousGiven {
		return nil
	}
	previous, err := tx.Before(ctx, r.Position())
	if err != nil {
		return err
	}
	r.Deployment.PreviousCommitSHA = ""
	if previous != nil {
		r.Deployment.PreviousCommitSHA = previous.Deployment.CommitSHA
	}
	return nil
}

// span is what of a record decides about the previous commits of others.
type span struct {
	from   Position
	until  int64 // when it was rolled back; 0: it was not
	commit string
}

func (r *Record) span() (s span, live bool) {
	if r == nil || r.SucceededAt.IsZero() {
		return span{}, false
	}
	s = span{from: r.Position(), commit: r.Deployment.CommitSHA}
	if r.Deployment.Status != payload.StatusSuccess {
		s.until = r.Deployment.CompletedAt.UnixMicro()
	}
	return s, true
}

// shift fills in again what depends on r, where it is and where it was, and
// returns the records that it changed. What comes after the next success depends
// on that one or on later ones.
func shift(ctx context.Context, tx Tx, old, r *Record) ([]Record, error) {
	was, wasLive := old.span()
	is, isLive := r.span()
	if was == is {
		return nil, nil
	}
	var places []Position
	if isLive {
		places = append(places, is.from)
	}
	if wasLive && was.from != is.from {
		places = append(places, was.from)
	}
	var changed []Record
	for _, place := range places {
		following, err := tx.Following(ctx, place)
		if err != nil {
			return nil, err
		}
		for _, next := range following {
			before := next.Link("")
			if err := fillPrevious(ctx, tx, next); err != nil {
				return nil, err
			}
			if next.Link("") == before {
				continue
			}
			next.Linked, next.LinkedPRs, next.UpdatedAt = false, 0, r.UpdatedAt
			if err := tx.Update(ctx, next); err != nil {
				return nil, fmt.Errorf("deployments: record deployment %q, which follows: %w", next.Deployment.DeploymentID, err)
			}
			changed = append(changed, *next)
		}
	}
	return changed, nil
}
