package sender_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/hidden/hiddentest"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

const hiddenCanary = "CANARYCANARYCANARYCANARYCANARYCA"

// credentialed is an endpoint whose URL, header and signer are credentials.
func credentialed(t *testing.T) sender.Endpoint {
	t.Helper()
	key, err := signer.NewLiteralSecret(hiddenCanary)
	require.NoError(t, err)
	bearer, err := signer.NewBearer(key)
	require.NoError(t, err)
	return sender.Endpoint{
		URL:    sender.NewURL("https://hooks.example.com/services/" + hiddenCanary + "?token=" + hiddenCanary),
		Header: sender.NewHeader(http.Header{"X-Api-Key": {hiddenCanary}}), Signer: bearer,
	}
}

// No type shows an endpoint's credentials, neither by itself nor from a field
// of another struct. The test is not parallel, because the dump reads
// net.DefaultResolver, which other tests use.
func TestCredentialsAreHidden(t *testing.T) {
	ep := credentialed(t)
	proxy, err := url.Parse("http://proxy:" + hiddenCanary + "@127.0.0.1:3128")
	require.NoError(t, err)
	ep.ClientCertificate = clientCertificate(t)
	s, err := sender.New(sender.WithProxy(proxy))
	require.NoError(t, err)
	defer s.Close()
	request, err := s.Preview(t.Context(), ep, sender.Message{ID: "whk_1", Body: []byte("{}")})
	require.NoError(t, err)
	hiddentest.RequireHidden(t, []string{hiddenCanary}, ep, ep.ClientCertificate, ep.URL, ep.Header, *request, s, sender.WithProxy(proxy), sender.Endpoint{})
}

func TestURLsAndHeadersAreRevealedOnRequest(t *testing.T) {
	t.Parallel()
	ep := credentialed(t)
	require.Equal(t, "https://hooks.example.com/services/"+hiddenCanary+"?token="+hiddenCanary, ep.URL.Reveal())
	require.Equal(t, "https://hooks.example.com", ep.URL.String())
	require.Equal(t, hiddenCanary, ep.Header.Reveal().Get("X-Api-Key"))
	require.Equal(t, []string{"X-Api-Key"}, ep.Header.Names())
	text, err := json.Marshal(struct {
		URL    sender.URL
		Header sender.Header
	}{ep.URL, ep.Header})
	require.NoError(t, err)
	require.JSONEq(t, `{"URL":"https://hooks.example.com","Header":"header(X-Api-Key)"}`, string(text))

	require.True(t, sender.URL{}.IsZero())
	require.True(t, sender.NewURL("").IsZero())
	require.True(t, sender.NewHeader(nil).IsZero())
	values := http.Header{"X-Route": {"a"}}
	header := sender.NewHeader(values)
	values.Set("X-Route", "b")
	require.Equal(t, "a", header.Reveal().Get("X-Route"), "a copy is kept")
}
