package deployments

import (
	"context"
	"fmt"
	"math"
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
	// Before returns the last record of status success before p, or nil.
	Before(ctx context.Context, p Position) (*Record, error)
	// After returns the first record of status success after p, or nil.
	After(ctx context.Context, p Position) (*Record, error)
}

// Position is a place in the sequence of one organization's successful deployments of one service to one environment. They are
// in the order of At, and of ID where that is the same. The record that has the ID itself is neither before nor after it.
type Position struct {
	Service     string
	Environment string
	// At is when the deployment completed, in microseconds since 1970; while there is no success, when it started.
	At int64
	// ID is the record's; the highest number there is for a record that is still to be inserted.
	ID int64
}

// Position returns the record's place among the successful deployments.
func (r *Record) Position() Position {
	d := r.Deployment
	p := Position{Service: d.Service, Environment: d.Environment, At: d.StartedAt.UnixMicro(), ID: r.ID}
	if d.Status == payload.StatusSuccess {
		p.At = d.CompletedAt.UnixMicro()
	}
	if p.ID == 0 {
		p.ID = math.MaxInt64
	}
	return p
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
// A previous commit that no delivery gave is filled in: the commit of the last deployment to the same service and
// environment that is a success and was completed before this one (before this one started, while this one is not a success).
// Deployments that failed, were cancelled or have been rolled back do not count, so after a rollback the next deployment's
// previous commit is the one that the rollback restored. If deliveries arrive in another order than their
// deployments completed in, the following deployment's filled-in commit is put right. A rollback changes no
// other record: what ran before them when they were deployed stays true.
//
// When a record's commit, previous commit, service or environment changes, its number of linked pull requests is void: LinkedPRs is
// 0 and Linked false until it is set again.
//
// An invalid deployment is an error that wraps [payload.ErrInvalid].
func Apply(ctx context.Context, tx Tx, d *payload.Deployment) (Recorded, error) {
	if err := d.Validate(); err != nil {
		return Recorded{}, err
	}
	old, err := tx.Find(ctx, d.DeploymentID)
	if err != nil {
		return Recorded{}, err
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	if old == nil {
		copied := *d
		r := &Record{Deployment: &copied, PreviousGiven: d.PreviousCommitSHA != "", RecordedAt: now, UpdatedAt: now}
		if err := fillPrevious(ctx, tx, r); err != nil {
			return Recorded{}, err
		}
		if err := tx.Insert(ctx, r); err != nil {
			return Recorded{}, err
		}
		shifted, err := shift(ctx, tx, nil, r)
		return Recorded{Record: *r, Created: true, Transition: payload.Legal, Shifted: shifted}, err
	}
	transition := old.Deployment.Status.Transition(d.Status)
	again := transition == payload.Illegal && d.CompletedAt.After(old.Deployment.CompletedAt)
	if transition == payload.Stale || transition == payload.Illegal && !again {
		return Recorded{Record: *old, Stale: true, Transition: transition}, nil
	}
	r := *old
	r.Deployment = mergeDeployment(old.Deployment, d, again)
	r.PreviousGiven = old.PreviousGiven || d.PreviousCommitSHA != ""
	r.UpdatedAt = now
	if d.Status != payload.StatusRolledBack { // which says when it was taken back, not when it was deployed
		if err := fillPrevious(ctx, tx, &r); err != nil {
			return Recorded{}, err
		}
	}
	if r.Deployment.Equal(old.Deployment) && r.PreviousGiven == old.PreviousGiven {
		return Recorded{Record: *old, Transition: transition}, nil // a retry: there is nothing to write
	}
	if r.Link("") != old.Link("") {
		r.Linked, r.LinkedPRs = false, 0
	}
	if err := tx.Update(ctx, &r); err != nil {
		return Recorded{}, err
	}
	shifted, err := shift(ctx, tx, old, &r)
	return Recorded{Record: r, Transition: transition, Shifted: shifted}, err
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

// shift puts right the records that follow r, and those that followed it where it was, and returns those that it changed.
func shift(ctx context.Context, tx Tx, old, r *Record) ([]Record, error) {
	var places []Position
	is := r.Deployment.Status == payload.StatusSuccess
	was := old != nil && old.Deployment.Status == payload.StatusSuccess
	moved := was && is && old.Position() != r.Position()
	if is && (!was || moved || old.Deployment.CommitSHA != r.Deployment.CommitSHA) {
		places = append(places, r.Position())
	}
	if moved || was && !is && r.Deployment.Status != payload.StatusRolledBack {
		places = append(places, old.Position())
	}
	var changed []Record
	for _, place := range places {
		next, err := tx.After(ctx, place)
		if err != nil {
			return nil, err
		}
		if next == nil {
			continue
		}
		before := next.Link("")
		if err := fillPrevious(ctx, tx, next); err != nil {
			return nil, err
		}
		if next.Link("") == before {
			continue
		}
		next.Linked, next.LinkedPRs, next.UpdatedAt = false, 0, r.UpdatedAt
		if err := tx.Update(ctx, next); err != nil {
			return nil, fmt.Errorf("deployments: record the deployment after: %w", err)
		}
		changed = append(changed, *next)
	}
	return changed, nil
}
