package deployments_test

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
)

func TestMemoryLedger_NilAndZero(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, l := range []*deployments.MemoryLedger{nil, {}} {
		_, record := l.Record(ctx, "acme", testDeployment("a", payload.StatusPending))
		_, get := l.Get(ctx, "acme", "a")
		_, list := l.List(ctx, "acme", deployments.Filter{}, deployments.Page{})
		for _, err := range []error{record, get, list, l.SetLinked(ctx, deployments.Link{Organization: "acme"}, 1)} {
			require.ErrorIs(t, err, deployments.ErrConfig)
			require.ErrorContains(t, err, "NewMemoryLedger")
		}
		require.NoError(t, l.Close())
	}
	_, err := newLedger(t).Record(ctx, "acme", nil)
	require.ErrorIs(t, err, deployments.ErrConfig)
	_, err = deployments.LinkerFunc(nil).LinkedPRs(ctx, deployments.Link{})
	require.ErrorIs(t, err, deployments.ErrConfig)
	require.ErrorContains(t, err, "the LinkerFunc is nil")
}

func TestMemoryLedger_Closed(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	_, err := l.Record(t.Context(), "acme", testDeployment("a", payload.StatusPending))
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.NoError(t, l.Close())
	_, record := l.Record(t.Context(), "acme", testDeployment("a", payload.StatusPending))
	_, get := l.Get(t.Context(), "acme", "a")
	_, list := l.List(t.Context(), "acme", deployments.Filter{}, deployments.Page{})
	for _, err := range []error{record, get, list, l.SetLinked(t.Context(), deployments.Link{Organization: "acme"}, 1)} {
		require.ErrorIs(t, err, deployments.ErrClosed)
	}
}

// Not parallel, because the line goes to the default logger.
func TestEndpoint_NilAndZero(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)
	for _, e := range []*deployments.Endpoint{nil, {}} {
		require.Empty(t, e.Faults())
		log.Reset()
		w := deploy(e, acmeKey, referenceBodies[0])
		require.Equal(t, 503, w.Code)
		require.Equal(t, `{"error":"Temporarily unavailable"}`, w.Body.String())
		require.Equal(t, "5", w.Header().Get("Retry-After"))
		require.Contains(t, log.String(), "the Endpoint was not made with New")
	}
}
