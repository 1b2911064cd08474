package deployments

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/deployhook/deployhook/payload"
)

// IncidentRecord is what a ledger has on one incident.
type IncidentRecord struct {
	// Incident is the incident as its deliveries have told it, see [ApplyIncident].
	Incident *payload.Incident
	// Reports are the deliveries that Incident is made of.
	Reports []*payload.Incident
	// RecordedAt is when the record was created, by the ledger's clock.
	RecordedAt time.Time
	// UpdatedAt is when it last changed, by the ledger's clock.
	UpdatedAt time.Time
}

// RecordedIncident is what [Ledger.RecordIncident] did.
type RecordedIncident struct {
	// IncidentRecord is what is on record now.
	IncidentRecord
	// Created reports that there was no record before.
	Created bool
	// Changed reports that the delivery created or changed the record.
	Changed bool
}

// IncidentTx is the part of a transaction that [ApplyIncident] needs.
type IncidentTx interface {
	// FindIncident returns the record of an incident, or nil.
	FindIncident(ctx context.Context, incidentID string) (*IncidentRecord, error)
	// PutIncident adds a record, or replaces the one that has its incident's ID.
	PutIncident(ctx context.Context, r *IncidentRecord) error
}

// ApplyIncident is what [Ledger.RecordIncident] does, within a transaction of the
// ledger's. On an error the transaction must be rolled back.
//
// Each member comes from the newest delivery that has it. A delivery is as new as
// its updatedAt, or else its resolvedAt, or else its openedAt. So the order of
// arrival does not matter. An incident whose newest openedAt is after its
// resolvedAt was opened again, and is not resolved.
//
// An invalid incident is an error that wraps [payload.ErrInvalid].
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

// incidentAge is how new a delivery is.
func incidentAge(i *payload.Incident) time.Time {
	switch {
	case !i.UpdatedAt.IsZero():
		return i.UpdatedAt
	case !i.ResolvedAt.IsZero():
		return i.ResolvedAt
	}
	return i.OpenedAt
}

// newerIncident puts the newer delivery first.
func newerIncident(a, b *payload.Incident) int {
	if c := incidentAge(b).Compare(incidentAge(a)); c != 0 {
		return c
	}
	one, _ := a.Encode() // what is on record is valid
	other, _ := b.Encode()
	return bytes.Compare(other, one)
}

// addIncidentReport adds a delivery and removes those that no member comes from,
// the newest first. What is removed could not win later either.
func addIncidentReport(reports []*payload.Incident, i *payload.Incident) []*payload.Incident {
	added := *i
	added.Dropped = nil
	all := append(slices.Clone(reports), &added)
	slices.SortFunc(all, newerIncident)
	all = slices.CompactFunc(all, (*payload.Incident).Equal)
	won := incidentMembers(&payload.Incident{})
	kept := all[:0:0]
	for at, report := range all {
		wins := at == 0 // its openedAt
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

// incidentMembers tells which of the optional members an incident has.
func incidentMembers(i *payload.Incident) []bool {
	return []bool{
		!i.ResolvedAt.IsZero(), !i.UpdatedAt.IsZero(), i.Service != "", i.Environment != "", i.DeploymentID != "", i.URL != "",
		i.Title != "", !i.Extra.IsZero(),
	}
}

// mergeIncident takes each member from the first report that has it.
func mergeIncident(reports []*payload.Incident) *payload.Incident {
	m := *reports[0]
	for _, r := range reports[1:] {
		if m.ResolvedAt.IsZero() && !r.ResolvedAt.Before(m.OpenedAt) {
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
	return &m
}

func sameReports(a, b []*payload.Incident) bool {
	return slices.EqualFunc(a, b, (*payload.Incident).Equal)
}
