package console

import (
	"context"
	"time"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/receiver/deployments"
)

// Ledger reads deployments. The ledgers of packages deployments and sqlledger
// implement it.
//
// The interface is frozen: it gets no further method. Further abilities become
// optional interfaces.
type Ledger interface {
	deployments.Timeline
	// Get returns one deployment, or an error that wraps
	// [deployments.ErrNotRecorded].
	Get(ctx context.Context, organization, deploymentID string) (*deployments.Record, error)
	// Scopes returns the services and environments that have deployments, in
	// order.
	Scopes(ctx context.Context, organization string) ([]deployments.Scope, error)
}

const inLedger = "WithLedger"

// containedLedger turns faults of a ledger into errors.
type containedLedger struct {
	ledger Ledger
	faults *contain.Faults
}

func (l *containedLedger) call(ctx context.Context, f func()) error {
	if fault := l.faults.Call(ctx, inLedger, f); fault != nil {
		return fault
	}
	return nil
}

func (l *containedLedger) Get(ctx context.Context, organization, deploymentID string) (r *deployments.Record, err error) {
	if fault := l.call(ctx, func() { r, err = l.ledger.Get(ctx, organization, deploymentID) }); fault != nil {
		return nil, fault
	}
	return r, err
}

func (l *containedLedger) Scopes(ctx context.Context, organization string) (all []deployments.Scope, err error) {
	if fault := l.call(ctx, func() { all, err = l.ledger.Scopes(ctx, organization) }); fault != nil {
		return nil, fault
	}
	return all, err
}

func (l *containedLedger) Live(ctx context.Context, organization string, s deployments.Scope, at time.Time) (r *deployments.Record, err error) {
	if fault := l.call(ctx, func() { r, err = l.ledger.Live(ctx, organization, s, at) }); fault != nil {
		return nil, fault
	}
	return r, err
}

func (l *containedLedger) Latest(ctx context.Context, organization string, s deployments.Scope, p deployments.Page) (all deployments.Records, err error) {
	if fault := l.call(ctx, func() { all, err = l.ledger.Latest(ctx, organization, s, p) }); fault != nil {
		return deployments.Records{}, fault
	}
	return all, err
}
