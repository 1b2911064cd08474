package ledgertest_test

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/deployhook/deployhook/receiver/deployments"
)

func (l *simple) Live(ctx context.Context, organization string, s deployments.Scope, at time.Time) (*deployments.Record, error) {
	records, err := l.timeline(ctx, organization, s)
	if err != nil {
		return nil, err
	}
	for _, r := range slices.Backward(records) {
		if r.LiveAt(at.UnixMicro()) || l.bug == "live is the last success" && !r.SucceededAt.IsZero() && !r.SucceededAt.After(at) {
			return r, nil
		}
	}
	return nil, deployments.ErrNotRecorded
}

func (l *simple) Latest(ctx context.Context, organization string, s deployments.Scope, p deployments.Page) (deployments.Records, error) {
	limit, before, err := p.Place(s)
	if err != nil {
		return deployments.Records{}, err
	}
	records, err := l.timeline(ctx, organization, s)
	if err != nil {
		return deployments.Records{}, err
	}
	var found []deployments.Record
	for _, r := range slices.Backward(records) {
		if r.Position().Compare(before) < 0 && len(found) <= limit {
			found = append(found, *r)
		}
	}
	return p.Timeline(found)
}

// timeline returns the records of a scope in order.
func (l *simple) timeline(ctx context.Context, organization string, s deployments.Scope) ([]*deployments.Record, error) {
	if err := l.check(ctx, organization); err != nil {
		return nil, err
	}
	defer l.lock()()
	var records []*deployments.Record
	for _, row := range l.rows {
		d := row.record.Deployment
		if l.same(row.organization, organization) && d.Service == s.Service && d.Environment == s.Environment {
			records = append(records, copied(&row.record))
		}
	}
	slices.SortFunc(records, func(a, b *deployments.Record) int {
		if l.bug == "timeline is as they arrived" {
			return cmp.Compare(a.ID, b.ID)
		}
		return a.Position().Compare(b.Position())
	})
	return records, nil
}
