package receiver_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/receivertest"
	"github.com/deployhook/deployhook/signer"
)

const envelopeBody = `{"type":"deploy.live","timestamp":"2026-03-12T14:22:01Z","data":{"deployment_id":"dep_1","app":"shop","environment":"production","tenant":{"n": 1.0}},"id":"evt_1"}`

// The handler gets the same event in both forms, and everything that the sender
// added.
func TestWithEnvelope_TakesBothForms(t *testing.T) {
	t.Parallel()
	scheme := newScheme(t)
	store := receivertest.NewStore(t)
	var got []*receiver.Delivery
	h := newReceiver(t, scheme, receiver.WithDedupe(store, "test"), receiver.WithEnvelope()).Events(
		func(ctx context.Context, e *payload.Event) error {
			d, ok := receiver.FromContext(ctx)
			require.True(t, ok)
			require.Same(t, d.Event, e)
			got = append(got, d)
			return nil
		})
	require.Equal(t, 200, serve(h, signedRequest(t, scheme, "whk_1", envelopeBody)).Code)
	require.Equal(t, `{"received":true,"duplicate":true}`, serve(h, signedRequest(t, scheme, "whk_1", envelopeBody)).Body.String())
	own, err := got[0].Event.Encode()
	require.NoError(t, err)
	require.Equal(t, 200, serve(h, signedRequest(t, scheme, "whk_2", string(own))).Code)
	require.Len(t, got, 2)

	require.Equal(t, got[0].Event, got[1].Event)
	require.Equal(t, envelopeBody, string(got[0].Body))
	require.Same(t, &got[0].Envelope.Event, got[0].Event)
	id, _ := got[0].Envelope.Extra.Get("id")
	require.Equal(t, "evt_1", id.String())
	require.Nil(t, got[1].Envelope)
}

// An invalid envelope is answered before anything is claimed, so its correction
// under the same ID is handled.
func TestWithEnvelope_DecodesBeforeTheClaim(t *testing.T) {
	t.Parallel()
	scheme := newScheme(t)
	store := receivertest.NewStore(t)
	h := newReceiver(t, scheme, receiver.WithDedupe(store, "test"), receiver.WithEnvelope()).Events(ok)
	for body, want := range map[string]string{
		`{"type":"deploy.live","timestamp":"2026-03-12T14:22:01Z","data":{"app":"shop","environment":"production"}}`:                        "data.deployment_id is required",
		`{"type":"deploy.live","timestamp":"2026-03-12T14:22:01Z","data":{"deployment_id":"d","event":"deploy.failed"}}`:                    "data.event must be the same as type, or left out; data.app is required when type is deploy.live; data.environment is required when type is deploy.live",
		`{"type":"build.completed","timestamp":"2026-03-12T14:22:01Z","data":{"deployment_id":"d","timestamp":"2026-03-12T14:22:02Z"}}`:     "data.timestamp must be the same time as timestamp, or left out",
		`{"type":"build.completed","timestamp":"2026-03-12T14:22:01Z","deployment_id":"d"}`:                                                 "data is required",
		`{"timestamp":"2026-03-12T14:22:01Z","data":{"deployment_id":"d"}}`:                                                                 "body must have the member event, or the members type, timestamp and data of an envelope",
		`{"event":"deploy.live","type":"build.completed","timestamp":"2026-03-12T14:22:01Z","data":{"deployment_id":"d"}}`:                  "deployment_id is required; app is required when event is deploy.live; environment is required when event is deploy.live",
		`{"type":"build.completed","timestamp":"2026-03-12T14:22:01Z","data":{"deployment_id":"d"}}{"type":"deploy.live"}`:                  "body must be one valid JSON object and nothing else (error at byte 90)",
		`{"type":"build.completed","type":"deploy.live","timestamp":"2026-03-12T14:22:01Z","data":{"deployment_id":"d","deployment_id":1}}`: "type must not appear more than once",
	} {
		w := serve(h, signedRequest(t, scheme, "whk_1", body))
		require.Equal(t, http.StatusBadRequest, w.Code, body)
		require.Equal(t, `{"error":"Invalid payload: `+want+`"}`, w.Body.String())
	}
	require.Zero(t, store.Calls(receivertest.Claim))
	w := serve(h, signedRequest(t, scheme, "whk_1", envelopeBody))
	require.Equal(t, `{"received":true}`, w.Body.String())
}

// Without the option an envelope is invalid, and the log says what to do. The
// answer does not.
func TestEnvelope_IsOffByDefault(t *testing.T) {
	t.Parallel()
	scheme := newScheme(t)
	var lines bytes.Buffer
	h := newReceiver(t, scheme, receiver.WithDedupe(newMemory(t), "test"),
		receiver.WithLogger(slog.New(slog.NewTextHandler(&lines, nil)))).Events(ok)
	w := serve(h, signedRequest(t, scheme, "", envelopeBody))
	require.Equal(t, http.StatusBadRequest, w.Code)
	require.Equal(t, `{"error":"Invalid payload: event is required; deployment_id is required"}`, w.Body.String())
	require.Contains(t, lines.String(), "accept it with WithEnvelope")
	lines.Reset()
	require.Equal(t, http.StatusBadRequest, serve(h, signedRequest(t, scheme, "", `{"type":"deploy.live"}`)).Code)
	require.NotContains(t, lines.String(), "WithEnvelope")
}

// The body of the specification's example, with the members of a deployment, is
// received as a library of Standard Webhooks signs it: white space included,
// with a fresh timestamp and the ID of the message.
func TestWithEnvelope_ReceivesWhatStandardWebhooksLibrariesSend(t *testing.T) {
	t.Parallel()
	const key = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	secret, err := signer.ParseSecret("whsec_" + key)
	require.NoError(t, err)
	scheme, err := signer.NewStandard(secret)
	require.NoError(t, err)
	var got *receiver.Delivery
	h := newReceiver(t, scheme, receiver.WithDedupe(newMemory(t), "svix"), receiver.WithEnvelope()).Events(
		func(ctx context.Context, _ *payload.Event) error {
			got, _ = receiver.FromContext(ctx)
			return nil
		})

	const body = `{
  "type": "deploy.live",
  "timestamp": "2022-11-03T20:26:10.344522Z",
  "data": {
    "deployment_id": "1f81eb52-5198-4599-803e-771906343485",
    "app": "shop",
    "environment": "production",
    "foo": "bar",
    "fizzbuzz": 2
  }
}`
	const id = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"
	at := strconv.FormatInt(time.Now().Unix(), 10)
	raw, err := base64.StdEncoding.DecodeString(key)
	require.NoError(t, err)
	mac := hmac.New(sha256.New, raw)
	mac.Write([]byte(id + "." + at + "." + body))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/webhooks/deploy", bytes.NewReader([]byte(body)))
	require.NoError(t, err)
	r.Header = http.Header{
		"Content-Type": {"application/json"}, "Webhook-Id": {id}, "Webhook-Timestamp": {at},
		"Webhook-Signature": {"v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))},
	}
	require.Equal(t, 200, serve(h, r).Code)
	require.Equal(t, id, got.ID)
	require.Equal(t, time.Date(2022, 11, 3, 20, 26, 10, 344522000, time.UTC), got.Event.Timestamp)
	require.Equal(t, "1f81eb52-5198-4599-803e-771906343485", got.Event.DeploymentID)
	buzz, _ := got.Event.Extra.Get("fizzbuzz")
	require.Equal(t, "2", buzz.JSON())
}
