package sender_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

// A preview shows the request that an attempt sends. It verifies, and contains
// no credential.
func TestPreview(t *testing.T) {
	t.Parallel()
	scheme, err := signer.NewStandard(signer.GenerateSecret())
	require.NoError(t, err)
	s, err := sender.New()
	require.NoError(t, err)
	defer s.Close()
	ep := sender.Endpoint{URL: sender.NewURL("https://hooks.example.com/deploy?team=1"), Signer: scheme, Header: sender.NewHeader(http.Header{"X-Route": {"canary-route-key"}})}
	msg := sender.Message{ID: "whk_1", Body: []byte(`{"a":1}`)}

	p, err := s.Preview(t.Context(), ep, msg)
	require.NoError(t, err)
	require.Equal(t, http.MethodPost, p.Method)
	require.Equal(t, ep.URL.Reveal(), p.URL.Reveal())
	require.Equal(t, msg.Body, p.Body)
	require.Equal(t, []string{"[redacted]"}, p.Header["X-Route"])
	require.Equal(t, []string{"application/json"}, p.Header["Content-Type"])
	verified, err := scheme.Verify(&http.Request{Header: p.Header}, p.Body)
	require.NoError(t, err)
	require.Equal(t, "whk_1", verified.ID)

	_, err = s.Preview(t.Context(), sender.Endpoint{URL: sender.NewURL("http://127.0.0.1/"), Signer: scheme}, msg)
	require.ErrorIs(t, err, sender.ErrRefused)
	_, err = s.Preview(t.Context(), sender.Endpoint{URL: sender.NewURL("https://hooks.example.com/a b"), Signer: scheme}, msg)
	require.ErrorContains(t, err, "white space", "net/url would have encoded it")
	_, err = s.Preview(t.Context(), sender.Endpoint{URL: ep.URL}, msg)
	require.ErrorIs(t, err, sender.ErrUnsigned)
	_, err = s.Preview(t.Context(), ep, sender.Message{ID: "whk_1"})
	require.ErrorIs(t, err, sender.ErrInvalidMessage)
}

// A signer that sends a key may use any header, so none of its headers is
// shown.
func TestACredentialIsHiddenUnderAnyHeader(t *testing.T) {
	t.Parallel()
	key, err := signer.NewLiteralSecret("canary-api-key-canary")
	require.NoError(t, err)
	s, err := sender.New()
	require.NoError(t, err)
	defer s.Close()
	for _, name := range []string{"X-Service-Id", "X-Key-Signature", "X-Timestamp", "Signature", "Authorization"} {
		bearer, err := signer.NewBearer(key, signer.WithHeader(name))
		require.NoError(t, err)
		p, err := s.Preview(t.Context(), sender.Endpoint{URL: sender.NewURL("https://hooks.example.com/"), Signer: bearer}, sender.Message{ID: "whk_1", Body: []byte("{}")})
		require.NoError(t, err)
		require.Equal(t, []string{"[redacted]"}, p.Header[http.CanonicalHeaderKey(name)])
	}
}

// Without a signature the URL is the credential. No record contains it, even if
// the endpoint repeats it.
func TestAnEchoedURLIsHiddenWhereItIsTheCredential(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", r.URL.RequestURI()+"/")
		w.WriteHeader(http.StatusPermanentRedirect)
		_, _ = io.WriteString(w, "moved to "+r.URL.RequestURI())
	}))
	defer server.Close()
	s, err := sender.New(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")))
	require.NoError(t, err)
	defer s.Close()
	a := s.Attempt(t.Context(), sender.Endpoint{URL: sender.NewURL(server.URL + "/services/T00/canary-url"), Signer: sender.InsecureUnsigned()},
		sender.Message{ID: "whk_1", Body: []byte("{}")})
	require.Equal(t, 308, a.Status)
	require.NotContains(t, fmt.Sprintf("%+v %s", a, a.Body), "canary-url")
	require.Contains(t, string(a.Body), "moved to")
}
