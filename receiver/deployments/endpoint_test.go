package deployments_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/signer"
)

const (
	acmeKey  = "dh_acme_0123456789abcdef"
	otherKey = "dh_other_0123456789abcdef"
)

func newAPIKeys(t testing.TB) *signer.APIKeys {
	t.Helper()
	var keys []signer.APIKey
	for principal, key := range map[string]string{"acme": acmeKey, "other": otherKey} {
		hash, err := signer.HashAPIKey(key)
		require.NoError(t, err)
		keys = append(keys, signer.APIKey{Principal: principal, Hash: hash, Name: principal + "-key"})
	}
	keys2, err := signer.NewAPIKeys(keys)
	require.NoError(t, err)
	return keys2
}

func newDeployments(t testing.TB, ledger deployments.Ledger, opts ...deployments.Option) *deployments.Endpoint {
	t.Helper()
	h, err := deployments.New(newAPIKeys(t), ledger, append([]deployments.Option{deployments.WithLogger(slog.New(slog.DiscardHandler))}, opts...)...)
	require.NoError(t, err)
	return h
}

// deploy posts a body with a key, like a pipeline.
func deploy(h http.Handler, key, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/api/webhooks/deployments", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+key)
	return serve(h, r)
}

func body(t testing.TB, d *payload.Deployment) string {
	t.Helper()
	text, err := d.Encode()
	require.NoError(t, err)
	return string(text)
}

// The four example payloads and the curl command of Periscope's documentation,
// byte for byte.
var referenceBodies = []string{
	`{
  "deploymentId": "azure-devops-run-12345",
  "commitSha": "a1b2c3d4e5f60ab2c3d4e5f60ab2c3d4e5f60ab2",
  "environment": "production",
  "status": "success",
  "startedAt": "2024-01-15T10:30:00Z",
  "completedAt": "2024-01-15T10:35:00Z"
}`,
	`{
  "deploymentId": "azure-devops-run-12345",
  "commitSha": "a1b2c3d4e5f60ab2c3d4e5f60ab2c3d4e5f60ab2",
  "environment": "production",
  "status": "success",
  "startedAt": "2024-01-15T10:30:00Z",
  "completedAt": "2024-01-15T10:35:00Z",
  "service": "api-gateway",
  "branch": "main",
  "previousCommitSha": "f9e8d7c6b5a4f3e2d1c0b9a8f7e6d5c4b3a2f1e0",
  "triggeredBy": "[email protected]",
  "pipelineName": "Production Deploy",
  "pipelineUrl": "https://dev.azure.com/org/project/_build/results?buildId=12345",
  "metadata": {
    "version": "2.1.0",
    "releaseNotes": "Bug fixes and performance improvements",
    "featureFlags": "new-checkout-enabled"
  }
}`,
	`{
  "deploymentId": "github-actions-run-67890",
  "commitSha": "b2c3d4e5f60ab2c3d4e5f60ab2c3d4e5f60ab2c3",
  "environment": "staging",
  "status": "in_progress",
  "startedAt": "2024-01-15T11:00:00Z",
  "service": "web-frontend",
  "branch": "release/v2.2",
  "triggeredBy": "automation",
  "pipelineName": "Staging Deploy"
}`,
	`{
  "deploymentId": "jenkins-build-99999",
  "commitSha": "c3d4e5f60ab2c3d4e5f60ab2c3d4e5f60ab2c3d4",
  "environment": "production",
  "status": "failure",
  "startedAt": "2024-01-15T12:00:00Z",
  "completedAt": "2024-01-15T12:05:00Z",
  "service": "payment-service",
  "triggeredBy": "bob",
  "pipelineUrl": "https://jenkins.company.com/job/deploy/99999",
  "metadata": {
    "errorCode": "HEALTH_CHECK_FAILED",
    "rollbackInitiated": true
  }
}`,
	`{
    "deploymentId": "deploy-12345",
    "commitSha": "a1b2c3d4e5f60ab2c3d4e5f60ab2c3d4e5f60ab2",
    "environment": "production",
    "status": "success",
    "startedAt": "2024-01-15T10:30:00Z",
    "completedAt": "2024-01-15T10:35:00Z",
    "service": "my-service"
  }`,
}

