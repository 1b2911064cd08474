package receiver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/receivertest"
	"github.com/deployhook/deployhook/signer"
)

func TestConfigurationErrors(t *testing.T) {
	t.Parallel()
	scheme, store := newScheme(t), newMemory(t)
	dedupeOption := receiver.WithDedupe(store, "test")
	for _, c := range []struct {
		name     string
		verifier signer.Verifier
		opts     []receiver.Option
		says     []string
	}{
		{"no store", scheme, nil, []string{"WithDedupe", "InsecureNoDedupe"}},
		{"both", scheme, []receiver.Option{dedupeOption, receiver.InsecureNoDedupe()}, []string{"exclude each other"}},
		{"nil store", scheme, []receiver.Option{receiver.WithDedupe(nil, "test")}, []string{"WithDedupe", "nil"}},
		{"nil pointer as store", scheme, []receiver.Option{receiver.WithDedupe((*dedupe.Memory)(nil), "test")}, []string{"WithDedupe", "nil"}},
		{"no source", scheme, []receiver.Option{receiver.WithDedupe(store, "")}, []string{"WithDedupe", "source"}},
		{"nil verifier", nil, []receiver.Option{dedupeOption}, []string{"verifier is nil"}},
		{"nil pointer as verifier", (*signer.Standard)(nil), []receiver.Option{dedupeOption}, []string{"verifier is nil"}},
		{"nil lookup", receiver.PerRequest(nil), []receiver.Option{dedupeOption}, []string{"PerRequest", "lookup function is nil"}},
		{"nil tenants", (*receiver.TenantVerifier)(nil), []receiver.Option{dedupeOption}, []string{"verifier is nil"}},
		{"zero tenants", &receiver.TenantVerifier{}, []receiver.Option{dedupeOption}, []string{"PerRequest"}},
		{"nil logger", scheme, []receiver.Option{dedupeOption, receiver.WithLogger(nil)}, []string{"WithLogger: the logger is nil"}},
		{"nil option", scheme, []receiver.Option{dedupeOption, nil}, []string{"nil Option"}},
		{"all at once", scheme, []receiver.Option{
			dedupeOption, receiver.WithMaxBody(0), receiver.WithBodyTimeout(0), receiver.WithLease(0), receiver.WithStoreTimeout(-1),
		}, []string{"WithMaxBody", "WithBodyTimeout", "WithLease", "WithStoreTimeout"}},
		{"long lease", scheme, []receiver.Option{dedupeOption, receiver.WithLease(2 * time.Hour)}, []string{"WithLease"}},
		{"TTL under twice the tolerance", scheme, []receiver.Option{
			receiver.WithDedupe(receivertest.NewStore(t, dedupe.WithTTL(10*time.Minute-1)), "test"),
		}, []string{"TTL", "tolerance"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rcv, err := receiver.New(c.verifier, c.opts...)
			require.ErrorIs(t, err, receiver.ErrConfig)
			require.Nil(t, rcv)
			for _, text := range c.says {
				require.ErrorContains(t, err, text)
			}
		})
	}
	_, err := receiver.New(scheme, receiver.WithDedupe(receivertest.NewStore(t, dedupe.WithTTL(10*time.Minute)), "test"))
	require.NoError(t, err, "twice the tolerance is enough")
}

func TestPerRequest(t *testing.T) {
	t.Parallel()
	acme, zeta, patient := newScheme(t), newScheme(t), newScheme(t, signer.WithTolerance(24*time.Hour))
	store := receivertest.NewStore(t, dedupe.WithTTL(24*time.Hour))
	var got []string
	lookup := func(r *http.Request) (string, signer.Verifier, error) {
		switch r.PathValue("tenant") {
		case "acme":
			return "acme", acme, nil
		case "zeta":
			return "zeta", zeta, nil
		case "patient":
			return "patient", patient, nil
		case "nameless":
			return "", acme, nil
		case "nil":
			return "nil", nil, nil
		case "nested":
			// The 24 hours would go unnoticed behind the inner lookup.
			inner := func(*http.Request) (string, signer.Verifier, error) { return "nested", patient, nil }
			return "nested", receiver.PerRequest(inner), nil
		case "outage":
			return "", nil, errors.New("database: connection refused")
		case "panic":
			panic("lookup")
		}
		return "", nil, receiver.ErrUnknownTenant
	}
	mux := http.NewServeMux()
	mux.Handle("/hooks/{tenant}", newReceiver(t, receiver.PerRequest(lookup), receiver.WithDedupe(store, "test")).Events(
		func(ctx context.Context, _ *payload.Event) error {
			d, _ := receiver.FromContext(ctx)
			got = append(got, d.Principal)
			return nil
		}))
	for _, c := range []struct {
		tenant string
		scheme *signer.Standard
		status int
	}{
		{"acme", acme, 200},
		{"zeta", zeta, 200}, // tenants may use the same ID
		{"zeta", acme, 401}, // signed for another tenant
		{"nobody", acme, 401},
		{"nameless", acme, 503},
		{"nil", acme, 503},
		{"nested", patient, 503},
		{"outage", acme, 503},
		{"panic", acme, 503},
		{"patient", patient, 503}, // the tolerance is more than half the TTL
	} {
		r := signedRequest(t, c.scheme, "whk_1", eventBody)
		r.URL.Path = "/hooks/" + c.tenant
		w := serve(mux, r)
		require.Equal(t, c.status, w.Code, c.tenant)
		require.NotContains(t, w.Body.String(), "database")
	}
	require.Equal(t, []string{"acme", "zeta"}, got)
}

