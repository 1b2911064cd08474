package console_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
)

// A person sees what is live, what was tried last, and what is behind each
// deployment.
func TestDeployments(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		ann := w.as("ann")
		ann.Open("/").Follow("Deployments").Says("Deployments of acme", "No deployments yet.")
		w.deploy("acme", "run-1", payload.StatusSuccess, 30)
		w.deploy("acme", "run-2", payload.StatusInProgress, 20)
		w.deploy("acme", "run-2", payload.StatusSuccess, 20, func(d *payload.Deployment) {
			d.PipelineURL, d.TriggeredBy = "https://ci.example/2", "dana"
			d.Commits = []payload.RepositoryCommit{{RepositoryURL: "https://git.example/lib", CommitSHA: "abcdef1234"}}
		})
		w.deploy("acme", "run-3", payload.StatusFailure, 10)
		w.deploy("acme", "web-1", payload.StatusSuccess, 5, func(d *payload.Deployment) { d.Service = "web" })
		w.deploy("acme", "none-1", payload.StatusCancelled, 5, func(d *payload.Deployment) { d.Service, d.Environment = "", "staging" })
		w.deploy("globex", "secret-1", payload.StatusSuccess, 1)
		r, err := w.ledger.Get(t.Context(), "acme", "run-2")
		require.NoError(t, err)
		require.NoError(t, w.ledger.SetLinked(t.Context(), r.Link("acme"), 3))

		home := ann.Open("/").Follow("Deployments").Says("version of run-2", "version of run-3", "Failed", "version of web-1", "No service", "Cancelled")
		require.NotContains(t, home.Source, "secret-1")
		home.Submit("Filter", "text", "we").Says("version of web-1")
		home.Submit("Filter", "text", "nothing").Says("No service or environment matches the filter.").Follow("Clear the filter").Says("version of run-2")

		history := home.Follow("api in production").Says("api in production", "run-1", "run-2", "run-3", "dana", "5 min")
		require.Less(t, strings.Index(tableOf(history), "run-3"), strings.Index(tableOf(history), "run-2"), "the newest comes first")
		live := history.Follow("run-2").Says("It is live.", "3 merged pull requests after", "https://ci.example/2", "https://git.example/lib", "abcdef1234", `"deploymentId":"run-2"`)
		require.Less(t, strings.Index(live.Text(), "In progress"), strings.LastIndex(live.Text(), "Succeeded"), "reports are in order")
		live.Follow("All of this service").Follow("run-1").Says("It was live until another deployment followed.", "Not counted. The environment may not be linked")
		history.Follow("run-3").Says("It failed and did not go live.")
		home.Follow("No service in staging").Follow("none-1").Says("It was cancelled.")

		w.deploy("acme", "run-2", payload.StatusRolledBack, 8)
		ann.Open("/orgs/acme/deployment?id=run-2").Says("It was live, and was rolled back.")
		ann.Open("/orgs/acme/deployment?id=run-1").Says("It is live.")
	})
}

// The history has pages.
func TestHistory_Pages(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	for i := range 51 {
		w.deploy("acme", fmt.Sprintf("run-%03d", i), payload.StatusSuccess, 100-float64(i))
	}
	first := w.as("ann").Open("/orgs/acme/history?service=api&environment=production")
	require.Contains(t, tableOf(first), "run-050")
	require.NotContains(t, tableOf(first), "run-000")
	older := first.Follow("Older").Says("These are the oldest.")
	require.Contains(t, tableOf(older), "run-000")
	older.Follow("Latest").Says("run-050")
	w.as("ann").Open("/orgs/acme/history?service=api&environment=nowhere").Says("No deployments of this service")
	w.as("ann").Open("/orgs/acme/history?service=api&environment=production&cursor=weird").Refused(422)
	w.as("ann").Open("/orgs/acme/deployment?id=none").Refused(404, "There is no such deployment.")
}

