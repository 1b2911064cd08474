// Package sourcetest tests how the receiver handles a failure of the
// application's callback in a source's decoder.
package sourcetest

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/callbacktest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

// Complete is the case for an option WithComplete. decoder returns the source's
// decoder with the option, and body is an event for which the decoder calls it.
//
// The sender gets 500, the delivery is not claimed, and the retry is handled.
func Complete(body []byte, decoder func(func(context.Context, *payload.Deployment) error) (receiver.RecordDecoder, error)) func(*testing.T, *callbacktest.Fault) {
	return func(t *testing.T, f *callbacktest.Fault) {
		store, err := dedupe.NewMemory()
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Close()) })
		scheme, err := signer.NewStandard(signer.GenerateSecret())
		require.NoError(t, err)
		rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "test"), receiver.WithLogger(slog.New(slog.DiscardHandler)))
		require.NoError(t, err)
		broken := true
		decode, err := decoder(func(context.Context, *payload.Deployment) error {
			if broken {
				f.Happen()
			}
			return payload.ErrIgnored
		})
		require.NoError(t, err)
		h := rcv.Records(decode, func(context.Context, *payload.Deployment) error { return nil })
		post := func() int {
			r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			require.NoError(t, scheme.Sign(r.Context(), r, "whk_1", time.Now(), body))
			answer := make(chan int, 1)
			go func() {
				w := httptest.NewRecorder()
				// also if the goroutine ends
				defer func() { answer <- w.Code }()
				h.ServeHTTP(w, r)
			}()
			return <-answer
		}
		want := map[callbacktest.Kind]int{callbacktest.Panics: 500, callbacktest.Exits: 500, callbacktest.Hangs: 200}
		require.Equal(t, want[f.Kind], callbacktest.Outlives(t, f, post))
		if f.Kind != callbacktest.Hangs {
			require.Equal(t, map[string]uint64{"decoder": 1}, rcv.Faults())
		}
		require.Zero(t, store.Len(), "nothing was claimed")
		broken = false
		require.Equal(t, 200, post())
	}
}
