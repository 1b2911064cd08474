package envelope_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/envelope"
	"github.com/deployhook/deployhook/sender/internal/formattest"
	"github.com/deployhook/deployhook/sender/sendertest"
	"github.com/deployhook/deployhook/signer"
)

func TestGolden(t *testing.T) {
	t.Parallel()
	formattest.Golden(t, envelope.New(), "golden", *update)
}

// Each encoding gives the same bytes, and reading them gives the same event.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for name, e := range formattest.Events() {
		contentType, body, err := envelope.New().Encode(t.Context(), e)
		require.NoError(t, err, name)
		require.Empty(t, contentType, "application/json")
		_, again, err := envelope.Format{}.Encode(t.Context(), e)
		require.NoError(t, err, name)
		require.Equal(t, string(body), string(again), name)
		back, err := payload.DecodeEnvelope(body)
		require.NoError(t, err, name)
		want, err := e.Encode()
		require.NoError(t, err, name)
		have, err := back.Event.Encode()
		require.NoError(t, err, name)
		require.Equal(t, string(want), string(have), name)
	}
}

func TestHostile(t *testing.T) {
	t.Parallel()
	for name, text := range formattest.Hostile() {
		check(t, "cache.warmed", text, name)
		check(t, "deploy.failed", text, name)
	}
}

func FuzzEncode(f *testing.F) {
	formattest.Seeds(f, 0)
	f.Fuzz(func(t *testing.T, typ, text string) { check(t, typ, text, "") })
}

// check requires an envelope with the values of the event, in the event's own
// bytes.
func check(t testing.TB, typ, text, name string) {
	t.Helper()
	e := formattest.HostileEvent(payload.Type(typ), text)
	_, body, err := envelope.New().Encode(t.Context(), e)
	own, ownErr := e.Encode()
	require.Equal(t, ownErr == nil, err == nil, name)
	if err != nil {
		return
	}
	back, err := payload.DecodeEnvelope(body)
	require.NoError(t, err, name)
	have, err := back.Event.Encode()
	require.NoError(t, err, name)
	require.Equal(t, string(own), string(have), name)
}

// A sent delivery is signed over the envelope. Its ID is the same in the header
// and in data.
func TestSend(t *testing.T) {
	t.Parallel()
	scheme, err := signer.NewStandard(signer.GenerateSecret())
	require.NoError(t, err)
	network := sendertest.NewNetwork(t)
	server := network.Endpoint().Verify(scheme)
	ep := server.To(scheme)
	ep.BodyFormat = envelope.New()
	event := formattest.Events()["deploy_live"]
	event.DeliveryID = ""
	_, err = network.Sender().Send(t.Context(), ep, event)
	require.NoError(t, err)
	server.WantRequests(1)
	request := server.Arrivals()[0]
	require.Equal(t, "application/json", request.Header.Get("Content-Type"))
	v, err := payload.DecodeEnvelope(request.Body)
	require.NoError(t, err)
	require.Equal(t, request.Verified.ID, v.Event.DeliveryID)
	require.NotEmpty(t, v.Event.DeliveryID)
	require.Equal(t, event.DeploymentID, v.Event.DeploymentID)
}
