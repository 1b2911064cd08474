package sqlledger

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"

	"github.com/deployhook/deployhook/internal/sqldb"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
)

// maxOrganization bounds an organization's name in bytes, because it is part of
// index rows.
const maxOrganization = 1024

// Ledger is a [deployments.Ledger] in a database. Make it with [OpenSQLite],
// [NewSQLite] or [NewPostgres]. It is safe for concurrent use, also by several
// processes on one database. It has no goroutine.
//
// Methods return when their context ends. If the commit itself failed, its
// outcome is unknown. Every other error means that nothing changed. Repeating a
// call is always safe.
type Ledger struct {
	db    *sqldb.DB
	owned bool   // opened by OpenSQLite, so Close closes it
	lock  string // statement that locks an organization

	closed atomic.Bool
}

var _ deployments.Ledger = (*Ledger)(nil)

// Record implements [deployments.Ledger.Record] in one transaction.
func (l *Ledger) Record(ctx context.Context, organization string, d *payload.Deployment) (deployments.Recorded, error) {
	if err := l.check(ctx, organization); err != nil {
		return deployments.Recorded{}, err
	}
	var recorded deployments.Recorded
	err := l.inOrgTx(ctx, organization, true, func(tx *orgTx) (err error) {
		recorded, err = deployments.Apply(ctx, tx, d)
		return err
	})
	if err != nil {
		return deployments.Recorded{}, wrap("record", err)
	}
	return recorded, nil
}

// SetLinked implements [deployments.Ledger.SetLinked] in one transaction.
func (l *Ledger) SetLinked(ctx context.Context, link deployments.Link, prs int) error {
	if err := l.check(ctx, link.Organization); err != nil {
		return err
	}
	err := l.inOrgTx(ctx, link.Organization, false, func(tx *orgTx) error {
		r, err := tx.Find(ctx, link.DeploymentID)
		switch {
		case err != nil:
			return err
		case r == nil:
			return deployments.ErrNotRecorded
		case !r.Link(link.Organization).Equal(link):
			return nil
		}
		return changeOne(ctx, tx.q, setLinked, true, prs, tx.org, r.ID)
	})
	return wrap("set linked", err)
}

// Get returns the record of one deployment. The error for a missing record
// wraps [deployments.ErrNotRecorded].
func (l *Ledger) Get(ctx context.Context, organization, deploymentID string) (*deployments.Record, error) {
	if err := l.check(ctx, organization); err != nil {
		return nil, err
	}
	var r *deployments.Record
	err := sqldb.WhileBusy(ctx, func() (err error) {
		r, err = one(l.db.QueryRow(ctx, find, []byte(organization), []byte(deploymentID)))
		return err
	})
	if err == nil && r == nil {
		err = deployments.ErrNotRecorded
	}
	return r, wrap("get", err)
}

// List returns a page of the records that match the filter, newest first, in
// descending order of their IDs.
func (l *Ledger) List(ctx context.Context, organization string, f deployments.Filter, p deployments.Page) (deployments.Records, error) {
	if err := l.check(ctx, organization); err != nil {
		return deployments.Records{}, err
	}
	limit, before, err := p.Bounds()
	if err = errors.Join(err, f.Validate()); err != nil {
		return deployments.Records{}, err
	}
	statement, args := listStatement(organization, f, before, limit+1)
	var found []deployments.Record
	err = sqldb.WhileBusy(ctx, func() (err error) {
		found, err = sqldb.Collect(ctx, l.db, scan, statement, args...)
		return err
	})
	if err != nil {
		return deployments.Records{}, wrap("list", err)
	}
	return p.Records(found)
}

// listStatement adds a condition for each field that is set.
func listStatement(organization string, f deployments.Filter, before int64, limit int) (string, []any) {
	var conditions []string
	args := []any{[]byte(organization)}
	add := func(condition string, values ...any) {
		conditions = append(conditions, " AND "+condition)
		args = append(args, values...)
	}
	if before < math.MaxInt64 {
		add("id < ?", before)
	}
	if f.Service != "" {
		add("service = ?", []byte(f.Service))
	}
	if f.Environment != "" {
		add("environment = ?", []byte(f.Environment))
	}
	if f.Status != "" {
		add("status = ?", string(f.Status))
	}
	if !f.Since.IsZero() {
		add("started_at >= ?", f.Since.UnixMicro())
	}
	if f.Unlinked {
		add("status = 'success' AND NOT linked")
	}
	statement := strings.Join(conditions, "") + " ORDER BY id DESC LIMIT ?"
	args = append(args, limit)
	return selection + statement, args
}

func (l *Ledger) check(ctx context.Context, organization string) error {
	switch {
	case l == nil || l.db == nil:
		return errZero
	case l.closed.Load():
		return fmt.Errorf("sqlledger: %w", deployments.ErrClosed)
	case organization == "":
		return deployments.ErrNoOrganization
	case len(organization) > maxOrganization:
		return fmt.Errorf("sqlledger: the organization's name has %d bytes; use at most %d", len(organization), maxOrganization)
	}
	return ctx.Err()
}

// wrap adds the name of the call that failed.
func wrap(call string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sqlledger: %s: %w", call, sqldb.Explain(err))
}
