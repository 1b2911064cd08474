package sqlledger

import (
	"context"
	"time"

	"github.com/deployhook/deployhook/internal/sqldb"
	"github.com/deployhook/deployhook/receiver/deployments"
)

var _ deployments.Timeline = (*Ledger)(nil)

// Live implements [deployments.Timeline.Live].
func (l *Ledger) Live(ctx context.Context, organization string, s deployments.Scope, at time.Time) (*deployments.Record, error) {
	if err := l.check(ctx, organization); err != nil {
		return nil, err
	}
	var r *deployments.Record
	err := sqldb.WhileBusy(ctx, func() (err error) {
		r, err = one(l.db.QueryRow(ctx, liveAt, []byte(organization), scope(s.Service, s.Environment), at.UnixMicro(), at.UnixMicro()))
		return err
	})
	if err == nil && r == nil {
		err = deployments.ErrNotRecorded
	}
	return r, wrap("live", err)
}

// Latest implements [deployments.Timeline.Latest].
func (l *Ledger) Latest(ctx context.Context, organization string, s deployments.Scope, p deployments.Page) (deployments.Records, error) {
	if err := l.check(ctx, organization); err != nil {
		return deployments.Records{}, err
	}
	limit, before, err := p.Place(s)
	if err != nil {
		return deployments.Records{}, err
	}
	var found []deployments.Record
	err = sqldb.WhileBusy(ctx, func() (err error) {
		found, err = sqldb.Collect(ctx, l.db, scan, latest, []byte(organization), scope(s.Service, s.Environment), before.At,
			[]byte(before.DeploymentID), limit+1)
		return err
	})
	if err != nil {
		return deployments.Records{}, wrap("latest", err)
	}
	return p.Timeline(found)
}
