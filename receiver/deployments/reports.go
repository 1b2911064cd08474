package deployments

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/deployhook/deployhook/payload"
)

// reportOf returns the members of a delivery that metrics need.
func reportOf(d *payload.Deployment) *payload.Deployment {
	r := &payload.Deployment{
		DeploymentID: d.DeploymentID, CommitSHA: d.CommitSHA, Environment: d.Environment, Status: d.Status,
		StartedAt: d.StartedAt.UTC(), Service: d.Service, Branch: d.Branch, RepositoryURL: d.RepositoryURL,
		ArtifactDigest: d.ArtifactDigest, Version: d.Version, RollbackOf: d.RollbackOf, IncidentURL: d.IncidentURL,
	}
	if d.Status.Terminal() {
		r.CompletedAt = d.CompletedAt.UTC()
	}
	for _, c := range d.Commits {
		r.Commits = append(r.Commits, payload.RepositoryCommit{RepositoryURL: c.RepositoryURL, CommitSHA: c.CommitSHA})
	}
	return r
}

// reportedAt returns when the status was reached, by the delivery's own times.
func reportedAt(d *payload.Deployment) time.Time {
	if d.Status.Terminal() {
		return d.CompletedAt
	}
	return d.StartedAt
}

// stageOf orders statuses that were reached at the same time.
func stageOf(s payload.Status) int {
	return slices.Index([]payload.Status{
		payload.StatusPending, payload.StatusInProgress, payload.StatusFailure, payload.StatusCancelled,
		payload.StatusSuccess, payload.StatusRolledBack,
	}, s)
}

// compareReports is a total order by time, status and text. It does not depend
// on the order of arrival.
func compareReports(a, b *payload.Deployment) int {
	if c := cmp.Or(reportedAt(a).Compare(reportedAt(b)), cmp.Compare(stageOf(a.Status), stageOf(b.Status))); c != 0 {
		return c
	}
	one, _ := a.Encode() // never fails, because recorded deployments are valid
	other, _ := b.Encode()
	return bytes.Compare(one, other)
}

// addReport adds the report of d. It keeps the earliest and the latest report
// of each status, so at most twelve, and the same ones for any order of
// arrival.
func addReport(reports []*payload.Deployment, d *payload.Deployment) (kept []*payload.Deployment, changed bool) {
	r := reportOf(d)
	at, known := slices.BinarySearchFunc(reports, r, compareReports)
	if known {
		return reports, false
	}
	kept = slices.Insert(slices.Clone(reports), at, r)
	of := 0
	for _, k := range kept {
		if k.Status == r.Status {
			of++
		}
	}
	if of <= 2 {
		return kept, true
	}
	middle := -1
	for i, seen := 0, 0; i < len(kept); i++ {
		if kept[i].Status != r.Status {
			continue
		}
		if seen++; seen == 2 {
			middle = i
		}
	}
	changed = kept[middle] != r
	return slices.Delete(kept, middle, middle+1), changed
}
