package otelsender_test

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/otelsender"
	"github.com/deployhook/deployhook/sender/otelsender/internal/teltest"
)

// The attempts of all senders with the same attributes are one figure.
func TestOpen_CountsAttemptsInFlight(t *testing.T) {
	t.Parallel()
	m := teltest.New(t)
	entered, release := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-release
	}))
	t.Cleanup(server.Close)
	ep := sender.Endpoint{URL: sender.NewURL(server.URL), Signer: sender.InsecureUnsigned()}
	done := make(chan error)
	for _, s := range []*sender.Sender{newSender(t, m.Options()...), newSender(t, m.Options()...)} {
		go func() {
			_, err := s.Send(t.Context(), ep, event(payload.DeployLive))
			done <- err
		}()
		<-entered
	}
	require.InDelta(t, 2, m.Read()["deployhook.sender.attempts.in_flight{}"], 0)
	close(release)
	for range 2 {
		require.NoError(t, <-done)
	}
	got := m.Read()
	require.Contains(t, got, "deployhook.sender.attempts.in_flight{}")
	require.Zero(t, got["deployhook.sender.attempts.in_flight{}"])
}

// Senders that come and go leave nothing in the provider that is read at each
// collection.
func TestOpen_ForgetsASender(t *testing.T) {
	t.Parallel()
	m := teltest.New(t)
	open := func() {
		s, err := sender.New(sender.WithTelemetry(otelsender.Open(m.Options(otelsender.WithAttributes(attribute.String("of", "old")))...)))
		require.NoError(t, err)
		require.NoError(t, s.Close())
	}
	open()
	const name = "deployhook.sender.attempts.in_flight{of=old}"
	require.Contains(t, m.Read(), name)
	require.Eventually(t, func() bool {
		runtime.GC()
		_, found := m.Read()[name]
		return !found
	}, time.Minute, time.Millisecond)
}
