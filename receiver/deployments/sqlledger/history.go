package sqlledger

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/deployhook/deployhook/internal/sqldb"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/internal/documents"
)

// historyPage is the number of rows per read. Between pages the ledger keeps no
// transaction and no connection.
const historyPage = 2000

var (
	_ deployments.History    = (*Ledger)(nil)
	_ deployments.IncidentTx = (*orgTx)(nil)
)

// putRun writes the deployment's run to its own row. Reading a year of runs
// then does not read the documents.
func (tx *orgTx) putRun(ctx context.Context, r *deployments.Record) error {
	run := r.Run()
	text, err := run.MarshalBinary()
	if err != nil {
		return err
	}
	hash := scope(run.Service, run.Environment)
	if _, err := tx.q.Exec(ctx, addScope, tx.org, hash, []byte(run.Service), []byte(run.Environment)); err != nil {
		return err
	}
	return changeOne(ctx, tx.q, putRun, tx.org, []byte(run.DeploymentID), hash, run.At().UnixMicro(), text)
}

// Scopes implements [deployments.History.Scopes].
func (l *Ledger) Scopes(ctx context.Context, organization string) ([]deployments.Scope, error) {
	if err := l.check(ctx, organization); err != nil {
		return nil, err
	}
	read := func(row sqldb.Row) (deployments.Scope, error) {
		var service, environment []byte
		err := row.Scan(&service, &environment)
		return deployments.Scope{Service: string(service), Environment: string(environment)}, err
	}
	var scopes []deployments.Scope
	err := sqldb.WhileBusy(ctx, func() (err error) {
		scopes, err = sqldb.Collect(ctx, l.db, read, allScopes, []byte(organization))
		return err
	})
	slices.SortFunc(scopes, deployments.CompareScopes)
	return scopes, wrap("scopes", err)
}

// place is the end of a page.
type place struct {
	at int64
	id []byte
}

// Runs implements [deployments.History.Runs].
func (l *Ledger) Runs(ctx context.Context, organization string, s deployments.Scope, from, to time.Time) iter.Seq2[deployments.Run, error] {
	start, limit := place{at: math.MinInt64, id: []byte{}}, int64(math.MaxInt64)
	if !from.IsZero() {
		start.at = from.UnixMicro()
	}
	if !to.IsZero() {
		limit = to.UnixMicro()
	}
	org, hash := []byte(organization), scope(s.Service, s.Environment)
	decode := func(text []byte) (r deployments.Run, err error) {
		if err := r.UnmarshalBinary(text); err != nil {
			return r, fmt.Errorf("cannot decode a run: %w", err)
		}
		return r, nil
	}
	end := func(r *deployments.Run) place { return place{r.At().UnixMicro(), []byte(r.DeploymentID)} }
	return pages(ctx, l, organization, "runs", start, decode, end, func(p place) ([][]byte, error) {
		return sqldb.Collect(ctx, l.db, readText, runsFrom, org, hash, p.at, p.id, limit, historyPage)
	})
}

// Incidents implements [deployments.History.Incidents].
func (l *Ledger) Incidents(ctx context.Context, organization string) iter.Seq2[payload.Incident, error] {
	decode := func(text []byte) (payload.Incident, error) {
		i, err := payload.DecodeIncident(text)
		if err != nil {
			return payload.Incident{}, fmt.Errorf("cannot decode an incident: %v", err)
		}
		return *i, nil
	}
	start := place{at: math.MinInt64, id: []byte{}}
	end := func(i *payload.Incident) place { return place{i.OpenedAt.UnixMicro(), []byte(i.IncidentID)} }
	return pages(ctx, l, organization, "incidents", start, decode, end, func(p place) ([][]byte, error) {
		return sqldb.Collect(ctx, l.db, readText, incidentsFrom, []byte(organization), p.at, p.id, historyPage)
	})
}

func readText(row sqldb.Row) (text []byte, err error) {
	err = row.Scan(&text)
	return text, err
}

// pages yields what next reads, one page after the other. end returns the place
// of a value, which its row is indexed by.
func pages[T any](
	ctx context.Context, l *Ledger, organization, call string, p place,
	decode func([]byte) (T, error), end func(*T) place, next func(place) ([][]byte, error),
) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var value T
		if err := l.check(ctx, organization); err != nil {
			yield(value, err)
			return
		}
		for {
			var page [][]byte
			err := sqldb.WhileBusy(ctx, func() (err error) {
				page, err = next(p)
				return err
			})
			if err != nil {
				var none T
				yield(none, wrap(call, err))
				return
			}
			for _, text := range page {
				value, err = decode(text)
				if !yield(value, wrap(call, err)) || err != nil {
					return
				}
			}
			if len(page) < historyPage {
				return
			}
			p = end(&value)
		}
	}
}

// RecordIncident implements [deployments.Ledger.RecordIncident] in one
// transaction.
func (l *Ledger) RecordIncident(ctx context.Context, organization string, i *payload.Incident) (deployments.RecordedIncident, error) {
	if err := l.check(ctx, organization); err != nil {
		return deployments.RecordedIncident{}, err
	}
	var recorded deployments.RecordedIncident
	err := l.inOrgTx(ctx, organization, true, func(tx *orgTx) (err error) {
		recorded, err = deployments.ApplyIncident(ctx, tx, i)
		return err
	})
	if err != nil {
		return deployments.RecordedIncident{}, wrap("record incident", err)
	}
	return recorded, nil
}

// FindIncident implements [deployments.IncidentTx].
func (tx *orgTx) FindIncident(ctx context.Context, incidentID string) (*deployments.IncidentRecord, error) {
	var document, reports []byte
	var recorded, updated int64
	err := tx.q.QueryRow(ctx, findIncident, tx.org, []byte(incidentID)).Scan(&document, &reports, &recorded, &updated)
	if errors.Is(err, sqldb.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r := &deployments.IncidentRecord{RecordedAt: time.UnixMicro(recorded).UTC(), UpdatedAt: time.UnixMicro(updated).UTC()}
	var reportsErr error
	r.Incident, err = payload.DecodeIncident(document)
	r.Reports, reportsErr = documents.Decode(reports, payload.DecodeIncident)
	if err := errors.Join(err, reportsErr); err != nil {
		return nil, fmt.Errorf("cannot decode incident %q: %v", incidentID, err)
	}
	return r, nil
}

// PutIncident implements [deployments.IncidentTx].
func (tx *orgTx) PutIncident(ctx context.Context, r *deployments.IncidentRecord) error {
	document, err := r.Incident.Encode()
	if err != nil {
		return err
	}
	reports, err := documents.Encode(r.Reports)
	if err != nil {
		return err
	}
	return changeOne(ctx, tx.q, putIncident, tx.org, []byte(r.Incident.IncidentID), r.Incident.OpenedAt.UnixMicro(), document, reports,
		r.RecordedAt.UnixMicro(), r.UpdatedAt.UnixMicro())
}
