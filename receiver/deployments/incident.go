package deployments

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/deployhook/deployhook/payload"
)

// IncidentRecord is a ledger's record of one incident.
type IncidentRecord struct {
	// Incident combines the deliveries about the incident, see [ApplyIncident].
	Incident *payload.Incident
	// Reports has the deliveries that Incident was combined from.
	Reports []*payload.Incident
	// RecordedAt is when the ledger created the record, by the ledger's clock.
	RecordedAt time.Time
	// UpdatedAt is when the record last changed, by the ledger's clock.
	UpdatedAt time.Time
}

// RecordedIncident is the result of [Ledger.RecordIncident].
type RecordedIncident struct {
	// IncidentRecord is the record after the call.
	IncidentRecord
	// Created reports whether the call created the record.
	Created bool
	// Changed reports whether the call created or changed the record.
	Changed bool
}

// IncidentTx is the part of a transaction that [ApplyIncident] needs.
//
// The interface is frozen: it gets no further method.
type IncidentTx interface {
	// FindIncident returns the record of an incident, or nil.
	FindIncident(ctx context.Context, incidentID string) (*IncidentRecord, error)
	// PutIncident adds a record or replaces the one with its incident's ID.
	PutIncident(ctx context.Context, r *IncidentRecord) error
}

// ApplyIncident implements [Ledger.RecordIncident] within a transaction of the
// ledger. Roll the transaction back if it returns an error. An invalid incident
// is an error that wraps [payload.ErrInvalid].
//
// Each member comes from the newest delivery that has it, so the order of
// arrival does not matter. A delivery's age is its updatedAt. If that is
// missing, it is the resolvedAt, and then the openedAt. An incident whose
// newest openedAt is after its resolvedAt was reopened, and is not resolved.
func ApplyIncident(ctx context.Context, tx IncidentTx, i *payload.Incident) (RecordedIncident, error) {
	if i == nil {
		return RecordedIncident{}, configError("the incident to record is nil")
	}
	if err := i.Validate(); err != nil {
		return RecordedIncident{}, err
	}
	old, err := tx.FindIncident(ctx, i.IncidentID)
	if err != nil {
		return RecordedIncident{}, err
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	r := IncidentRecord{RecordedAt: now, UpdatedAt: now}
	if old != nil {
		r.RecordedAt = old.RecordedAt
		r.Reports = old.Reports
	}
	r.Reports = addIncidentReport(r.Reports, i)
	if old != nil && sameReports(r.Reports, old.Reports) {
		return RecordedIncident{IncidentRecord: *old}, nil
	}
	r.Incident = mergeIncident(r.Reports)
	if err := tx.PutIncident(ctx, &r); err != nil {
		return RecordedIncident{}, err
	}
	return RecordedIncident{IncidentRecord: r, Created: old == nil, Changed: true}, nil
}

// incidentAge returns the time by which deliveries are ordered.
func incidentAge(i *payload.Incident) time.Time {
	switch {
	case !i.UpdatedAt.IsZero():
		return i.UpdatedAt
	case !i.ResolvedAt.IsZero():
		return i.ResolvedAt
	}
	return i.OpenedAt
}

// newerIncident orders newer deliveries first.
func newerIncident(a, b *payload.Incident) int {
	if c := incidentAge(b).Compare(incidentAge(a)); c != 0 {
		return c
	}
	one, _ := a.Encode() // never fails, because recorded incidents are valid
	other, _ := b.Encode()
	return bytes.Compare(other, one)
}

// addIncidentReport adds a delivery, newest first. It removes deliveries that
// provide no member, because they can never provide one later.
func addIncidentReport(reports []*payload.Incident, i *payload.Incident) []*payload.Incident {
	added := *i
	added.Dropped = nil
	all := append(slices.Clone(reports), &added)
	slices.SortFunc(all, newerIncident)
	all = slices.CompactFunc(all, (*payload.Incident).Equal)
	won := incidentMembers(&payload.Incident{})
	kept := all[:0:0]
	for at, report := range all {
		wins := at == 0
		for k, has := range incidentMembers(report) {
			if has && !won[k] {
				won[k], wins = true, true
			}
		}
		if wins {
			kept = append(kept, report)
		}
	}
	return kept
}

// incidentMembers returns which of the optional members an incident has.
func incidentMembers(i *payload.Incident) []bool {
	return []bool{
		!i.OpenedAt.IsZero(), !i.ResolvedAt.IsZero(), !i.UpdatedAt.IsZero(), i.Service != "", i.Environment != "", i.DeploymentID != "", i.URL != "",
		i.Title != "", !i.Extra.IsZero(),
	}
}

// mergeIncident takes each member from the first report that has it.
func mergeIncident(reports []*payload.Incident) *payload.Incident {
	m := *reports[0]
	for _, r := range reports[1:] {
		if m.OpenedAt.IsZero() {
			m.OpenedAt = r.OpenedAt
		}
		if m.ResolvedAt.IsZero() {
			m.ResolvedAt = r.ResolvedAt
		}
		if m.UpdatedAt.IsZero() {
			m.UpdatedAt = r.UpdatedAt
		}
		for _, field := range []struct {
			to   *string
			from string
		}{
			{&m.Service, r.Service},
			{&m.Environment, r.Environment},
			{&m.DeploymentID, r.DeploymentID},
			{&m.URL, r.URL},
			{&m.Title, r.Title},
		} {
			if *field.to == "" {
				*field.to = field.from
			}
		}
		if m.Extra.IsZero() {
			m.Extra = r.Extra
		}
	}
	if m.ResolvedAt.Before(m.OpenedAt) { // opened again
		m.ResolvedAt = time.Time{}
	}
	return &m
}

func sameReports(a, b []*payload.Incident) bool {
	return slices.EqualFunc(a, b, (*payload.Incident).Equal)
}
