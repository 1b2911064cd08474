package sqlledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/deployhook/deployhook/internal/sqldb"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/internal/documents"
)

// orgTx gives access to one organization's records in a transaction that locks
// the organization.
type orgTx struct {
	q      sqldb.Querier
	org    []byte
	lastID int64
}

var _ deployments.Tx = (*orgTx)(nil)

// inOrgTx runs f with the organization's row locked. If the row is missing,
// create decides. With create it is added. Without it f runs without a lock and
// finds no records.
func (l *Ledger) inOrgTx(ctx context.Context, organization string, create bool, f func(*orgTx) error) error {
	return l.db.InTx(ctx, func(ctx context.Context, q *sqldb.Tx) error {
		tx := &orgTx{q: q, org: []byte(organization)}
		lock := func() error { return q.QueryRow(ctx, l.lock, tx.org).Scan(&tx.lastID) }
		err := lock()
		if errors.Is(err, sqldb.ErrNoRows) && create {
			// Another transaction may add the row at the same time. The
			// statement then waits for it to end.
			if _, err = q.Exec(ctx, addOrg, tx.org); err == nil {
				err = lock()
			}
		}
		if err != nil && !(errors.Is(err, sqldb.ErrNoRows) && !create) {
			return err
		}
		return f(tx)
	})
}

func (tx *orgTx) Find(ctx context.Context, deploymentID string) (*deployments.Record, error) {
	return one(tx.q.QueryRow(ctx, find, tx.org, []byte(deploymentID)))
}

func (tx *orgTx) Before(ctx context.Context, p deployments.Position) (*deployments.Record, error) {
	id := []byte(p.DeploymentID)
	return one(tx.q.QueryRow(ctx, before, tx.org, scope(p.Service, p.Environment), id, p.At, id, p.At))
}

// Following reads a few rows first, because the next success is usually near.
func (tx *orgTx) Following(ctx context.Context, p deployments.Position) ([]*deployments.Record, error) {
	var all []*deployments.Record
	id, excluded := []byte(p.DeploymentID), []byte(p.DeploymentID)
	for limit := 4; ; limit = min(limit*4, 1000) {
		rows, err := sqldb.Collect(ctx, tx.q, scan, following, tx.org, scope(p.Service, p.Environment), excluded, p.At, id, limit)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			all = append(all, &rows[i])
			if rows[i].Deployment.Status == payload.StatusSuccess {
				return all, nil
			}
		}
		if len(rows) < limit {
			return all, nil
		}
		last := rows[len(rows)-1].Position()
		p.At, id = last.At, []byte(last.DeploymentID)
	}
}

func (tx *orgTx) Insert(ctx context.Context, r *deployments.Record) error {
	r.ID = tx.lastID + 1
	if err := changeOne(ctx, tx.q, nextID, r.ID, tx.org); err != nil {
		return err
	}
	tx.lastID = r.ID
	return tx.write(ctx, insert, r)
}

func (tx *orgTx) Update(ctx context.Context, r *deployments.Record) error {
	return tx.write(ctx, update, r)
}

func (tx *orgTx) write(ctx context.Context, statement string, r *deployments.Record) error {
	document, err := r.Deployment.Encode()
	if err != nil {
		return err
	}
	reports, err := documents.Encode(r.Reports)
	if err != nil {
		return err
	}
	previous, err := json.Marshal(r.PreviousCommits)
	if err != nil {
		return err
	}
	if err := tx.putRun(ctx, r); err != nil {
		return err
	}
	d, p := r.Deployment, r.Position()
	var succeeded, rolledBack sql.NullInt64
	if !r.SucceededAt.IsZero() {
		succeeded = sql.NullInt64{Int64: r.SucceededAt.UnixMicro(), Valid: true}
		rolledBack = sql.NullInt64{Int64: d.CompletedAt.UnixMicro(), Valid: d.Status != payload.StatusSuccess}
	}
	return changeOne(ctx, tx.q, statement,
		[]byte(d.DeploymentID), []byte(d.Service), []byte(d.Environment), scope(p.Service, p.Environment), string(d.Status),
		d.StartedAt.UnixMicro(), p.At, succeeded, rolledBack, document, reports, r.PreviousGiven, previous, r.Linked, r.LinkedPRs, r.RecordedAt.UnixMicro(), r.UpdatedAt.UnixMicro(), tx.org, r.ID)
}

// changeOne runs a statement that must change exactly one row.
func changeOne(ctx context.Context, q sqldb.Querier, statement string, args ...any) error {
	n, err := q.Exec(ctx, statement, args...)
	if err == nil && n != 1 {
		err = fmt.Errorf("a statement changed %d rows instead of one; were rows deleted by hand?", n)
	}
	return err
}

// scope hashes service and environment, each with its length.
func scope(service, environment string) []byte {
	text := binary.AppendUvarint(nil, uint64(len(service)))
	text = append(append(text, service...), environment...)
	sum := sha256.Sum256(text)
	return sum[:]
}

// one returns a record, or nil for a missing row.
func one(row sqldb.Row) (*deployments.Record, error) {
	r, err := scan(row)
	if errors.Is(err, sqldb.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &r, nil
}

func scan(row sqldb.Row) (r deployments.Record, err error) {
	var document, reports, previous []byte
	var recorded, updated int64
	var succeeded sql.NullInt64
	if err := row.Scan(&r.ID, &document, &reports, &succeeded, &r.PreviousGiven, &previous, &r.Linked, &r.LinkedPRs, &recorded, &updated); err != nil {
		return r, err
	}
	d, err := payload.DecodeDeployment(document)
	if err != nil {
		// not ErrInvalid, because the delivery is valid
		return r, fmt.Errorf("cannot read record %d: %v", r.ID, err)
	}
	r.Deployment = d
	if r.Reports, err = documents.Decode(reports, payload.DecodeDeployment); err != nil {
		return r, fmt.Errorf("reports of record %d can't be read: %v", r.ID, err)
	}
	if err := json.Unmarshal(previous, &r.PreviousCommits); err != nil {
		return r, fmt.Errorf("previous commits of record %d can't be read: %v", r.ID, err)
	}
	if succeeded.Valid {
		r.SucceededAt = time.UnixMicro(succeeded.Int64).UTC()
	}
	r.RecordedAt, r.UpdatedAt = time.UnixMicro(recorded).UTC(), time.UnixMicro(updated).UTC()
	return r, nil
}
