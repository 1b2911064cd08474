package deployments_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
)

func newIncidents(t *testing.T, l deployments.Ledger, opts ...deployments.Option) *deployments.IncidentEndpoint {
	t.Helper()
	h, err := deployments.NewIncidents(newAPIKeys(t), l, append([]deployments.Option{deployments.WithLogger(slog.New(slog.DiscardHandler))}, opts...)...)
	require.NoError(t, err)
	return h
}

const incident7 = `{"incidentId":"7","openedAt":"2026-03-02T10:20:00Z","service":"api","environment":"production"}`

func TestIncidents_Answers(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	h := newIncidents(t, l)
	for _, c := range []struct {
		key, body string
		status    int
		want      string
	}{
		{acmeKey, incident7, 201, `{"action":"created","incidentId":"7"}`},
		{acmeKey, incident7, 200, `{"action":"unchanged","incidentId":"7"}`},
		{acmeKey, `{"incidentId":"7","resolvedAt":"2026-03-02T11:00:00Z"}`, 200, `{"action":"updated","incidentId":"7"}`},
		{acmeKey, `{"incidentId":"7"}`, 400, `{"error":"Invalid payload: openedAt is required"}`},
		{acmeKey, `[]`, 400, `{"error":"Invalid payload: body must be an object"}`},
		{"", incident7, 401, `{"error":"Invalid or missing API key"}`},
	} {
		w := deploy(h, c.key, c.body)
		require.Equal(t, c.status, w.Code, w.Body.String())
		require.JSONEq(t, c.want, w.Body.String())
	}
	var all []payload.Incident
	for i, err := range l.Incidents(t.Context(), "acme") {
		require.NoError(t, err)
		all = append(all, i)
	}
	require.Len(t, all, 1)
	require.Equal(t, "api", all[0].Service)
	require.False(t, all[0].ResolvedAt.IsZero())
}

func TestIncidents_Decoder(t *testing.T) {
	t.Parallel()
	var answer error
	h := newIncidents(t, newLedger(t), deployments.WithIncidentDecoder(func(context.Context, []byte) (*payload.Incident, error) { return nil, answer }))
	for _, c := range []struct {
		err    error
		status int
		want   string
	}{
		{fmt.Errorf("x: %w", payload.ErrIgnored), 200, `{"received":true,"ignored":true}`},
		{fmt.Errorf("secret: %w", payload.ErrInvalid), 400, `{"error":"Invalid payload"}`},
		{errors.New("the table is down at 10.0.0.1"), 503, `{"error":"Temporarily unavailable"}`},
		{nil, 503, `{"error":"Temporarily unavailable"}`},
	} {
		answer = c.err
		w := deploy(h, acmeKey, incident7)
		require.Equal(t, c.status, w.Code)
		require.JSONEq(t, c.want, w.Body.String())
	}
}

func TestIncidents_Configuration(t *testing.T) {
	t.Parallel()
	_, err := deployments.NewIncidents(nil, nil, deployments.WithLinker(deployments.LinkerFunc(func(context.Context, deployments.Link) (int, error) { return 0, nil })))
	for _, part := range []string{"verifier", "ledger", "WithLinker"} {
		require.ErrorContains(t, err, part)
	}
	_, err = deployments.New(newAPIKeys(t), newLedger(t), deployments.WithIncidentDecoder(func(context.Context, []byte) (*payload.Incident, error) { return nil, nil }))
	require.ErrorContains(t, err, "WithIncidentDecoder")
	for _, h := range []*deployments.IncidentEndpoint{nil, {}} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", "/", nil))
		require.Equal(t, 503, w.Code)
		require.Empty(t, h.Faults())
	}
}