func TestReferenceExamples(t *testing.T) {
	t.Parallel()
	ledger := newLedger(t)
	three := deployments.LinkerFunc(func(context.Context, deployments.Link) (int, error) { return 3, nil })
	mux := http.NewServeMux()
	mux.Handle("POST /api/webhooks/deployments", newDeployments(t, ledger, deployments.WithLinker(three)))
	server := httptest.NewServer(mux)
	defer server.Close()

	for i, want := range []struct {
		status int
		answer string
	}{
		{201, `{"action":"created","deploymentId":1,"linkedPRs":3}`},
		{200, `{"action":"updated","deploymentId":1,"linkedPRs":3}`},
		{201, `{"action":"created","deploymentId":2,"linkedPRs":0}`},
		{201, `{"action":"created","deploymentId":3,"linkedPRs":0}`},
		{201, `{"action":"created","deploymentId":4,"linkedPRs":3}`},
	} {
		r, err := http.NewRequest(http.MethodPost, server.URL+"/api/webhooks/deployments", strings.NewReader(referenceBodies[i]))
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+acmeKey)
		r.Header.Set("Content-Type", "application/json")
		resp, err := server.Client().Do(r)
		require.NoError(t, err)
		require.Equal(t, want.answer, readAll(t, resp.Body), "example %d", i+1)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, want.status, resp.StatusCode)
		require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
	}
	full, err := ledger.Get(t.Context(), "acme", "azure-devops-run-12345")
	require.NoError(t, err)
	want, err := payload.DecodeDeployment([]byte(referenceBodies[1]))
	require.NoError(t, err)
	require.Equal(t, want, full.Deployment)
}

func TestDeploymentValidationTexts(t *testing.T) {
	t.Parallel()
	ledger := newLedger(t)
	h := newDeployments(t, ledger)
	const all = `{"deploymentId":"a","commitSha":"a1b2c","environment":"production","status":"success","startedAt":"2024-01-15T10:30:00Z","completedAt":"2024-01-15T10:35:00Z"}`
	edit := func(name string, value any) string {
		var members map[string]any
		require.NoError(t, json.Unmarshal([]byte(all), &members))
		if value == nil {
			delete(members, name)
		} else {
			members[name] = value
		}
		text, err := json.Marshal(members)
		require.NoError(t, err)
		return string(text)
	}
	const terminal = "completedAt is required when status is a terminal state (success, failure, cancelled, rolled_back)"
	const commit = "commitSha must be a valid hex string (5-40 characters)"
	for _, c := range []struct{ body, text string }{
		{edit("deploymentId", nil), "deploymentId is required"},
		{edit("commitSha", nil), "commitSha is required"},
		{edit("environment", nil), "environment is required"},
		{edit("status", nil), "status is required"},
		{edit("startedAt", nil), "startedAt is required"},
		{edit("deploymentId", ""), "deploymentId is required"},
		{edit("deploymentId", 7), "deploymentId must be a string"},
		{edit("commitSha", "a1b2"), commit},
		{edit("commitSha", strings.Repeat("a", 41)), commit},
		{edit("commitSha", "a1b2g"), commit},
		{edit("status", "done"), "status must be one of: pending, in_progress, success, failure, cancelled, rolled_back"},
		{edit("status", "Success"), "status must be one of: pending, in_progress, success, failure, cancelled, rolled_back"},
		{edit("startedAt", "yesterday"), "startedAt must be a valid ISO 8601 date"},
		{edit("completedAt", "2024-13-01"), "completedAt must be a valid ISO 8601 date"},
		{edit("completedAt", nil), terminal},
		{edit("organizationSlug", "other"), "organizationSlug must be the organization that the key belongs to"},
		{edit("organizationSlug", "no-such-organization"), "organizationSlug must be the organization that the key belongs to"},
		{edit("organizationSlug", "ACME"), "organizationSlug must be the organization that the key belongs to"},
	} {
		w := deploy(h, acmeKey, c.body)
		require.Equal(t, 400, w.Code, c.body)
		require.Equal(t, `{"error":"Invalid payload: `+c.text+`"}`, w.Body.String(), c.body)
	}
	for _, status := range []string{"failure", "cancelled", "rolled_back"} {
		require.Contains(t, deploy(h, acmeKey, strings.Replace(edit("completedAt", nil), "success", status, 1)).Body.String(), terminal)
	}
	require.Equal(t, `{"error":"Invalid payload: deploymentId is required; commitSha is required; environment is required; status is required; startedAt is required"}`,
		deploy(h, acmeKey, `{}`).Body.String())
	require.Equal(t, 400, deploy(h, acmeKey, "").Code)
	none, err := ledger.List(t.Context(), "acme", deployments.Filter{}, deployments.Page{})
	require.NoError(t, err)
	require.Empty(t, none.Items, "refused deliveries are not recorded")
	require.Equal(t, 201, deploy(h, acmeKey, edit("organizationSlug", "acme")).Code)
}

