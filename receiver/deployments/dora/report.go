package dora

import (
	"time"

	"github.com/deployhook/deployhook/receiver/deployments"
)

// Report has the five metrics of one service in one environment, and the
// evidence behind them.
type Report struct {
	Organization string `json:"organization"`
	deployments.Scope
	Window Window `json:"window"`
	Figures
	// Weeks are the same figures of the weeks from Monday that overlap the window,
	// as far as they do.
	Weeks []Week `json:"weeks"`
	// Deployments are those that went live in the window, in order.
	Deployments []Deployment `json:"deployments,omitzero"`
	// NotLive are runs that ended in the window without having been live. They
	// count nowhere.
	NotLive []deployments.Run `json:"notLive"`
	// LeftOutIncidents are incidents of the service and environment that tell of no
	// deployment.
	LeftOutIncidents []LeftOutIncident `json:"leftOutIncidents"`
}

// Figures are the five metrics. A figure that can't be measured is absent and
// never zero.
type Figures struct {
	ChangeLeadTime               LeadTime  `json:"changeLeadTime"`
	DeploymentFrequency          Frequency `json:"deploymentFrequency"`
	FailedDeploymentRecoveryTime Recovery  `json:"failedDeploymentRecoveryTime"`
	ChangeFailRate               Rate      `json:"changeFailRate"`
	DeploymentReworkRate         Rate      `json:"deploymentReworkRate"`
}

// Week has the figures of one week.
type Week struct {
	// From and To are days, To exclusive.
	From string `json:"from"`
	To   string `json:"to"`
	Figures
}

// LeadTime is how long commits took to go live.
type LeadTime struct {
	// N is how many commits were measured.
	N int `json:"n"`
	// MedianSeconds and P90Seconds are nil if N is 0.
	MedianSeconds *float64 `json:"medianSeconds,omitzero"`
	P90Seconds    *float64 `json:"p90Seconds,omitzero"`
	// LeftOut counts what has no lead time. ReasonClock counts commits. The others
	// count deployments, one for each of their repositories.
	LeftOut map[Reason]int `json:"leftOut"`
	// Deployments are the IDs of those whose commits were measured.
	Deployments []string `json:"deployments"`
}

// Frequency is how often deployments go live.
type Frequency struct {
	// N is how many deployments went live.
	N int `json:"n"`
	// PerDay is N divided by the days of the window. It is nil if the scope has no
	// record from before the window's end.
	PerDay *float64 `json:"perDay,omitzero"`
	// DaysPerWeek is the median of the days with deployments in the whole weeks of
	// the window. It is nil if there is no whole week.
	DaysPerWeek *float64 `json:"daysPerWeek,omitzero"`
	// Deployments are the IDs of those that went live.
	Deployments []string `json:"deployments"`
}

// Recovery is how long failed deployments took to be put right.
type Recovery struct {
	// N is how many failed deployments were put right.
	N int `json:"n"`
	// MedianSeconds is nil if N is 0.
	MedianSeconds *float64 `json:"medianSeconds,omitzero"`
	// Deployments are the IDs of those that were measured.
	Deployments []string `json:"deployments"`
	// Unresolved are the IDs of failed deployments that nothing has put right.
	Unresolved []string `json:"unresolved"`
	// LeftOut counts failed deployments without a duration, with the reason.
	LeftOut map[Reason]int `json:"leftOut"`
}

// Rate is a share of the deployments.
type Rate struct {
	// N is how many deployments it is a share of.
	N int `json:"n"`
	// Rate is from 0 to 1, and nil if N is 0.
	Rate *float64 `json:"rate,omitzero"`
	// Deployments are the IDs of those that count.
	Deployments []string `json:"deployments"`
	// LeftOut counts deployments that Rate is not a share of, with the reason.
	LeftOut map[Reason]int `json:"leftOut"`
}

// Reason says why something has no number.
type Reason string

