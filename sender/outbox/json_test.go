package outbox_test

import (
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

var update = flag.Bool("update", false, "write the golden files")

// The JSON forms are part of the management API. Their golden files change only
// on purpose, with -update.
func TestJSON(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 28, 12, 30, 0, 123456000, time.UTC)
	delivery := outbox.Delivery{
		ID: "whk_1", EventID: "evt_1", App: "shop", Endpoint: "ep_1", Type: payload.DeployLive, DeploymentID: "dep_1", State: outbox.Failed,
		Attempts: 6, Replays: 1, CreatedAt: at, DoneAt: at.Add(time.Hour), LastStatus: 503, LastClass: sender.ClassStatus,
		LastError: "dial tcp 10.0.0.7:443: see AllowNetworks", ContentType: "application/json", Body: []byte(`{"event":"deploy.live"}`),
	}
	backlog := outbox.Backlog{Pending: outbox.Count{N: 12}, Due: outbox.Count{N: 10_000, More: true}, OldestDue: at}
	all := map[string]any{
		"endpoint": outbox.Endpoint{
			ID: "ep_1", App: "shop", Host: "https://hooks.example.com", Description: "checkout", BodyFormat: "json", Scheme: outbox.SchemeStandard,
			Events: []string{"deploy.*"}, HeaderNames: []string{"X-Team"}, CertificateSubject: "CN=shop", CertificateNotAfter: at,
			Timeout: 2500 * time.Millisecond, Schedule: "platform", MaxConcurrency: 5, RateLimit: 0.5, Metadata: map[string]string{"team": "checkout"},
			Version: 7, State: outbox.EndpointFailing, Reason: "a delivery has used up its attempts", FailingSince: at, CreatedAt: at, UpdatedAt: at,
		},
		"endpoint_new": outbox.Endpoint{ID: "ep_2", App: "shop", CreatedAt: at, UpdatedAt: at},
		"delivery":     delivery,
		"delivery_binary": outbox.Delivery{
			ID: "whk_2", State: outbox.Pending, CreatedAt: at, NextAt: at, ContentType: "application/octet-stream",
			Body: []byte{0xff, 0},
		},
		"attempt": outbox.Attempt{
			DeliveryID: "whk_1", Number: 1, Start: at, Outcome: sender.Failed, Class: sender.ClassStatus, Status: 503, Error: "secret detail",
			Timings:    sender.Timings{DNS: 1500 * time.Microsecond, Total: 20 * time.Millisecond},
			RetryAfter: 30 * time.Second, Addr: "10.0.0.7:443", RequestHeader: http.Header{"Webhook-Id": {"whk_1"}}, Body: []byte("busy"),
		},
		"event":            outbox.Event{ID: "evt_1", Type: payload.DeployLive, DeploymentID: "dep_1", CreatedAt: at, Body: []byte(`{"a":1e400}`)},
		"event_erased":     outbox.Event{ID: "evt_1", CreatedAt: at, ErasedAt: at},
		"publication":      outbox.Publication{EventID: "evt_1", Deliveries: []outbox.Ref{{ID: "whk_1", Endpoint: "ep_1"}}},
		"publication_none": outbox.Publication{EventID: "evt_1", Duplicate: true},
		"deliveries_none":  outbox.Deliveries{},
		"deliveries":       outbox.Deliveries{Items: []outbox.Delivery{{ID: "whk_1", CreatedAt: at}}, Next: "abc"},
		"apps_none":        outbox.Apps{},
		"events_none":      outbox.Events{},
		"replays_none":     outbox.Replays{},
		"replay": outbox.ReplayStatus{
			ID: "rpl_1", CreatedAt: at, Filter: outbox.DeliveryFilter{States: []outbox.State{outbox.Failed}, Until: at}, Scheduled: 2, Complete: true, Delivered: 2,
		},
		"stats": outbox.Stats{
			AsOf: at, Backlog: backlog, States: map[outbox.State]outbox.Count{outbox.Delivered: {N: 3}},
			Endpoints: []outbox.EndpointBacklog{{App: "shop", Endpoint: "ep_1", State: outbox.EndpointActive, Backlog: backlog}},
		},
		"stats_none":     outbox.Stats{AsOf: at},
		"endpoint_stats": outbox.EndpointStats{AsOf: at, EndpointBacklog: outbox.EndpointBacklog{App: "shop", Endpoint: "ep_1"}},
	}
	got, err := json.MarshalIndent(all, "", "  ")
	require.NoError(t, err)
	require.NotContains(t, string(got), "10.0.0.7")
	require.NotContains(t, string(got), "0001-01-01")
	file := filepath.Join("testdata", "json.golden.json")
	if *update {
		require.NoError(t, os.WriteFile(file, append(got, '\n'), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got)+"\n")
}
