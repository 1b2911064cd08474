package interop

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

// The functions below have the snippets of the guide about moving in.

func sendBefore(ctx context.Context, url, secret, id string, body []byte) error {
	wh, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return err
	}
	now := time.Now()
	signature, err := wh.Sign(id, now, body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Webhook-Id", id)
	r.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	r.Header.Set("Webhook-Signature", signature)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func sendAfter(ctx context.Context, s *sender.Sender, url, secret, id string, body []byte) error {
	key, err := signer.ParseSecret(secret)
	if err != nil {
		return err
	}
	scheme, err := signer.NewStandard(key)
	if err != nil {
		return err
	}
	// s is from sender.New, and serves the whole process.
	_, err = s.Deliver(ctx, sender.Endpoint{URL: sender.NewURL(url), Signer: scheme}, sender.Message{ID: id, Body: body})
	return err
}

// A receiver that uses the library accepts what both senders send. ID, body and
// content type are the same.
func TestMoves_Senders(t *testing.T) {
	t.Parallel()
	wh, err := standardwebhooks.NewWebhook(goodSecret)
	require.NoError(t, err)
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || wh.Verify(body, r.Header) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		got = append(got, r.Header.Get("Webhook-Id")+" "+r.Header.Get("Content-Type")+" "+string(body))
	}))
	defer server.Close()
	require.NoError(t, sendBefore(t.Context(), server.URL, goodSecret, testID, bodies["unicode"]))
	s, err := sender.New(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")))
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	require.NoError(t, sendAfter(t.Context(), s, server.URL, goodSecret, testID, bodies["unicode"]))
	want := testID + " application/json " + string(bodies["unicode"])
	require.Equal(t, []string{want, want}, got)
	http.DefaultClient.CloseIdleConnections()
}