// Every invalid key gets the same bytes, and the ledger is not called.
func TestEndpoint_InvalidKey(t *testing.T) {
	t.Parallel()
	ledger := newLedger(t)
	h := newDeployments(t, ledger)
	answers := map[string]bool{}
	for name, set := range map[string]func(http.Header){
		"missing":   func(h http.Header) { h.Del("Authorization") },
		"empty":     func(h http.Header) { h.Set("Authorization", "") },
		"unknown":   func(h http.Header) { h.Set("Authorization", "Bearer dh_nobody_0123456789abcdef") },
		"cut":       func(h http.Header) { h.Set("Authorization", "Bearer "+acmeKey[:len(acmeKey)-1]) },
		"no scheme": func(h http.Header) { h.Set("Authorization", acmeKey) },
		"basic":     func(h http.Header) { h.Set("Authorization", "Basic "+acmeKey) },
		"twice":     func(h http.Header) { h.Add("Authorization", "Bearer "+acmeKey) },
	} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(referenceBodies[0]))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+acmeKey)
		set(r.Header)
		w := serve(h, r)
		require.Equal(t, 401, w.Code, name)
		require.Equal(t, `{"error":"Invalid or missing API key"}`, w.Body.String(), name)
		answers[fmt.Sprint(w.Result().Header)] = true
	}
	require.Len(t, answers, 1, "headers as well")
	none, err := ledger.List(t.Context(), "acme", deployments.Filter{}, deployments.Page{})
	require.NoError(t, err)
	require.Empty(t, none.Items)
}

func TestEndpoint_RefusesOtherMethods(t *testing.T) {
	t.Parallel()
	h := newDeployments(t, newLedger(t), deployments.WithMaxBody(600))
	request := func(method, contentType, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/", strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("Authorization", "Bearer "+acmeKey)
		return serve(h, r)
	}
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodHead} {
		w := request(method, "application/json", referenceBodies[0])
		require.Equal(t, 405, w.Code)
		require.Equal(t, "POST", w.Header().Get("Allow"))
	}
	require.Equal(t, 415, request(http.MethodPost, "application/x-www-form-urlencoded", referenceBodies[0]).Code)
	require.Equal(t, 413, request(http.MethodPost, "application/json", referenceBodies[1]).Code)
	require.Equal(t, 201, request(http.MethodPost, "application/json", referenceBodies[0]).Code)
}

// Each key's organization has its own records and numbers.
func TestEndpoint_KeySelectsOrganization(t *testing.T) {
	t.Parallel()
	ledger := newLedger(t)
	h := newDeployments(t, ledger)
	require.Equal(t, 201, deploy(h, acmeKey, referenceBodies[2]).Code)
	require.Equal(t, `{"action":"created","deploymentId":2,"linkedPRs":0}`, deploy(h, acmeKey, referenceBodies[0]).Body.String())
	require.Equal(t, `{"action":"created","deploymentId":1,"linkedPRs":0}`, deploy(h, otherKey, referenceBodies[0]).Body.String())
	require.Equal(t, `{"action":"updated","deploymentId":2,"linkedPRs":0}`, deploy(h, acmeKey, referenceBodies[0]).Body.String())
}

