package samples_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/samples"
	"github.com/deployhook/deployhook/payload"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

var at = time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC)

// Every sample survives encoding and decoding without a loss.
func TestEvents(t *testing.T) {
	t.Parallel()
	for _, typ := range append(samples.Types(), "acme.scaled") {
		e := samples.Event(typ, at)
		body, err := e.Encode()
		require.NoError(t, err, typ)
		back, err := payload.DecodeEvent(body)
		require.NoError(t, err, typ)
		again, err := back.Encode()
		require.NoError(t, err, typ)
		require.Equal(t, string(body), string(again))
		require.Empty(t, back.Dropped, typ)
	}
}

func TestDeployments(t *testing.T) {
	t.Parallel()
	for _, status := range samples.Statuses() {
		d := samples.Deployment(status, at)
		body, err := d.Encode()
		require.NoError(t, err, status)
		back, err := payload.DecodeDeployment(body)
		require.NoError(t, err, status)
		require.True(t, d.Equal(back), "%s: %s", status, body)
		require.Empty(t, back.Dropped, status)
	}
}

// Types and Statuses are all that package payload knows.
func TestComplete(t *testing.T) {
	t.Parallel()
	for _, typ := range samples.Types() {
		require.True(t, typ.Known())
	}
	require.Len(t, samples.Types(), 6)
	for _, status := range samples.Statuses() {
		require.True(t, status.Known())
		_, ok := status.EventType()
		require.True(t, ok)
	}
	require.Len(t, samples.Statuses(), 6)
}
