package dora_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/dora"
	"github.com/deployhook/deployhook/receiver/deployments/dora/internal/doratest"
)

// The worked facts are small histories whose figures were computed by hand,
// most of them from bug reports of other implementations.

// week is from Monday 2026-03-02 on.
func week(t *testing.T) dora.Window { return window(t, "UTC", "2026-03-02", "2026-03-09") }

func TestWorked_LeadTimeWithoutMerges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	commits := doratest.Commits{"": {
		{ID: sha("1"), Authored: clock(t, "10:00")},
		{ID: sha("2"), Parents: []string{sha("1")}, Authored: clock(t, "15:00"), Committed: clock(t, "17:00")},
		{ID: sha("3"), Parents: []string{sha("1")}, Authored: clock(t, "16:00"), Committed: clock(t, "17:00")},
		{ID: sha("4"), Parents: []string{sha("2"), sha("3")}, Authored: clock(t, "18:00"), Committed: clock(t, "18:00")},
	}}
	w.record(live("a", sha("1"), clock(t, "12:00")))
	w.record(live("b", sha("4"), clock(t, "19:00")))
	r := w.report(week(t), dora.WithCommits(commits))
	require.Equal(t, 2, r.ChangeLeadTime.N)
	require.InDelta(t, 3.5*3600, *r.ChangeLeadTime.MedianSeconds, 0)
	require.Equal(t, map[dora.Reason]int{dora.ReasonFirst: 1}, r.ChangeLeadTime.LeftOut)
	require.Equal(t, []string{"b"}, r.ChangeLeadTime.Deployments)
	require.ElementsMatch(t, []dora.Change{{Commit: doratest.ID(sha("2")), Seconds: 4 * 3600}, {Commit: doratest.ID(sha("3")), Seconds: 3 * 3600}}, r.Deployments[1].Changes)

	r = w.report(week(t), dora.WithCommits(commits), dora.WithCommitterTime())
	require.InDelta(t, 2*3600, *r.ChangeLeadTime.MedianSeconds, 0, "from the committer's time")
}

func TestWorked_RecoveryFromLiveToResolved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.record(live("a", sha("1"), clock(t, "10:00")))
	w.incident(opened("i", clock(t, "10:20"), clock(t, "11:00")))
	r := w.report(week(t))
	require.Equal(t, 1, r.FailedDeploymentRecoveryTime.N)
	require.InDelta(t, 3600, *r.FailedDeploymentRecoveryTime.MedianSeconds, 0)
}

func TestWorked_FailRateCountsDeploymentsNotIncidents(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		deployments int
		incidents   []int // the deployment before each
		failed      int
		rate        float64
	}{
		{23, []int{3, 3, 8, 8, 12, 20}, 4, 4.0 / 23},
		{10, []int{0, 0}, 1, 0.1},
		{20, []int{7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7}, 1, 0.05},
	} {
		w := newWorld(t)
		for i := range c.deployments {
			w.record(live(fmt.Sprintf("d%02d", i), sha("1"), clock(t, "08:00").Add(time.Duration(i)*time.Hour)))
		}
		for i, at := range c.incidents {
			opening := clock(t, "08:10").Add(time.Duration(at)*time.Hour + time.Duration(i)*time.Minute)
			w.incident(opened(fmt.Sprint(i), opening, time.Time{}))
		}
		r := w.report(week(t))
		require.Equal(t, c.deployments, r.ChangeFailRate.N)
		require.Len(t, r.ChangeFailRate.Deployments, c.failed)
		require.InDelta(t, c.rate, *r.ChangeFailRate.Rate, 1e-12)
		require.Nil(t, r.FailedDeploymentRecoveryTime.MedianSeconds, "unresolved is not zero")
		require.Len(t, r.FailedDeploymentRecoveryTime.Unresolved, c.failed)
	}
}

func TestWorked_MedianIsTheMeanOfTheMiddleTwo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		seconds []int
		median  float64
	}{
		{[]int{100, 300, 800}, 300},
		{[]int{100, 300, 800, 90}, 200},
		{[]int{10, 20, 30, 40}, 25},
	} {
		w := newWorld(t)
		for i, s := range c.seconds {
			at := clock(t, "08:00", i)
			w.record(live(fmt.Sprint("d", i), sha(fmt.Sprint(i)), at))
			w.incident(opened(fmt.Sprint(i), at, at.Add(time.Duration(s)*time.Second)))
		}
		r := w.report(week(t))
		require.Equal(t, len(c.seconds), r.FailedDeploymentRecoveryTime.N)
		require.InDelta(t, c.median, *r.FailedDeploymentRecoveryTime.MedianSeconds, 0)
	}
}

func TestWorked_IncidentsBlameTheDeploymentBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := clock(t, "12:00", 13)
	const day = 24 * time.Hour
	for i, before := range []time.Duration{7 * day, 6 * day, 4 * day, 2 * day, 6 * time.Hour} {
		w.record(live(fmt.Sprint("d", i+1), sha("1"), now.Add(-before)))
	}
	for i, before := range []time.Duration{10 * day, 5 * day, 3 * day, 20 * time.Hour, time.Hour} {
		w.incident(opened(fmt.Sprint("i", i+1), now.Add(-before), time.Time{}))
	}
	r := w.report(window(t, "UTC", "2026-03-02", "2026-03-20"))
	require.Equal(t, []string{"d2", "d3", "d4", "d5"}, failedIDs(r))
	require.InDelta(t, 0.8, *r.ChangeFailRate.Rate, 0)
	require.Len(t, r.LeftOutIncidents, 1)
	require.Equal(t, "i1", r.LeftOutIncidents[0].IncidentID)
	require.Equal(t, dora.ReasonNoDeployment, r.LeftOutIncidents[0].Reason)
	require.Equal(t, []dora.Evidence{{Kind: dora.ByIncident, IncidentID: "i2"}}, r.Deployments[1].Failed)

	// A tie counts as before.
	w.incident(opened("tie", now.Add(-7*day), time.Time{}))
	require.Equal(t, []string{"d1", "d2", "d3", "d4", "d5"}, failedIDs(w.report(window(t, "UTC", "2026-03-02", "2026-03-20"))))
}

func TestWorked_RedeploymentIsARollback(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, version := range []string{"1", "2", "3", "1"} {
		w.record(live(fmt.Sprint("d", i+1), sha(version), clock(t, "10:00").Add(time.Duration(i)*time.Hour)))
	}
	r := w.report(week(t))
	require.Equal(t, []string{"d2"}, failedIDs(r))
	require.InDelta(t, 0.25, *r.ChangeFailRate.Rate, 0)
	require.InDelta(t, 0.25, *r.DeploymentReworkRate.Rate, 0)
	require.Equal(t, []string{"d4"}, r.DeploymentReworkRate.Deployments)
	require.InDelta(t, 2*3600, *r.FailedDeploymentRecoveryTime.MedianSeconds, 0, "from the second to the fourth")
	require.Equal(t, dora.RollBack, r.Deployments[3].Remediation)
	require.Equal(t, "d2", r.Deployments[3].Remediates)

	r = w.report(week(t), dora.WithoutRollbacks())
	require.InDelta(t, 1.0/3, *r.ChangeFailRate.Rate, 1e-12)
	require.Equal(t, map[dora.Reason]int{dora.ReasonRollback: 1}, r.ChangeFailRate.LeftOut)

	w = newWorld(t)
	w.record(live("a", sha("1"), clock(t, "10:00")))
	w.record(live("b", sha("1"), clock(t, "11:00")))
	r = w.report(week(t))
	require.Empty(t, failedIDs(r), "the same version again")
	require.Empty(t, r.DeploymentReworkRate.Deployments)
}

func TestWorked_PreviousDeployment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, c := range []struct {
		environment string
		status      payload.Status
	}{
		{"production", payload.StatusSuccess},
		{"production", payload.StatusSuccess},
		{"staging", payload.StatusSuccess},
		{"production", payload.StatusFailure},
		{"production", payload.StatusSuccess},
	} {
		d := live(fmt.Sprint(i+1), sha(fmt.Sprint(i+1)), clock(t, "10:00").Add(time.Duration(i)*time.Hour))
		d.Environment, d.Status = c.environment, c.status
		w.record(d)
	}
	for deployment, previous := range map[string]string{"2": sha("1"), "5": sha("2"), "3": ""} {
		r, err := w.ledger.Get(t.Context(), org, deployment)
		require.NoError(t, err)
		require.Equal(t, previous, r.Deployment.PreviousCommitSHA, deployment)
	}
	commits := doratest.Commits{"": nil}
	for i := range 5 {
		c := doratest.Commit{ID: sha(fmt.Sprint(i + 1)), Authored: clock(t, "09:00").Add(time.Duration(i) * time.Minute)}
		if i > 0 {
			c.Parents = []string{sha(fmt.Sprint(i))}
		}
		commits[""] = append(commits[""], c)
	}
	r := w.report(week(t), dora.WithCommits(commits))
	require.Len(t, r.Deployments, 3)
	require.Len(t, r.Deployments[1].Changes, 1, "what came after 1")
	require.Len(t, r.Deployments[2].Changes, 3, "what came after 2: the failed one is skipped, and staging is separate")
	require.Equal(t, []string{"4"}, runIDs(r.NotLive))
}

// A run that never took traffic is neither a deployment nor a failure.
func TestCompute_FailedRunsCountNowhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, status := range []payload.Status{payload.StatusFailure, payload.StatusCancelled, payload.StatusRolledBack} {
		d := live(fmt.Sprint(i), sha("1"), clock(t, "10:00"))
		d.Status = status
		w.record(d)
	}
	r := w.report(week(t))
	require.Zero(t, r.DeploymentFrequency.N)
	require.InDelta(t, 0, *r.DeploymentFrequency.PerDay, 0, "the scope has records, so this zero was measured")
	require.Nil(t, r.ChangeFailRate.Rate)
	require.Nil(t, r.DeploymentReworkRate.Rate)
	require.Nil(t, r.ChangeLeadTime.MedianSeconds)
	require.Nil(t, r.FailedDeploymentRecoveryTime.MedianSeconds)
	require.Equal(t, []string{"0", "1", "2"}, runIDs(r.NotLive))

	r, err := dora.Compute(t.Context(), dora.Input{
		Organization: org, Scope: api, Runs: w.ledger.Runs(t.Context(), org, deployments.Scope{}, time.Time{}, time.Time{}),
	}, week(t))
	require.NoError(t, err)
	require.Nil(t, r.DeploymentFrequency.PerDay, "nothing is known of the scope")
}
