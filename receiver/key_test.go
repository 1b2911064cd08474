package receiver_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

// A delivery without a signed ID is identified by the hash of its body. A
// sender cannot sign an ID that equals such a hash.
func TestKey_SignedIDNeverEqualsBodyHash(t *testing.T) {
	t.Parallel()
	secret, err := signer.NewLiteralSecret("It's a Secret to Everybody")
	require.NoError(t, err)
	unsigned, err := signer.NewGitHub(secret)
	require.NoError(t, err)
	store, handled := newMemory(t), 0
	handler := func(context.Context, *payload.Event) error { handled++; return nil }

	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(eventBody))
	r.Header.Set("Content-Type", "application/json")
	mac := hmac.New(sha256.New, []byte("It's a Secret to Everybody"))
	mac.Write([]byte(eventBody))
	r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	require.JSONEq(t, `{"received":true}`, serve(newReceiver(t, unsigned, receiver.WithDedupe(store, "test")).Events(handler), r).Body.String())

	scheme := newScheme(t)
	sum := sha256.Sum256([]byte(eventBody))
	h := newReceiver(t, scheme, receiver.WithDedupe(store, "test")).Events(handler)
	for _, id := range []string{"sha256" + hex.EncodeToString(sum[:]), hex.EncodeToString(sum[:])} {
		require.JSONEq(t, `{"received":true}`, serve(h, signedRequest(t, scheme, id, eventBody)).Body.String(), id)
	}
	require.Equal(t, 3, handled)
}
