package console_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/webui/webuitest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/signer"
)

// walk is what walk.mjs has to know.
type walk struct {
	Dead    int64 `json:"dead"`
	Handled int64 `json:"handled"`
	Retried int64 `json:"retried"`
}

// A real browser walks through every screen and action. No page breaks the
// Content-Security-Policy or has a problem that axe-core knows, and none is
// wider than the screen.
func TestBrowser(t *testing.T) {
	webuitest.Walk(t, "testdata/walk.mjs", 35, func(t *testing.T, s *webuitest.Settings) {
		w := onSQLite(t)
		if s.Postgres() {
			w = onPostgres(t)
		}
		s.URL, s.World = w.url, w.furnish(t)
	})
}

// furnish fills the world with what a team would see.
func (w *world) furnish(t *testing.T) (c walk) {
	t.Helper()
	for _, id := range []string{"dep_01HQ8XK2M3", "dep_01HQ8XK2M4", "dep_01HQ8XK2M5"} {
		w.fail(id, "the chat room is gone\nPOST https://chat.example/hooks/42: 410 Gone <script>alert('error')</script>")
	}
	w.fail("dep_schema", "column \"version\" of relation \"apps\" does not exist (SQLSTATE 42703)")
	w.fail("dep_down", "retry: dial tcp 10.0.0.7:5432: connect: connection refused")
	w.start()
	change := func(e *payload.Event) {
		e.Type = payload.DeployFailed
		e.Error = "health check timed out <script>alert('event')</script>"
		e.Commit = &payload.Commit{SHA: "f4c8e2a", Message: "fix: <script>alert('message')</script>", Author: "dana@example.com", Branch: "main"}
	}
	for _, id := range []string{"dep_01HQ8XK2M3", "dep_01HQ8XK2M4", "dep_01HQ8XK2M5", "dep_schema"} {
		c.Dead = w.receive(id, change)
		w.reaches(c.Dead, inbox.Dead, 1)
	}
	list, err := w.inbox.List(t.Context(), inbox.Filter{DeploymentID: "dep_01HQ8XK2M3"}, inbox.Page{})
	require.NoError(t, err)
	c.Dead = list.Items[0].ID
	for _, id := range []string{"dep_1", "dep_2", "dep_3"} {
		c.Handled = w.receive(id)
		w.reaches(c.Handled, inbox.Handled, 1)
	}
	c.Retried = w.receive("dep_down")
	w.reaches(c.Retried, inbox.Pending, 1)
	w.observe(t)
	w.history(t)
	return c
}

// observe adds requests of the last hours to those of the inbox.
func (w *world) observe(t *testing.T) {
	t.Helper()
	other := w.recent.Observer("gitlab")
	_ = w.recent.Observer("github")
	for outcome, n := range map[receiver.Outcome]int{receiver.Handled: 120, receiver.Duplicate: 14, receiver.Failed: 6, receiver.Unauthenticated: 9} {
		result := receiver.Result{Outcome: outcome, Status: 500}
		if outcome == receiver.Unauthenticated {
			result.Err = errors.Join(errors.New("<script>"), signer.ErrNoMatch)
		}
		for range n {
			other(context.WithoutCancel(t.Context()), result)
		}
	}
	require.Equal(t, http.StatusBadRequest, w.post([]byte(`{"event":"deploy.live"}`)))
}

// history records three months of deployments.
func (w *world) history(t *testing.T) {
	t.Helper()
	for i, id := range []string{"run-01", "run-02", "run-03", "run-04", "run-05", "run-06", "run-07", "run-08"} {
		w.deploy("acme", id, payload.StatusSuccess, float64(24*(80-9*i)), func(d *payload.Deployment) {
			d.TriggeredBy = "dana"
			if id == "run-05" || id == "run-07" {
				d.RollbackOf = []string{"run-04", "run-06"}[i/6]
			}
		})
	}
	w.deploy("acme", "run-live", payload.StatusSuccess, 30, func(d *payload.Deployment) {
		d.RepositoryURL, d.PipelineURL, d.PipelineName, d.TriggeredBy = "https://git.example/acme/api", "https://ci.example/acme/api/runs/4711", "Deploy", "dana"
		d.Branch, d.Version, d.ArtifactDigest = "main", "v2.14.0", "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
		d.Commits = []payload.RepositoryCommit{{RepositoryURL: "https://git.example/acme/lib", CommitSHA: "0d1a26e67d8f5eaf1f6ba5c57fc3c7d91ac0fd1c"}}
	})
	w.deploy("acme", "run-failed", payload.StatusFailure, 3)
	w.deploy("acme", "web-17", payload.StatusInProgress, 0.1, func(d *payload.Deployment) {
		d.Service, d.Environment, d.Version = "web <script>alert('service')</script>", "staging", ""
	})
	r, err := w.ledger.Get(t.Context(), "acme", "run-live")
	require.NoError(t, err)
	require.NoError(t, w.ledger.SetLinked(t.Context(), r.Link("acme"), 3))
	_, err = w.ledger.RecordIncident(t.Context(), "acme", &payload.Incident{
		IncidentID: "inc-7", OpenedAt: time.Now().Add(-12 * 24 * time.Hour), ResolvedAt: time.Now().Add(-11*24*time.Hour - 20*time.Hour),
		Service: "api", Environment: "production",
	})
	require.NoError(t, err)
}
