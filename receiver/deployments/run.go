package deployments

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/deployhook/deployhook/payload"
)

// Scope is a service in an environment of one organization. Unlike a [Filter],
// it names one pair, and an empty field does not match everything.
type Scope struct {
	// Service is empty for deployments without a service.
	Service string `json:"service"`
	// Environment is never empty, because every deployment has one.
	Environment string `json:"environment"`
}

// Run combines all deliveries about one deployment, in the same way for any
// order of arrival. Metrics are computed from runs.
//
//	member                    comes from
//	IncidentURL, RollbackOf   the latest report that has it
//	others                    the report of the first success, or else the
//	                          latest report that has it
type Run struct {
	DeploymentID string `json:"deploymentId"`
	Scope
	// Commit is the deployed commit, in lower case.
	Commit         string             `json:"commitSha"`
	RepositoryURL  string             `json:"repositoryUrl,omitzero"`
	Commits        []RepositoryCommit `json:"commits,omitzero"`
	Branch         string             `json:"branch,omitzero"`
	Version        string             `json:"version,omitzero"`
	ArtifactDigest string             `json:"artifactDigest,omitzero"`
	RollbackOf     string             `json:"rollbackOf,omitzero"`
	IncidentURL    string             `json:"incidentUrl,omitzero"`
	// Status is the status that was reached last.
	Status payload.Status `json:"status"`
	// StartedAt is the earliest reported start.
	StartedAt time.Time `json:"startedAt"`
	// LiveAt is when the deployment first succeeded. It is zero if no success
	// was reported, even if the deployment was rolled back.
	LiveAt time.Time `json:"liveAt,omitzero"`
	// RolledBackAt is when the deployment was rolled back after it was live.
	RolledBackAt time.Time `json:"rolledBackAt,omitzero"`
	// EndedAt is when the deployment last ended. It is zero if it has not
	// ended.
	EndedAt time.Time `json:"endedAt,omitzero"`
}

// RepositoryCommit is a commit of a further repository.
type RepositoryCommit struct {
	RepositoryURL string `json:"repositoryUrl"`
	Commit        string `json:"commitSha"`
}

// At returns when the deployment went live. If it never did, At returns when it
// ended, and otherwise when it started.
func (r *Run) At() time.Time {
	return cmp.Or(r.LiveAt, r.EndedAt, r.StartedAt)
}

// CompareRuns orders runs by At and then by DeploymentID.
func CompareRuns(a, b *Run) int {
	return cmp.Or(a.At().Compare(b.At()), strings.Compare(a.DeploymentID, b.DeploymentID))
}

// Run combines the record's reports into one run.
func (r *Record) Run() Run {
	reports := r.Reports
	if len(reports) == 0 {
		reports = []*payload.Deployment{reportOf(r.Deployment)}
	}
	latest := reports[len(reports)-1]
	run := Run{DeploymentID: latest.DeploymentID, Status: latest.Status}
	var live *payload.Deployment
	for _, d := range reports {
		if run.StartedAt.IsZero() || d.StartedAt.Before(run.StartedAt) {
			run.StartedAt = d.StartedAt
		}
		if d.Status.Terminal() && d.CompletedAt.After(run.EndedAt) {
			run.EndedAt = d.CompletedAt
		}
		if d.Status == payload.StatusSuccess && live == nil {
			live, run.LiveAt = d, d.CompletedAt
		}
	}
	run.setMembers(reports, live)
	for _, d := range reports {
		if d.Status == payload.StatusRolledBack && live != nil && !d.CompletedAt.Before(run.LiveAt) && run.RolledBackAt.IsZero() {
			run.RolledBackAt = d.CompletedAt
		}
	}
	for _, t := range []*time.Time{&run.StartedAt, &run.LiveAt, &run.RolledBackAt, &run.EndedAt} {
		if !t.IsZero() {
			*t = time.UnixMicro(t.UnixMicro()).UTC() // with the precision of a database
		}
	}
	return run
}

// setMembers takes each member from the best report that has it. live may be
// nil.
func (r *Run) setMembers(reports []*payload.Deployment, live *payload.Deployment) {
	backward := slices.Clone(reports)
	slices.Reverse(backward)
	preferred := backward
	if live != nil {
		preferred = append([]*payload.Deployment{live}, backward...)
	}
	first := func(in []*payload.Deployment, get func(*payload.Deployment) string) string {
		for _, d := range in {
			if v := get(d); v != "" {
				return v
			}
		}
		return ""
	}
	r.Service = first(preferred, func(d *payload.Deployment) string { return d.Service })
	r.Environment = preferred[0].Environment
	r.Commit = wholeCommit(preferred)
	r.RepositoryURL = first(preferred, func(d *payload.Deployment) string { return d.RepositoryURL })
	r.Branch = first(preferred, func(d *payload.Deployment) string { return d.Branch })
	r.Version = first(preferred, func(d *payload.Deployment) string { return d.Version })
	r.ArtifactDigest = first(preferred, func(d *payload.Deployment) string { return d.ArtifactDigest })
	r.RollbackOf = first(backward, func(d *payload.Deployment) string { return d.RollbackOf })
	r.IncidentURL = first(backward, func(d *payload.Deployment) string { return d.IncidentURL })
	for _, d := range preferred {
		if len(d.Commits) > 0 {
			for _, c := range d.Commits {
				r.Commits = append(r.Commits, RepositoryCommit{RepositoryURL: c.RepositoryURL, Commit: strings.ToLower(c.CommitSHA)})
			}
			return
		}
	}
}

// wholeCommit returns the commit of the first report. If it is abbreviated, it
// returns the longest reported commit that begins with it.
func wholeCommit(reports []*payload.Deployment) string {
	commit := strings.ToLower(reports[0].CommitSHA)
	for _, d := range reports {
		other := strings.ToLower(d.CommitSHA)
		if strings.HasPrefix(other, commit) {
			commit = other
		}
	}
	return commit
}
