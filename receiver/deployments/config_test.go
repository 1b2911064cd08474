package deployments_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/signer"
)

// Deliveries without a principal would all share one organization.
func TestEndpoint_RequiresPrincipal(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	scheme := newScheme(t) // without WithPrincipal
	ledger := newLedger(t)
	h, err := deployments.New(scheme, ledger, deployments.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	require.NoError(t, err)
	w := serve(h, signedRequest(t, scheme, referenceBodies[0]))
	require.Equal(t, 503, w.Code)
	for _, text := range []string{"level=ERROR", "principal", "WithPrincipal", "PerRequest", "NewAPIKeys"} {
		require.Contains(t, log.String(), text)
	}

	scheme = newScheme(t, signer.WithPrincipal("acme"))
	h, err = deployments.New(scheme, ledger, quiet)
	require.NoError(t, err)
	require.Equal(t, 201, serve(h, signedRequest(t, scheme, referenceBodies[0])).Code)
	w = serve(h, signedRequest(t, newScheme(t), referenceBodies[0]))
	require.Equal(t, 401, w.Code)
	require.Equal(t, `{"error":"Invalid signature"}`, w.Body.String())
	records, err := ledger.List(t.Context(), "acme", deployments.Filter{}, deployments.Page{})
	require.NoError(t, err)
	require.Len(t, records.Items, 1)
}

func TestDeploymentsPerTenant(t *testing.T) {
	t.Parallel()
	scheme := newScheme(t)
	ledger := newLedger(t)
	h, err := deployments.New(receiver.PerRequest(func(*http.Request) (string, signer.Verifier, error) {
		return "tenant-7", scheme, nil
	}), ledger, quiet)
	require.NoError(t, err)
	require.Equal(t, 201, serve(h, signedRequest(t, scheme, referenceBodies[0])).Code)
	_, err = ledger.Get(t.Context(), "tenant-7", "azure-devops-run-12345")
	require.NoError(t, err)
}

func TestNew_ReportsEveryConfigurationError(t *testing.T) {
	t.Parallel()
	_, err := deployments.New(nil, nil, nil, deployments.WithMaxBody(0), deployments.WithBodyTimeout(-1), deployments.WithLinker(nil),
		deployments.WithLinkedEnvironments(), deployments.WithLinkTimeout(0), deployments.WithLedgerTimeout(0), deployments.WithLogger(nil))
	require.ErrorIs(t, err, deployments.ErrConfig)
	for _, text := range []string{
		"nil Option", "verifier is nil", "ledger is nil", "WithMaxBody(0)", "WithBodyTimeout(-1ns)",
		"WithLinker: the linker is nil", "WithLinkedEnvironments", "WithLinkTimeout(0s)", "WithLedgerTimeout(0s)", "WithLogger: the logger is nil",
	} {
		require.ErrorContains(t, err, text, "all at once")
	}

	var ledger *deployments.MemoryLedger
	_, err = deployments.New(newAPIKeys(t), ledger)
	require.ErrorContains(t, err, "the ledger is nil")
	var scheme *signer.APIKeys
	_, err = deployments.New(scheme, newLedger(t))
	require.ErrorContains(t, err, "the verifier is nil")
	_, err = deployments.New(newAPIKeys(t), newLedger(t), deployments.WithLinker(deployments.LinkerFunc(nil)))
	require.ErrorContains(t, err, "WithLinker: the linker is nil")
	_, err = deployments.New(newAPIKeys(t), newLedger(t), deployments.WithLinkedEnvironments("production", ""))
	require.ErrorIs(t, err, deployments.ErrConfig)
	_, err = deployments.New(receiver.PerRequest(nil), newLedger(t))
	require.ErrorIs(t, err, deployments.ErrConfig)
	require.ErrorContains(t, err, "PerRequest: the lookup function is nil")
}

func TestDeploymentBodyTooSlow(t *testing.T) {
	t.Parallel()
	h := newDeployments(t, newLedger(t), deployments.WithBodyTimeout(50*time.Millisecond))
	server := httptest.NewServer(h)
	defer server.Close()
	pr, pw := io.Pipe()
	defer pw.Close()
	r, err := http.NewRequest(http.MethodPost, server.URL, pr)
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+acmeKey)
	go func() { _, _ = pw.Write([]byte("{")) }()
	resp, err := server.Client().Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, 408, resp.StatusCode)
}

func TestEndpoint_PerRequestAnswersLikeKeys(t *testing.T) {
	t.Parallel()
	keys := newAPIKeys(t)
	h, err := deployments.New(receiver.PerRequest(func(r *http.Request) (string, signer.Verifier, error) {
		if r.URL.Path == "/nobody" {
			return "", nil, receiver.ErrUnknownTenant
		}
		return "acme", keys, nil
	}), newLedger(t), quiet)
	require.NoError(t, err)
	for _, path := range []string{"/acme", "/nobody"} {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader("{}"))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer not-one-of-the-keys-at-all")
		w := serve(h, r)
		require.Equal(t, http.StatusUnauthorized, w.Code)
		require.Equal(t, `{"error":"Invalid or missing API key"}`, w.Body.String(), path)
	}
}

// The compiler tells the options of an endpoint from those of a receiver, in
// both directions, because each Option has an unexported method of its package.
func TestOptions_AreNoReceiverOptions(t *testing.T) {
	t.Parallel()
	endpoint, receiving := reflect.TypeFor[deployments.Option](), reflect.TypeFor[receiver.Option]()
	require.False(t, endpoint.AssignableTo(receiving))
	require.False(t, receiving.AssignableTo(endpoint))
	require.False(t, reflect.TypeOf(deployments.WithMaxBody(1)).AssignableTo(receiving))
	require.False(t, reflect.TypeOf(receiver.WithMaxBody(1)).AssignableTo(endpoint))
}
