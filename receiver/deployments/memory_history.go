package deployments

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments/internal/documents"
)

// memoryIncident stores an incident encoded, like memoryRow.
type memoryIncident struct {
	opened   time.Time
	incident []byte
	reports  []byte
	recorded time.Time
	updated  time.Time
}

var _ History = (*MemoryLedger)(nil)

// clone returns a copy whose strings share no memory with a document.
func (r *Run) clone() *Run {
	c := *r
	for _, s := range []*string{
		&c.DeploymentID, &c.Service, &c.Environment, &c.Commit, &c.RepositoryURL, &c.Branch, &c.Version, &c.ArtifactDigest,
		&c.RollbackOf, &c.IncidentURL,
	} {
		*s = strings.Clone(*s)
	}
	c.Status = payload.Status(strings.Clone(string(c.Status)))
	for i := range c.Commits {
		c.Commits[i] = c.Commits[i].clone()
	}
	return &c
}

// clone returns a copy whose strings share no memory with a document.
func (c RepositoryCommit) clone() RepositoryCommit {
	return RepositoryCommit{RepositoryURL: strings.Clone(c.RepositoryURL), Commit: strings.Clone(c.Commit)}
}

// sizeOf returns the memory of commits in bytes.
func sizeOf(commits []RepositoryCommit) (bytes int) {
	for _, c := range commits {
		bytes += len(c.RepositoryURL) + len(c.Commit) + 32 // two strings
	}
	return bytes
}

// RecordIncident implements [Ledger.RecordIncident].
func (l *MemoryLedger) RecordIncident(ctx context.Context, organization string, i *payload.Incident) (RecordedIncident, error) {
	if err := l.begin(ctx, organization); err != nil {
		return RecordedIncident{}, err
	}
	defer l.mu.Unlock()
	return ApplyIncident(ctx, &memoryTx{ledger: l, organization: organization, org: l.orgs[organization]}, i)
}

func (tx *memoryTx) FindIncident(_ context.Context, incidentID string) (*IncidentRecord, error) {
	if tx.org == nil || tx.org.incidents[incidentID] == nil {
		return nil, nil
	}
	m := tx.org.incidents[incidentID]
	r := IncidentRecord{RecordedAt: m.recorded, UpdatedAt: m.updated}
	var err, reportsErr error
	r.Incident, err = payload.DecodeIncident(m.incident)
	r.Reports, reportsErr = documents.Decode(m.reports, payload.DecodeIncident)
	if err := errors.Join(err, reportsErr); err != nil {
		return nil, fmt.Errorf("deployments: cannot decode an incident: %w", err)
	}
	return &r, nil
}

func (tx *memoryTx) PutIncident(_ context.Context, r *IncidentRecord) error {
	m := &memoryIncident{opened: r.Incident.OpenedAt, recorded: r.RecordedAt, updated: r.UpdatedAt}
	var err, reportsErr error
	m.incident, err = r.Incident.Encode()
	m.reports, reportsErr = documents.Encode(r.Reports)
	if err := errors.Join(err, reportsErr); err != nil {
		return err
	}
	id := strings.Clone(r.Incident.IncidentID)
	size := int64(len(m.incident) + len(m.reports) + rowOverhead)
	if tx.org != nil && tx.org.incidents[id] != nil {
		old := tx.org.incidents[id]
		size -= int64(len(old.incident) + len(old.reports) + rowOverhead)
	}
	if err := tx.grow(size); err != nil {
		return err
	}
	tx.org.incidents[id] = m
	return nil
}

// Scopes implements [History.Scopes].
func (l *MemoryLedger) Scopes(ctx context.Context, organization string) ([]Scope, error) {
	if err := l.begin(ctx, organization); err != nil {
		return nil, err
	}
	defer l.mu.Unlock()
	org := l.orgs[organization]
	if org == nil {
		return nil, nil
	}
	return slices.SortedFunc(maps.Keys(org.runs), CompareScopes), nil
}

// CompareScopes orders scopes by service and then by environment.
func CompareScopes(a, b Scope) int {
	return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.Environment, b.Environment))
}

// Runs implements [History.Runs].
func (l *MemoryLedger) Runs(ctx context.Context, organization string, s Scope, from, to time.Time) iter.Seq2[Run, error] {
	return func(yield func(Run, error) bool) {
		runs, err := l.runs(ctx, organization, s)
		if err != nil {
			yield(Run{}, err)
			return
		}
		for _, run := range runs {
			if at := run.At(); at.Before(from) || !to.IsZero() && !at.Before(to) {
				continue
			}
			if err := ctx.Err(); err != nil {
				yield(Run{}, err)
				return
			}
			if !yield(*run.clone(), nil) {
				return
			}
		}
	}
}

// runs returns a copy of the list. Its runs never change.
func (l *MemoryLedger) runs(ctx context.Context, organization string, s Scope) ([]*Run, error) {
	if err := l.begin(ctx, organization); err != nil {
		return nil, err
	}
	defer l.mu.Unlock()
	if org := l.orgs[organization]; org != nil {
		return slices.Clone(org.runs[s]), nil
	}
	return nil, nil
}

// Incidents implements [History.Incidents].
func (l *MemoryLedger) Incidents(ctx context.Context, organization string) iter.Seq2[payload.Incident, error] {
	return func(yield func(payload.Incident, error) bool) {
		incidents, err := l.incidents(ctx, organization)
		if err != nil {
			yield(payload.Incident{}, err)
			return
		}
		for _, m := range incidents {
			i, err := payload.DecodeIncident(m.incident)
			if err = errors.Join(err, ctx.Err()); err != nil {
				yield(payload.Incident{}, fmt.Errorf("deployments: read incidents: %w", err))
				return
			}
			if !yield(*i, nil) {
				return
			}
		}
	}
}

func (l *MemoryLedger) incidents(ctx context.Context, organization string) ([]*memoryIncident, error) {
	if err := l.begin(ctx, organization); err != nil {
		return nil, err
	}
	defer l.mu.Unlock()
	org := l.orgs[organization]
	if org == nil {
		return nil, nil
	}
	ids := slices.SortedFunc(maps.Keys(org.incidents), func(a, b string) int {
		return cmp.Or(org.incidents[a].opened.Compare(org.incidents[b].opened), strings.Compare(a, b))
	})
	list := make([]*memoryIncident, len(ids))
	for i, id := range ids {
		list[i] = org.incidents[id]
	}
	return list, nil
}
