package deployments

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/deployhook/deployhook/payload"
)

// Tx gives [Apply] access to one organization's records in a transaction.
// Transactions of the same organization must run one after the other.
//
// The interface is frozen and gets no further method. Later needs of [Apply]
// become optional interfaces.
type Tx interface {
	IncidentTx
	// Find returns the record of a deployment, or nil.
	Find(ctx context.Context, deploymentID string) (*Record, error)
	// Insert adds a record and sets its ID.
	Insert(ctx context.Context, r *Record) error
	// Update replaces the record that has the ID of r.
	Update(ctx context.Context, r *Record) error
	// Before returns the last record before p that was live at p.At, or nil.
	// See [Record.LiveAt].
	Before(ctx context.Context, p Position) (*Record, error)
	// Following returns the records after p in order, up to and including the
	// first with status success.
	Following(ctx context.Context, p Position) ([]*Record, error)
}

// Position is a place in the sequence of one organization's deployments of one
// service to one environment. [Position.Compare] defines the order. The record
// of DeploymentID itself is neither before nor after the position.
type Position struct {
	Service     string
	Environment string
	// At is when the deployment succeeded, in microseconds since 1970. If no
	// success is known, it is when the deployment started.
	At           int64
	DeploymentID string
}

// Compare orders positions of one service and environment by At and then by
// DeploymentID. The order does not depend on which record came first.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.At, q.At), cmp.Compare(p.DeploymentID, q.DeploymentID))
}

// Position returns the record's position among the deployments of its service
// and environment.
func (r *Record) Position() Position {
	d := r.Deployment
	p := Position{Service: d.Service, Environment: d.Environment, At: d.StartedAt.UnixMicro(), DeploymentID: d.DeploymentID}
	if !r.SucceededAt.IsZero() {
		p.At = r.SucceededAt.UnixMicro()
	}
	return p
}

// LiveAt reports whether the deployment had succeeded and was not rolled back
// at the given time, in microseconds since 1970. Later deployments do not
// matter.
func (r *Record) LiveAt(at int64) bool {
	if r.SucceededAt.IsZero() || r.SucceededAt.UnixMicro() > at {
		return false
	}
	return r.Deployment.Status == payload.StatusSuccess || r.Deployment.CompletedAt.UnixMicro() > at
}

// Apply implements [Ledger.Record] within a transaction of the ledger. Roll the
// transaction back if it returns an error. An invalid deployment is an error
// that wraps [payload.ErrInvalid].
//
// # Which deliveries update the record
//
// A new deployment ID creates a record. For a recorded one,
// [payload.Status.Transition] and the completion time decide:
//
//	status of the delivery                       effect
//	moves forward, or repeats what is known      update
//	stale                                        none
//	other outcome, completed later               update: the pipeline ran again
//	other outcome, not completed later           none: stale
//
// An outcome is a terminal status, for example a success after a failure.
//
// # What an update changes
//
// An update replaces the members that it has and keeps the others.
//
//	member                     rule
//	absent                     keeps its recorded value
//	unknown to this package    merged one by one, up to 256 KiB in all;
//	                           beyond that, the update's replace the recorded ones
//	metadata, rawPayload       replaced as a whole
//	startedAt                  the earliest stays, unless the pipeline ran again
//	commitSha                  an abbreviation does not replace its full commit
//
// # Previous commits
//
// If no delivery had a previous commit, Apply fills it in. It is the commit of
// the last deployment to the same service and environment that was live when
// this one succeeded. If no success is known, the start counts instead. A
// deployment is live from its success until it is rolled back.
//
// Each further repository has the commit that the same previous deployment took
// from it, see [Record.PreviousCommits]. A previous deployment of another
// repository has no previous commit for this one, unless it names the
// repository too.
//
// The result depends only on the deployments, not on the order in which their
// deliveries arrive. A delivery can therefore change the filled-in commit of
// other records. A success that arrives after its rollback is stale, and only
// its time is kept.
//
// # Linked pull requests
//
// If a record's commits, repositories, previous commits, service or environment
// change, its pull requests must be counted again. LinkedPRs is then 0 and
// Linked is false.
//
// # Reports
//
// The record also keeps the facts that metrics need from each delivery,
// including stale ones. See [Record.Reports].
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
	reports, reported := addReport(old.Reports, d)
	r.Reports = reports
	if err := fillPrevious(ctx, tx, &r); err != nil {
		return Recorded{}, err
	}
	recorded := Recorded{Record: *old, Stale: stale, Transition: transition, Contradiction: contradiction(old.Deployment, d)}
	same := r.Deployment.Equal(old.Deployment) && r.PreviousGiven == old.PreviousGiven && r.SucceededAt.Equal(old.SucceededAt)
	if same && !reported {
		return recorded, nil // nothing to write
	}
	if !same {
		r.UpdatedAt = now
	}
	if !r.Link("").Equal(old.Link("")) {
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
	copied.Dropped, copied.Commits = nil, slices.Clone(d.Commits)
	reports, _ := addReport(nil, d)
	r := &Record{Deployment: &copied, Reports: reports, PreviousGiven: d.PreviousCommitSHA != "", RecordedAt: now, UpdatedAt: now}
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

// succeededAt returns when the deployment succeeded, after delivery d turned
// the record into merged. A rollback keeps the time. A success that arrives
// after the rollback sets it.
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
	return time.UnixMicro(at.UnixMicro()).UTC() // with the precision of a database
}

// shift fills in the previous commits that depend on r again, at its old and
// its new position. It returns the records that changed. Records after the next
// success depend on that success or on later ones, so it stops there.
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
			if next.Link("").Equal(before) {
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
