package cdevents_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/cdevents"
)

func incidentEvent(predicate string) string {
	return `{"context":{"specversion":"0.5.1","id":"271069a8","source":"/monitoring/prod1","type":"dev.cdevents.incident.` + predicate + `.0.3.0",` +
		`"timestamp":"2026-03-02T10:20:00Z"},"subject":{"id":"incident-123","source":"/monitoring/prod1","content":{` +
		`"description":"Response time increased","environment":{"id":"production"},"service":{"id":"api"},` +
		`"artifactId":"pkg:oci/api@sha256%3A0b31b1c0","ticketURI":"https://issues.example/123"}}}`
}

func TestIncident(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 2, 10, 20, 0, 0, time.UTC)
	decode := cdevents.NewIncidentDecoder(nil)
	for predicate, times := range map[string][2]time.Time{"detected": {at}, "reported": {at}, "resolved": {{}, at}} {
		i, err := decode(t.Context(), []byte(incidentEvent(predicate)))
		require.NoError(t, err, predicate)
		require.Equal(t, &payload.Incident{
			IncidentID: "incident-123", OpenedAt: times[0], ResolvedAt: times[1], UpdatedAt: at, Service: "api", Environment: "production",
			Title: "Response time increased", URL: "https://issues.example/123",
		}, i)
	}
	for _, body := range []string{
		incidentEvent("closed"),
		strings.Replace(incidentEvent("detected"), ".0.3.0", ".9.0.0", 1),
		strings.Replace(incidentEvent("detected"), "incident.detected", "service.removed", 1),
	} {
		_, err := decode(t.Context(), []byte(body))
		require.ErrorIs(t, err, payload.ErrIgnored)
	}
	_, err := decode(t.Context(), []byte(strings.Replace(incidentEvent("detected"), `{"id":"api"}`, `7`, 1)))
	require.ErrorIs(t, err, payload.ErrInvalid)
	_, err = decode(t.Context(), []byte("{}"))
	require.ErrorIs(t, err, payload.ErrInvalid)
}

func TestIncident_Base(t *testing.T) {
	t.Parallel()
	calls := 0
	decode := cdevents.NewIncidentDecoder(func(_ context.Context, e *cdevents.Event) (payload.Incident, error) {
		calls++
		return payload.Incident{DeploymentID: "run-6", Service: "web"}, nil
	})
	i, err := decode(t.Context(), []byte(strings.Replace(incidentEvent("detected"), `"service":{"id":"api"},`, "", 1)))
	require.NoError(t, err)
	require.Equal(t, "web", i.Service)
	require.Equal(t, "run-6", i.DeploymentID)
	_, err = decode(t.Context(), []byte(strings.Replace(incidentEvent("detected"), "incident.detected", "service.removed", 1)))
	require.ErrorIs(t, err, payload.ErrIgnored)
	require.Equal(t, 1, calls, "not for what is ignored")

	down := errors.New("down")
	decode = cdevents.NewIncidentDecoder(func(context.Context, *cdevents.Event) (payload.Incident, error) { return payload.Incident{}, down })
	_, err = decode(t.Context(), []byte(incidentEvent("detected")))
	require.ErrorIs(t, err, down)
	require.NotErrorIs(t, err, payload.ErrInvalid)
}
