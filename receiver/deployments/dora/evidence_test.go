package dora_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/dora"
)

// Three versions are live, then another deployment or an incident tells that
// one of them failed.
func TestCompute_Evidence(t *testing.T) {
	t.Parallel()
	at := func(hour int) time.Time { return clock(t, "10:00").Add(time.Duration(hour) * time.Hour) }
	for name, c := range evidenceCases(at) {
		w := newWorld(t)
		for i, version := range []string{"1", "2", "3"} {
			w.record(live("d"+version, sha(version), at(i)))
		}
		c.tell(w)
		c.check(t, name, w.report(week(t)))
	}
}

type evidenceCase struct {
	tell     func(w *world)
	failed   string
	evidence dora.Evidence
	kind     dora.Remediation
	recovery float64
}

func (c evidenceCase) check(t *testing.T, name string, r *dora.Report) {
	t.Helper()
	require.Equal(t, []string{c.failed}, failedIDs(r), name)
	for _, d := range r.Deployments {
		if d.DeploymentID == c.failed {
			require.Equal(t, c.evidence, d.Failed[0], name)
			require.NotNil(t, d.RecoveredBy, name)
		}
		if d.DeploymentID == "d4" {
			require.Equal(t, c.kind, d.Remediation, name)
			require.Equal(t, c.failed, d.Remediates, name)
		}
	}
	require.InDelta(t, c.recovery, *r.FailedDeploymentRecoveryTime.MedianSeconds, 0, name)
	if c.kind == "" {
		require.Empty(t, r.DeploymentReworkRate.Deployments, name)
	} else {
		require.Equal(t, []string{"d4"}, r.DeploymentReworkRate.Deployments, name)
	}
}

func evidenceCases(at func(hour int) time.Time) map[string]evidenceCase {
	next := func(change func(*payload.Deployment)) func(w *world) {
		return func(w *world) {
			d := live("d4", sha("4"), at(3))
			change(d)
			w.record(d)
		}
	}
	return map[string]evidenceCase{
		"a link": {
			next(func(d *payload.Deployment) { d.RollbackOf, d.Branch = "d2", "hotfix/x" }), "d2",
			dora.Evidence{Kind: dora.ByLink, DeploymentID: "d4"},
			dora.RollBack, 2 * 3600,
		},
		"a link is stronger than what was deployed": {
			next(func(d *payload.Deployment) { d.RollbackOf, d.CommitSHA = "d3", sha("1") }), "d3",
			dora.Evidence{Kind: dora.ByLink, DeploymentID: "d4"},
			dora.RollBack, 3600,
		},
		"a redeployment is stronger than a marker": {
			next(func(d *payload.Deployment) { d.CommitSHA, d.Branch = sha("1"), "revert-7-x" }), "d2",
			dora.Evidence{Kind: dora.ByRedeployment, DeploymentID: "d4"},
			dora.RollBack, 2 * 3600,
		},
		"an abbreviated redeployment": {
			next(func(d *payload.Deployment) { d.CommitSHA = sha("1")[:9] }), "d2",
			dora.Evidence{Kind: dora.ByRedeployment, DeploymentID: "d4"},
			dora.RollBack, 2 * 3600,
		},
		"a marker": {
			next(func(d *payload.Deployment) { d.Branch = "hotfix/x" }), "d3",
			dora.Evidence{Kind: dora.ByMarker, DeploymentID: "d4"},
			dora.RollForward, 3600,
		},
		"a rollback in place": {
			func(w *world) {
				d := live("d3", sha("3"), at(2))
				d.Status, d.CompletedAt = payload.StatusRolledBack, at(4)
				w.record(d)
			}, "d3", dora.Evidence{Kind: dora.ByRollBack, DeploymentID: "d3"}, "", 2 * 3600,
		},
		"an incident": {
			func(w *world) { w.incident(opened("7", at(2).Add(time.Minute), at(5))) }, "d3",
			dora.Evidence{Kind: dora.ByIncident, IncidentID: "7"},
			"", 3 * 3600,
		},
		"an incident that links to its deployment": {
			func(w *world) {
				i := opened("7", at(2).Add(time.Minute), at(5))
				i.DeploymentID, i.Service, i.Environment = "d1", "", ""
				w.incident(i)
			}, "d1", dora.Evidence{Kind: dora.ByLink, IncidentID: "7"}, "", 5 * 3600,
		},
		"a deployment that ends an incident": {
			func(w *world) {
				i := opened("7", at(1).Add(time.Minute), at(5))
				i.URL = "https://acme.example/7"
				w.incident(i)
				d := live("d4", sha("4"), at(3))
				d.IncidentURL = i.URL
				w.record(d)
			}, "d2", dora.Evidence{Kind: dora.ByLink, DeploymentID: "d4"}, dora.ForIncident, 2 * 3600,
		},
	}
}

// Evidence that points to no known deployment marks none as failed.
func TestCompute_NoEvidence(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.record(live("d1", sha("1"), clock(t, "10:00")))
	d := live("d2", sha("2"), clock(t, "11:00"))
	d.RollbackOf, d.Branch = "unknown", "hotfixes"
	w.record(d)
	d = live("d3", sha("3"), clock(t, "12:00"))
	d.RollbackOf = "d4" // which comes later
	w.record(d)
	d = live("d4", sha("4"), clock(t, "13:00"))
	d.IncidentURL = "https://acme.example/unknown"
	w.record(d)
	i := opened("linked", clock(t, "14:00"), time.Time{})
	i.DeploymentID = "unknown"
	w.incident(i)
	i = opened("elsewhere", clock(t, "14:00"), time.Time{})
	i.Environment = "staging"
	w.incident(i)
	r := w.report(week(t))
	require.Empty(t, failedIDs(r))
	require.Equal(t, []string{"d4"}, r.DeploymentReworkRate.Deployments, "a deployment for an incident, known or not")
	require.Len(t, r.LeftOutIncidents, 1)
	require.Equal(t, dora.ReasonNotLive, r.LeftOutIncidents[0].Reason)

	i = opened("without an environment", clock(t, "14:00"), time.Time{})
	i.Environment = ""
	w.incident(i)
	require.Equal(t, []string{"d4"}, failedIDs(w.report(week(t))), "it is in production")

	marked := dora.WithMarker(func(r deployments.Run, _ string) bool { return r.Branch == "hotfixes" })
	require.Equal(t, []string{"d1", "d4"}, failedIDs(w.report(week(t), marked)))
}