// Each delivery writes one line with what an operator needs and without
// secrets.
func TestLogLines(t *testing.T) {
	t.Parallel()
	const canary = "CANARYCANARYCANARYCANARYCANARYCA"
	secret, err := signer.ParseSecret("whsec_" + canary)
	require.NoError(t, err)
	scheme, err := signer.NewStandard(secret.Named("2026-11"), signer.WithPrincipal("acme"))
	require.NoError(t, err)
	var out bytes.Buffer
	rcv := newReceiver(t, scheme, receiver.WithDedupe(newMemory(t), "platform"), receiver.WithLogger(slog.New(slog.NewJSONHandler(&out, nil))))
	h := rcv.Events(func(_ context.Context, e *payload.Event) error {
		if e.App == "fails" {
			return errors.New("no disk")
		}
		return nil
	})
	body := strings.Replace(eventBody, "fix: resolve", "BODYCANARY", 1)
	serve(h, signedRequest(t, scheme, "whk_1", body))
	out.Reset() // drop the warning about the recorder's missing deadline

	serve(h, signedRequest(t, scheme, "whk_2", body))
	serve(h, signedRequest(t, scheme, "whk_2", body))
	serve(h, signedRequest(t, scheme, "whk_3", strings.Replace(body, "api-service", "fails", 1)))
	forged := signedRequest(t, scheme, "whk_4", body)
	signature := forged.Header.Get("Webhook-Signature")
	forged.Header.Set("Webhook-Id", "INJECTED\"")
	serve(h, forged)
	serve(h, signedRequest(t, scheme, "whk_5", `{"event":"deploy.live"}`))

	var lines []map[string]any
	for line := range strings.Lines(out.String()) {
		var m map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &m))
		lines = append(lines, m)
	}
	require.Len(t, lines, 5)
	for i, want := range []struct{ level, outcome, id, err string }{
		{"INFO", "handled", "whk_2", ""},
		{"INFO", "duplicate", "whk_2", ""},
		{"ERROR", "failed", "whk_3", "no disk"},
		{"WARN", "unauthenticated", "", "no key matches"},
		{"WARN", "invalid", "whk_5", "is required"},
	} {
		require.Equal(t, want.level, lines[i]["level"])
		require.Equal(t, want.outcome, lines[i]["outcome"])
		require.Equal(t, "platform", lines[i]["source"])
		if want.id != "" {
			require.Equal(t, want.id, lines[i]["id"])
			require.Equal(t, "2026-11", lines[i]["key"])
			require.Equal(t, "acme", lines[i]["principal"])
		} else {
			require.NotContains(t, lines[i], "id")
		}
		if want.err != "" {
			require.Contains(t, lines[i]["error"], want.err)
		} else {
			require.NotContains(t, lines[i], "error")
		}
	}
	require.Equal(t, "deploy.started", lines[0]["type"])
	for _, leak := range []string{canary, "BODYCANARY", signature, "INJECTED"} {
		require.NotContains(t, out.String(), leak)
	}
}

func TestMux(t *testing.T) {
	t.Parallel()
	var got []string
	to := func(name string) receiver.EventHandler {
		return func(context.Context, *payload.Event) error {
			got = append(got, name)
			return nil
		}
	}
	mux, err := receiver.NewMux(
		receiver.Route("*", to("rest")),
		receiver.Route("deploy.*", to("deploy")),
		receiver.Route("deploy.canary.*", to("canary")),
		receiver.Route("deploy.failed", to("failed")),
	)
	require.NoError(t, err)
	for _, c := range []struct {
		event payload.Type
		want  string
	}{
		{"deploy.failed", "failed"},
		{"deploy.live", "deploy"},
		{"deploy.canary.started", "canary"},
		{"deploy.failed.twice", "deploy"},
		{"deployment.live", "rest"},
		{"build.completed", "rest"},
		{"deploy", "rest"},
	} {
		got = nil
		require.NoError(t, mux.Handle(t.Context(), &payload.Event{Type: c.event}))
		require.Equal(t, []string{c.want}, got, c.event)
	}

	only, err := receiver.NewMux(receiver.Route("deploy.failed", func(context.Context, *payload.Event) error { return errors.New("no") }))
	require.NoError(t, err)
	require.NoError(t, only.Handle(t.Context(), &payload.Event{Type: "deploy.live"}), "an event that matches no route is acknowledged")
	require.Error(t, only.Handle(t.Context(), &payload.Event{Type: "deploy.failed"}))
}

func TestMuxConfigurationErrors(t *testing.T) {
	t.Parallel()
	_, err := receiver.NewMux()
	require.ErrorIs(t, err, receiver.ErrConfig)
	for _, pattern := range []string{"", "deploy", "deploy.", ".live", "deploy.**", "deploy.*.x", "*.live", "de*", "Deploy.Live", "deploy live", "deploy.*\n", "**"} {
		_, err := receiver.NewMux(receiver.Route(pattern, ok))
		require.ErrorIs(t, err, receiver.ErrConfig, pattern)
		require.ErrorContains(t, err, "Route(", pattern)
	}
	_, err = receiver.NewMux(receiver.Route("deploy.*", ok), receiver.Route("deploy.*", ok))
	require.ErrorContains(t, err, "twice")
	_, err = receiver.NewMux(receiver.Route("*", nil))
	require.ErrorContains(t, err, "nil")
}