// The reasons.
const (
	// ReasonFirst is the first deployment of a repository in the scope.
	ReasonFirst Reason = "first"
	// ReasonRedeployment is the commit that was running already.
	ReasonRedeployment Reason = "redeployment"
	// ReasonGoingBack is a commit that an earlier deployment contained.
	ReasonGoingBack Reason = "going_back"
	// ReasonGap is a commit, or one before it, that the history does not have, or
	// that shares no history with what was deployed before.
	ReasonGap Reason = "gap"
	// ReasonMerges is a deployment that brought merge commits alone.
	ReasonMerges Reason = "merges"
	// ReasonClock is a commit with a time after it went live, or a recovery before
	// the failed deployment was live.
	ReasonClock Reason = "clock"
	// ReasonNoHistory is a repository whose history can't be read.
	ReasonNoHistory Reason = "no_history"
	// ReasonRollback is a rollback that [WithoutRollbacks] leaves out.
	ReasonRollback Reason = "rollback"
	// ReasonNoDeployment is an incident before which no deployment went live.
	ReasonNoDeployment Reason = "no_deployment"
	// ReasonNotLive is a link to a deployment that never was live.
	ReasonNotLive Reason = "not_live"
)

// Deployment is a deployment that went live, with the evidence about it.
type Deployment struct {
	deployments.Run
	// Failed is what says that the deployment failed, the strongest evidence first.
	Failed []Evidence `json:"failed,omitzero"`
	// RecoveredAt is when the failure was put right, and RecoveredBy what did it.
	RecoveredAt time.Time `json:"recoveredAt,omitzero"`
	RecoveredBy *Evidence `json:"recoveredBy,omitzero"`
	// Remediation is set if the deployment puts right another one.
	Remediation Remediation `json:"remediation,omitzero"`
	// Remediates is the ID of the failed deployment, where that is known.
	Remediates string `json:"remediates,omitzero"`
	// Changes are the commits that the deployment was the first to bring.
	Changes []Change `json:"changes,omitzero"`
	// LeftOut says why there are no changes.
	LeftOut []LeftOut `json:"leftOut,omitzero"`
}

// Remediation is the kind of a deployment that puts right another one.
type Remediation string

// The kinds of remediation.
const (
	// RollBack deploys what was live before, or says that it takes back another
	// deployment.
	RollBack Remediation = "rollback"
	// RollForward is marked as a hotfix or a revert.
	RollForward Remediation = "roll_forward"
	// ForIncident has a link to an incident.
	ForIncident Remediation = "incident"
)

// EvidenceKind is what says that a deployment failed.
type EvidenceKind string

// The kinds of evidence, the strongest first.
const (
	ByLink         EvidenceKind = "link"         // another deployment or an incident names it
	ByRollBack     EvidenceKind = "rolled_back"  // it was rolled back after it was live
	ByRedeployment EvidenceKind = "redeployment" // what was live before it was deployed again
	ByMarker       EvidenceKind = "marker"       // a hotfix or a revert followed
	ByIncident     EvidenceKind = "incident"     // it was the last one before an incident
)

// Evidence says where a fact comes from.
type Evidence struct {
	Kind EvidenceKind `json:"kind"`
	// DeploymentID is the deployment that says so.
	DeploymentID string `json:"deploymentId,omitzero"`
	// IncidentID is the incident that says so.
	IncidentID string `json:"incidentId,omitzero"`
}

// Change is a commit that went live.
type Change struct {
	RepositoryURL string   `json:"repositoryUrl,omitzero"`
	Commit        CommitID `json:"commitSha"`
	// Seconds is the lead time. One below zero is left out, with ReasonClock.
	Seconds float64 `json:"seconds"`
}

// LeftOut says why a deployment has no lead times of one repository.
type LeftOut struct {
	RepositoryURL string `json:"repositoryUrl,omitzero"`
	Reason        Reason `json:"reason"`
	// Detail is for people.
	Detail string `json:"detail,omitzero"`
}

// LeftOutIncident is an incident that tells of no deployment.
type LeftOutIncident struct {
	IncidentID string    `json:"incidentId"`
	OpenedAt   time.Time `json:"openedAt,omitzero"`
	Reason     Reason    `json:"reason"`
}