func TestEndpoint_StaleDeploymentReturnsRecord(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	linker := deployments.LinkerFunc(func(context.Context, deployments.Link) (int, error) { return 3, nil })
	h := newDeployments(t, newLedger(t), deployments.WithLinker(linker), deployments.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	require.Equal(t, 201, deploy(h, acmeKey, body(t, testDeployment("a", payload.StatusSuccess))).Code)
	log.Reset()
	w := deploy(h, acmeKey, body(t, testDeployment("a", payload.StatusInProgress)))
	require.Equal(t, 200, w.Code)
	require.Equal(t, `{"action":"unchanged","deploymentId":1,"linkedPRs":3,"stale":true}`, w.Body.String())
	for _, field := range []string{
		"level=INFO", "outcome=handled", "deployment_id=a", "deployment_status=in_progress", "action=unchanged", "record=1", "linked_prs=3",
		"stale=true", "recorded_status=success", "transition=stale", "principal=acme", "key=acme-key",
	} {
		require.Contains(t, log.String(), field)
	}
	require.NotContains(t, log.String(), acmeKey)
	require.Equal(t, 1, strings.Count(log.String(), "\n"), "one line for each delivery")
}

func TestEndpoint_ConcurrentCopiesAreOneRecord(t *testing.T) {
	t.Parallel()
	h := newDeployments(t, newLedger(t), deployments.WithLedgerTimeout(time.Hour)) // the last of them waits for all others
	var created, updated atomic.Int32
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			w := deploy(h, acmeKey, referenceBodies[4])
			switch {
			case w.Code == 201 && w.Body.String() == `{"action":"created","deploymentId":1,"linkedPRs":0}`:
				created.Add(1)
			case w.Code == 200 && w.Body.String() == `{"action":"updated","deploymentId":1,"linkedPRs":0}`:
				updated.Add(1)
			default:
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, created.Load())
	require.EqualValues(t, 999, updated.Load())
}

// hookLedger is a ledger whose calls can be made to fail.
type hookLedger struct {
	deployments.Ledger
	record, setLinked func(ctx context.Context) error
}

func (l *hookLedger) Record(ctx context.Context, organization string, d *payload.Deployment) (deployments.Recorded, error) {
	if l.record != nil {
		if err := l.record(ctx); err != nil {
			return deployments.Recorded{}, err
		}
	}
	return l.Ledger.Record(ctx, organization, d)
}

func (l *hookLedger) SetLinked(ctx context.Context, link deployments.Link, prs int) error {
	if l.setLinked != nil {
		if err := l.setLinked(ctx); err != nil {
			return err
		}
	}
	return l.Ledger.SetLinked(ctx, link, prs)
}

func TestEndpoint_LedgerDownIs503(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(context.Context) error{
		"down":  func(context.Context) error { return errors.New("connection refused") },
		"full":  func(context.Context) error { return deployments.ErrLedgerFull },
		"panic": func(context.Context) error { panic("no") },
		"abort": func(context.Context) error { panic(http.ErrAbortHandler) },
		"slow":  func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				ledger := &hookLedger{Ledger: newLedger(t), record: fail}
				var observed receiver.Result
				h := newDeployments(t, ledger, deployments.WithLedgerTimeout(2*time.Second),
					deployments.WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
					deployments.WithObserver(func(_ context.Context, r receiver.Result) { observed = r }))
				start := time.Now()
				w := deploy(h, acmeKey, referenceBodies[0])
				require.LessOrEqual(t, time.Since(start), 2*time.Second)
				require.Equal(t, 503, w.Code)
				require.Equal(t, "5", w.Header().Get("Retry-After"))
				require.Equal(t, `{"error":"Temporarily unavailable"}`, w.Body.String())
				require.Contains(t, log.String(), "level=ERROR")
				require.Contains(t, log.String(), "outcome=unavailable")
				require.Equal(t, receiver.Unavailable, observed.Outcome)
				require.Error(t, observed.Err)
				ledger.record = nil
				require.Equal(t, 201, deploy(h, acmeKey, referenceBodies[0]).Code, "the retry is taken")
			})
		})
	}
}

// A pipeline that disconnected has still deployed.
func TestEndpoint_ContinuesAfterDisconnect(t *testing.T) {
	t.Parallel()
	hungUp, cancel := context.WithCancel(t.Context())
	ledger := &hookLedger{Ledger: newLedger(t), record: func(ctx context.Context) error {
		cancel()
		return ctx.Err()
	}}
	linker := deployments.LinkerFunc(func(ctx context.Context, _ deployments.Link) (int, error) { return 3, ctx.Err() })
	h := newDeployments(t, ledger, deployments.WithLinker(linker))
	r := httptest.NewRequestWithContext(hungUp, http.MethodPost, "/", strings.NewReader(referenceBodies[0]))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+acmeKey)
	require.Equal(t, `{"action":"created","deploymentId":1,"linkedPRs":3}`, serve(h, r).Body.String())
}