// A large number of services has pages, too.
func TestDeployments_Pages(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	for i := range 60 {
		w.deploy("acme", fmt.Sprintf("run-%d", i), payload.StatusSuccess, 1, func(d *payload.Deployment) { d.Service = fmt.Sprintf("svc-%02d", i) })
	}
	for _, path := range []string{"/orgs/acme/deployments", "/orgs/acme/metrics"} {
		first := w.as("ann").Open(path).Says("svc-00", "60 in all")
		require.NotContains(t, tableOf(first), "svc-59")
		next := first.Follow("Next").Says("svc-59")
		require.NotContains(t, tableOf(next), "svc-00")
		next.Follow("First page").Says("svc-00")
	}
}

// The organizations of a person decide what the pages show.
func TestOrganizations(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	w.deploy("globex", "secret-1", payload.StatusSuccess, 1)
	for _, path := range []string{"/orgs/globex/deployments", "/orgs/globex/history?service=api&environment=production", "/orgs/globex/deployment?id=secret-1", "/orgs/globex/metrics", "/orgs/globex/metrics/report?service=api&environment=production", "/orgs/unknown/deployments"} {
		answer := w.as("ann").Open(path).Refused(404, "There is no such organization, or you have no access to it.")
		require.NotContains(t, answer.Source, "secret-1")
		w.as("ned").Open(path).Refused(404)
	}
	w.as("ann").Open("/orgs/acme/deployment?id=secret-1").Refused(404)
	w.as("ned").Open("/deployments").Refused(403, "You have access to no organization.")
	w.as("ned").Open("/metrics").Refused(403)
	w.as("ned").Open("/").Lacks("Deployments").Lacks("Metrics")
	w.as("olga").Open("/").Follow("Deployments").Says("acme", "globex").Follow("globex").Says("secret-1").Follow("Deployments").Says("acme")
	w.as("olga").Open("/").Follow("Metrics").Follow("globex").Says("api")
}

// Metrics have their evidence, and are absent where nothing can be measured.
func TestMetrics(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		ann := w.as("ann")
		ann.Open("/").Follow("Metrics").Says("There is nothing to measure yet.")
		ann.Open("/orgs/acme/metrics/report?service=api&environment=production").Says("Not measured", "Nothing went live in this time.")
		w.deploy("acme", "run-1", payload.StatusSuccess, 75)
		w.deploy("acme", "run-2", payload.StatusSuccess, 50)
		w.deploy("acme", "run-3", payload.StatusSuccess, 49, func(d *payload.Deployment) { d.RollbackOf = "run-2" })
		w.deploy("acme", "run-4", payload.StatusFailure, 48)
		_, err := w.ledger.RecordIncident(t.Context(), "acme", &payload.Incident{
			IncidentID: "inc-7", OpenedAt: time.Now().Add(-1000 * time.Hour).Truncate(time.Second), Service: "api", Environment: "production",
		})
		require.NoError(t, err)
		report := ann.Open("/").Follow("Metrics").Follow("api in production")
		report.Says("Change lead time", "Not measured", "Deployment frequency", "0.03 a day", "3 deployments", "Change fail rate", "33.3 %", "1 of 3 deployments",
			"Failed deployment recovery time", "1 h", "Deployment rework rate", "named by deployment run-3", "rollback of run-2",
			"Ended without having been live: 1", "inc-7: no deployment had gone live before", "the repository can't be read")
		require.NotContains(t, report.Text(), " 0 s")
		report.Follow("run-2").Says("version of run-2")
		report.Follow("52 weeks").Says("0.01 a day")
		report.Submit("Show", "zone", "Europe/Berlin").Says("Europe/Berlin").Follow("4 weeks").Says("Europe/Berlin")
		ann.Open("/orgs/acme/metrics/report?service=api&environment=production&zone=Mars").Refused(422, "There is no such time zone.")
		ann.Open("/orgs/acme/metrics/report?service=api&environment=production&range=99w&from=-4").Says("13 weeks")
		report.Follow("Deployments")
	})
}

// A report lists its deployments page by page, and stays small.
func TestMetrics_Pages(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	for i := range 90 {
		w.deploy("acme", fmt.Sprintf("%s-%03d", strings.Repeat("r", 200), i), payload.StatusSuccess, 200-float64(i))
	}
	page := w.as("ann").Open("/orgs/acme/metrics/report?service=api&environment=production&range=52w")
	page.Says("90 deployments", "These are the latest.")
	page.Follow("Older").Follow("Older").Says("Newer").Follow("Newer").Follow("Newer").Lacks("Newer")
}
