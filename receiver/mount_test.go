package receiver_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/receivertest"
)

// Methods that return a handler cannot report a nil callback. The handler
// reports it, before it reads or stores anything.
func TestMount_NilHandlers(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	scheme := newScheme(t)
	store := receivertest.NewStore(t)
	rcv := newReceiver(t, scheme, receiver.WithDedupe(store, "test"), receiver.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	decode := func(context.Context, []byte) (*payload.Deployment, error) { return nil, payload.ErrIgnored }
	handle := func(context.Context, *payload.Deployment) error { return nil }
	for want, h := range map[string]http.Handler{
		"Events: the handler is nil":  rcv.Events(nil),
		"Records: the decoder is nil": rcv.Records(nil, handle),
		"Records: the handler is nil": rcv.Records(decode, nil),
		"Wrap: the handler is nil":    rcv.Wrap(http.HandlerFunc(nil)),
	} {
		log.Reset()
		w := serve(h, signedRequest(t, scheme, "", eventBody))
		require.Equal(t, 503, w.Code, want)
		require.Equal(t, "5", w.Header().Get("Retry-After"))
		require.Contains(t, log.String(), "level=ERROR")
		require.Contains(t, log.String(), "receiver: invalid configuration: "+want)
	}
	require.Zero(t, store.Calls(receivertest.Claim))
}

// Not parallel, because the line goes to the default logger.
func TestMount_ZeroReceiver(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)
	for _, rcv := range []*receiver.Receiver{nil, {}} {
		require.Empty(t, rcv.Faults())
		for _, h := range []http.Handler{
			rcv.Events(ok), rcv.Wrap(http.NotFoundHandler()),
			rcv.Records(func(context.Context, []byte) (*payload.Deployment, error) { return nil, nil }, nil),
		} {
			log.Reset()
			require.Equal(t, 503, serve(h, signedRequest(t, newScheme(t), "", eventBody)).Code)
			require.Contains(t, log.String(), "the Receiver was not made with New")
		}
	}
}

func TestMux_NilAndZero(t *testing.T) {
	t.Parallel()
	for _, mux := range []*receiver.Mux{nil, {}} {
		err := mux.Handle(t.Context(), &payload.Event{})
		require.ErrorIs(t, err, receiver.ErrConfig)
		require.ErrorContains(t, err, "NewMux")
	}
	mux, err := receiver.NewMux(receiver.Route("*", ok))
	require.NoError(t, err)
	err = mux.Handle(t.Context(), nil)
	require.ErrorIs(t, err, receiver.ErrConfig)
	require.ErrorContains(t, err, "the event is nil")
}
