package receiver_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/receivertest"
)

func TestWrap(t *testing.T) {
	t.Parallel()
	scheme := newScheme(t)
	for _, c := range []struct {
		name    string
		next    http.HandlerFunc
		status  int
		body    string
		handled bool
	}{
		{"writes", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Own", "1")
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, "own body")
		}, 202, "own body", true},
		{"silent", func(http.ResponseWriter, *http.Request) {}, 200, "", true},
		{"early hints first", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusCreated)
			w.WriteHeader(http.StatusTeapot) // net/http ignores a second WriteHeader too
		}, 201, "", true},
		{"400", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "mine", 400) }, 400, "mine\n", false},
		{"302", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(302) }, 302, "", false},
		{"panics after writing 200", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "half"); panic("no") }, 500, `{"error":"Delivery was not handled"}`, false},
		{"invalid status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(42) }, 500, `{"error":"Delivery was not handled"}`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			store := receivertest.NewStore(t)
			h := newReceiver(t, scheme, receiver.WithDedupe(store, "test")).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				require.Equal(t, "not an event", readAll(t, r.Body))
				require.EqualValues(t, len("not an event"), r.ContentLength)
				require.Empty(t, r.TransferEncoding)
				d, ok := receiver.FromContext(r.Context())
				require.True(t, ok)
				require.Equal(t, "not an event", string(d.Body))
				require.Nil(t, d.Event)
				c.next(w, r)
			}))
			r := signedRequest(t, scheme, "whk_1", "not an event")
			r.ContentLength, r.TransferEncoding = -1, []string{"chunked"}
			w := serve(h, r)
			require.Equal(t, c.status, w.Code)
			require.Equal(t, c.body, w.Body.String())
			if c.name == "writes" {
				require.Equal(t, "1", w.Header().Get("X-Own"))
			}
			require.Equal(t, c.handled, store.Calls(receivertest.Complete) == 1)
			require.Equal(t, !c.handled, store.Calls(receivertest.Release) == 1)
		})
	}
}

// Handlers commonly return without writing when their context has ended. That
// is not a success.
func TestWrap_ReleasesWhenContextEnds(t *testing.T) {
	t.Parallel()
	scheme := newScheme(t)
	store := receivertest.NewStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	h := newReceiver(t, scheme, receiver.WithDedupe(store, "test")).Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	serve(h, signedRequest(t, scheme, "whk_1", eventBody).WithContext(ctx))
	require.Equal(t, 1, store.Calls(receivertest.Release))
	require.Zero(t, store.Calls(receivertest.Complete))
}

// The sender must not see the wrapped handler's 200 if the delivery could not
// be remembered.
func TestWrap_AnswersAfterCompletion(t *testing.T) {
	t.Parallel()
	scheme := newScheme(t)
	store := receivertest.NewStore(t).Every(receivertest.Complete, receivertest.Fails(errors.New("down")))
	h := newReceiver(t, scheme, receiver.WithDedupe(store, "test")).Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "done")
	}))
	w := serve(h, signedRequest(t, scheme, "", eventBody))
	require.Equal(t, 503, w.Code)
	require.NotContains(t, w.Body.String(), "done")
}
