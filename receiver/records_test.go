package receiver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/receivertest"
)

// recordTest is a records handler with a store and a log that can be inspected.
type recordTest struct {
	store  *receivertest.Store
	lines  bytes.Buffer
	served http.Handler
	post   func(body string) *httptest.ResponseRecorder
}

func newRecordTest(t *testing.T, decode receiver.RecordDecoder, h receiver.RecordHandler) *recordTest {
	t.Helper()
	scheme := newScheme(t)
	rt := &recordTest{store: receivertest.NewStore(t)}
	rcv := newReceiver(t, scheme, receiver.WithDedupe(rt.store, "test"),
		receiver.WithLogger(slog.New(slog.NewTextHandler(&rt.lines, nil))))
	rt.served = rcv.Records(decode, h)
	rt.post = func(body string) *httptest.ResponseRecorder {
		return serve(rt.served, signedRequest(t, scheme, "", body))
	}
	return rt
}

// line returns the one line logged since the last call.
func (rt *recordTest) line(t *testing.T) string {
	t.Helper()
	text := rt.lines.String()
	rt.lines.Reset()
	if before, after, ok := strings.Cut(text, "\n"); ok && strings.Contains(before, "bodies have no deadline") {
		text = after // skip the one warning about the ResponseRecorder's missing deadline
	}
	require.Equal(t, 1, strings.Count(text, "\n"), text)
	return text
}

func TestRecords_DecodedBeforeTheClaim(t *testing.T) {
	t.Parallel()
	var result error
	rt := newRecordTest(t, func(context.Context, []byte) (*payload.Deployment, error) { return nil, result },
		func(context.Context, *payload.Deployment) error { panic("called") })
	_, invalid := payload.DecodeDeployment([]byte(`{`))
	require.Error(t, invalid)
	for _, c := range []struct {
		err     error
		status  int
		body    string
		outcome string
	}{
		{fmt.Errorf("test: %w: a ping", payload.ErrIgnored), 200, `{"received":true,"ignored":true}`, "level=INFO .*outcome=ignored .*a ping"},
		{fmt.Errorf("internal detail: %w", invalid), 400, `{"error":"Invalid payload: body must be valid JSON, but ends too early"}`, "level=WARN .*outcome=invalid "},
		{errors.New("the table is down"), 500, `{"error":"Delivery was not handled"}`, "level=ERROR .*outcome=failed .*the table is down"},
		{receiver.TryAgain(7*time.Second, nil), 503, `{"error":"Temporarily unavailable"}`, "level=ERROR .*outcome=unavailable"},
		{nil, 500, `{"error":"Delivery was not handled"}`, "outcome=failed .*neither a record nor an error"},
	} {
		result = c.err
		w := rt.post(`{}`)
		assert.Equal(t, c.status, w.Code)
		assert.Equal(t, c.body, w.Body.String())
		assert.Regexp(t, c.outcome, rt.line(t))
	}
	assert.Zero(t, rt.store.Calls(receivertest.Claim)+rt.store.Calls(receivertest.Complete)+rt.store.Calls(receivertest.Release), "the store was never called")
}

func TestRecords_DecoderPanics(t *testing.T) {
	t.Parallel()
	rt := newRecordTest(t, func(context.Context, []byte) (*payload.Deployment, error) { panic("a lookup of ours") },
		func(context.Context, *payload.Deployment) error { return nil })
	assert.Equal(t, 500, rt.post(`{}`).Code)
	assert.Contains(t, rt.lines.String(), "outcome=panicked")
	assert.Zero(t, rt.store.Calls(receivertest.Claim))
}

func TestRecords_HandlerIsCalledOnce(t *testing.T) {
	t.Parallel()
	want := `{"deploymentId":"d1","commitSha":"abcdef1","environment":"production","status":"pending","startedAt":"2026-03-12T14:22:01Z"}`
	var handled []string
	scheme := newScheme(t)
	var lines bytes.Buffer
	rcv := newReceiver(t, scheme, receiver.WithDedupe(newMemory(t), "test"), receiver.WithLogger(slog.New(slog.NewTextHandler(&lines, nil))))
	decode := func(ctx context.Context, body []byte) (*payload.Deployment, error) {
		d, ok := receiver.FromContext(ctx)
		require.True(t, ok)
		assert.Equal(t, want, string(d.Body))
		return payload.DecodeDeployment(body)
	}
	h := rcv.Records(decode, func(ctx context.Context, d *payload.Deployment) error {
		delivery, ok := receiver.FromContext(ctx)
		require.True(t, ok)
		assert.Same(t, d, delivery.Deployment)
		handled = append(handled, d.DeploymentID)
		return nil
	})
	for _, answer := range []string{`{"received":true}`, `{"received":true,"duplicate":true}`} {
		w := serve(h, signedRequest(t, scheme, "msg_1", want))
		assert.Equal(t, 200, w.Code)
		assert.Equal(t, answer, w.Body.String())
	}
	assert.Equal(t, []string{"d1"}, handled)
	assert.Contains(t, lines.String(), "outcome=handled status=200")
	assert.Contains(t, lines.String(), "deployment_id=d1 deployment_status=pending")
}

func TestDelivery_ReplyAndAttrs(t *testing.T) {
	t.Parallel()
	fail := errors.New("the count is unknown")
	var result error
	rt := newRecordTest(t,
		func(context.Context, []byte) (*payload.Deployment, error) {
			return &payload.Deployment{DeploymentID: "d"}, nil
		},
		func(ctx context.Context, _ *payload.Deployment) error {
			d, _ := receiver.FromContext(ctx)
			d.Reply(201, []byte(`{"number":7}`))
			d.AddAttrs(slog.Int("number", 7))
			return result
		})
	w := rt.post(`{"a":1}`)
	assert.Equal(t, 201, w.Code)
	assert.Equal(t, `{"number":7}`, w.Body.String())
	assert.Regexp(t, "level=INFO .*outcome=handled status=201 .*number=7", rt.line(t))

	result = receiver.Incomplete(fail)
	require.ErrorIs(t, result, fail)
	w = rt.post(`{"a":2}`)
	assert.Equal(t, 201, w.Code, "the delivery took effect")
	assert.Regexp(t, `level=ERROR .*outcome=handled status=201 .*error="the count is unknown"`, rt.line(t))
	assert.Equal(t, 2, rt.store.Calls(receivertest.Complete))

	result = fail
	w = rt.post(`{"a":3}`)
	assert.Equal(t, 500, w.Code, "a failure is answered as one")
	assert.Equal(t, 1, rt.store.Calls(receivertest.Release))
	require.NoError(t, receiver.Incomplete(nil))
}
