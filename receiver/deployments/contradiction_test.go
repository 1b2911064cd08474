package deployments_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
)

// Three jobs of a matrix report under one ID. The answers are those of updates.
// Each contradiction is logged.
func TestContradiction_IsLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	var seen []deployments.Contradiction
	h := newDeployments(t, newLedger(t), deployments.WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
		deployments.WithContradictionHook(func(_ context.Context, c deployments.Contradiction) { seen = append(seen, c) }))
	leg := func(service string, status payload.Status) string {
		d := testDeployment("run-1", status)
		d.Service = service
		return body(t, d)
	}
	require.Equal(t, 201, deploy(h, acmeKey, leg("api", payload.StatusSuccess)).Code)
	require.Equal(t, `{"action":"updated","deploymentId":1,"linkedPRs":0}`, deploy(h, acmeKey, leg("web", payload.StatusSuccess)).Body.String())
	require.Equal(t, `{"action":"unchanged","deploymentId":1,"linkedPRs":0,"stale":true}`, deploy(h, acmeKey, leg("worker", payload.StatusInProgress)).Body.String())

	require.EqualValues(t, 2, h.Contradictions())
	require.Len(t, seen, 2)
	require.Equal(t, "api", seen[0].Recorded.Service)
	require.Equal(t, "web", seen[0].Received.Service)
	require.Equal(t, "worker", seen[1].Received.Service)
	require.Equal(t, []string{"service"}, seen[1].Members)
	require.Equal(t, 2, strings.Count(log.String(), "level=WARN msg=\"two deployments have one ID"), log.String())
	require.Contains(t, log.String(), "deployment_id=run-1 differ=service")
}

func TestContradiction_Members(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(d *payload.Deployment)
		want   []string
	}{
		"the same again":            {func(*payload.Deployment) {}, nil},
		"absent service":            {func(d *payload.Deployment) { d.Service = "" }, nil},
		"abbreviated commit":        {func(d *payload.Deployment) { d.CommitSHA = strings.ToUpper(d.CommitSHA[:7]) }, nil},
		"another branch and actor":  {func(d *payload.Deployment) { d.Branch, d.TriggeredBy = "other", "other" }, nil},
		"another environment":       {func(d *payload.Deployment) { d.Environment = "other" }, []string{"environment"}},
		"another commit":            {func(d *payload.Deployment) { d.CommitSHA = "0123456789" }, []string{"commitSha"}},
		"another service and place": {func(d *payload.Deployment) { d.Service, d.Environment = "x", "y" }, []string{"service", "environment"}},
	} {
		var members []string
		h := newDeployments(t, newLedger(t), deployments.WithContradictionHook(func(_ context.Context, c deployments.Contradiction) {
			members = c.Members
		}))
		d := testDeployment("run-1", payload.StatusSuccess)
		d.Service, d.CommitSHA = "api", "a1b2c3d4e5f60ab2c3d4e5f60ab2c3d4e5f60ab2"
		deploy(h, acmeKey, body(t, d))
		test.change(d)
		deploy(h, acmeKey, body(t, d))
		require.Equal(t, test.want, members, name)
		require.Equal(t, test.want != nil, h.Contradictions() == 1, name)
	}
}

// The hook keeps its time limit even if the sender has disconnected.
func TestContradiction_HookDoesNotEndWithTheRequest(t *testing.T) {
	t.Parallel()
	hungUp, cancel := context.WithCancel(t.Context())
	ended := errors.New("the hook was not called")
	ledger := &hookLedger{Ledger: newLedger(t), record: func(context.Context) error { cancel(); return nil }}
	h := newDeployments(t, ledger, deployments.WithContradictionHook(func(ctx context.Context, _ deployments.Contradiction) { ended = ctx.Err() }))
	d := testDeployment("run-1", payload.StatusSuccess)
	require.Equal(t, 201, deploy(h, acmeKey, body(t, d)).Code)
	d.Environment = "other"
	r := httptest.NewRequestWithContext(hungUp, http.MethodPost, "/", strings.NewReader(body(t, d)))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+acmeKey)
	require.Equal(t, 200, serve(h, r).Code)
	require.NoError(t, ended)
}

// A hook that panics affects neither the answer nor the record.
func TestContradiction_HookPanics(t *testing.T) {
	t.Parallel()
	h, err := deployments.New(newAPIKeys(t), newLedger(t),
		deployments.WithContradictionHook(func(context.Context, deployments.Contradiction) { panic("hook") }))
	require.NoError(t, err)
	d := testDeployment("run-1", payload.StatusSuccess)
	require.Equal(t, 201, deploy(h, acmeKey, body(t, d)).Code)
	d.Environment = "other"
	require.Equal(t, `{"action":"updated","deploymentId":1,"linkedPRs":0}`, deploy(h, acmeKey, body(t, d)).Body.String())
}
