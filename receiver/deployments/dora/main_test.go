package dora_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/dora"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// testCommit is a commit of a repository that a test makes up.
type testCommit struct {
	ID        string    `json:"id"`
	Parents   []string  `json:"parents"`
	Authored  time.Time `json:"authored"`
	Committed time.Time `json:"committed"`
	Subject   string    `json:"subject"`
}

// testCommits are the commits of repositories by URL.
type testCommits map[string][]testCommit

func id(text string) dora.CommitID {
	id, ok := dora.ParseCommitID(text)
	if !ok {
		panic("no commit: " + text)
	}
	return id
}

func (c testCommits) Resolve(_ context.Context, r dora.Repository, names []string) ([]dora.Resolved, error) {
	commits, ok := c[r.URL]
	if !ok {
		return nil, fmt.Errorf("%w: %q", dora.ErrNoHistory, r.URL)
	}
	found := make([]dora.Resolved, len(names))
	for i, name := range names {
		for _, k := range commits {
			if strings.HasPrefix(k.ID, name) {
				found[i] = dora.Resolved{ID: id(k.ID), Known: true, Subject: k.Subject}
			}
		}
	}
	return found, nil
}

func (c testCommits) Walk(_ context.Context, r dora.Repository, heads, bases []dora.CommitID) iter.Seq2[dora.Commit, error] {
	commits := make(map[dora.CommitID]testCommit)
	for _, k := range c[r.URL] {
		commits[id(k.ID)] = k
	}
	var reach func(from dora.CommitID, seen map[dora.CommitID]bool)
	reach = func(from dora.CommitID, seen map[dora.CommitID]bool) {
		if seen[from] {
			return
		}
		seen[from] = true
		for _, p := range commits[from].Parents {
			reach(id(p), seen)
		}
	}
	excluded, included := make(map[dora.CommitID]bool), make(map[dora.CommitID]bool)
	for _, b := range bases {
		reach(b, excluded)
	}
	for _, h := range heads {
		reach(h, included)
	}
	return func(yield func(dora.Commit, error) bool) {
		for at := range included {
			if excluded[at] {
				continue
			}
			k := commits[at]
			one := dora.Commit{ID: at, Authored: k.Authored, Committed: k.Committed}
			for _, p := range k.Parents {
				one.Parents = append(one.Parents, id(p))
			}
			if !yield(one, nil) {
				return
			}
		}
	}
}

// world is a ledger that a test fills.
type world struct {
	*testing.T
	ledger *deployments.MemoryLedger
}

func newWorld(t *testing.T) *world {
	t.Helper()
	l, err := deployments.NewMemoryLedger()
	require.NoError(t, err)
	return &world{t, l}
}

const org = "acme"

func (w *world) record(d *payload.Deployment) {
	w.Helper()
	_, err := w.ledger.Record(w.Context(), org, d)
	require.NoError(w, err)
}

func (w *world) incident(i *payload.Incident) {
	w.Helper()
	_, err := w.ledger.RecordIncident(w.Context(), org, i)
	require.NoError(w, err)
}

var api = deployments.Scope{Service: "api", Environment: "production"}

// report computes the figures of service api in production.
func (w *world) report(window dora.Window, opts ...dora.Option) *dora.Report {
	w.Helper()
	r, err := dora.Compute(w.Context(), dora.Input{
		Organization: org, Scope: api, Runs: w.ledger.Runs(w.Context(), org, api, time.Time{}, time.Time{}),
		Incidents: w.ledger.Incidents(w.Context(), org),
	}, window, opts...)
	require.NoError(w, err)
	return r
}

func window(t testing.TB, zone, first, end string) dora.Window {
	t.Helper()
	w, err := dora.NewWindow(zone, first, end)
	require.NoError(t, err)
	return w
}

// clock is a time on 2026-03-02, a Monday, or on a later day.
func clock(t testing.TB, text string, days ...int) time.Time {
	t.Helper()
	at, err := time.Parse(time.DateTime, "2026-03-02 "+text+":00")
	require.NoError(t, err)
	for _, d := range days {
		at = at.AddDate(0, 0, d)
	}
	return at
}

// sha is a commit of its own for each letter or digit of a name.
func sha(name string) string { return strings.Repeat(fmt.Sprintf("%x", name), 20)[:40] }

func live(id, commit string, at time.Time) *payload.Deployment {
	return &payload.Deployment{
		DeploymentID: id, CommitSHA: commit, Service: api.Service, Environment: api.Environment, Status: payload.StatusSuccess,
		StartedAt: at.Add(-time.Minute), CompletedAt: at,
	}
}

func opened(id string, at, resolved time.Time) *payload.Incident {
	return &payload.Incident{IncidentID: id, Service: api.Service, Environment: api.Environment, OpenedAt: at, ResolvedAt: resolved}
}

func failedIDs(r *dora.Report) []string { return slices.Clone(r.ChangeFailRate.Deployments) }
