package sender_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// Only the proxy knows the name. It is asked for the name, and TLS is with the
// endpoint of that name.
func TestProxyResolvesNames(t *testing.T) {
	t.Parallel()
	endpoint := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(endpoint.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(endpoint.URL, "https://"), ":")
	forward := newForward(t, false)
	forward.rewrite = func(string) string { return "127.0.0.1:" + port }
	roots := endpoint.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	options := []sender.Option{sender.WithProxy(parsed(t, forward.URL)), sender.WithRootCAs(roots), sender.WithResolver(newNameServer(t).resolver())}

	ep := sender.Endpoint{URL: sender.NewURL("https://example.com:" + port + "/hook"), Signer: standard(t)}
	s, err := sender.New(options...)
	require.NoError(t, err)
	defer s.Close()
	require.Equal(t, sender.ClassDNS, attempt(t, s, ep).Class, "without the option the name must resolve here")
	require.Empty(t, forward.asked)

	s, err = sender.New(append(options, sender.InsecureProxyResolves())...)
	require.NoError(t, err)
	defer s.Close()
	require.NoError(t, s.Check(t.Context(), ep))
	a := attempt(t, s, ep)
	require.NoError(t, a.Err)
	require.Equal(t, http.StatusAccepted, a.Status)
	require.Equal(t, []string{"CONNECT example.com:" + port}, forward.asked)

	// The guard still checks everything that it can see.
	ep.URL = sender.NewURL("https://169.254.169.254:" + port)
	require.ErrorIs(t, attempt(t, s, ep).Err, sender.ErrForbiddenAddress)
	require.ErrorIs(t, s.Check(t.Context(), ep), sender.ErrForbiddenAddress)
	plain, err := sender.New(append(options, sender.InsecureProxyResolves(), sender.AllowNetworks(netip.MustParsePrefix("10.0.0.0/8")))...)
	require.NoError(t, err)
	defer plain.Close()
	ep.URL = sender.NewURL("http://example.com")
	require.ErrorIs(t, attempt(t, plain, ep).Err, sender.ErrRefused)
	narrow, err := sender.New(append(options, sender.InsecureProxyResolves(), sender.WithPorts(1))...)
	require.NoError(t, err)
	defer narrow.Close()
	ep.URL = sender.NewURL("https://example.com:" + port)
	require.ErrorIs(t, attempt(t, narrow, ep).Err, sender.ErrRefused)
	require.ErrorIs(t, narrow.Check(t.Context(), ep), sender.ErrRefused, "nothing else would look at the port")
}

func TestProxyResolvesNeedsAProxy(t *testing.T) {
	t.Parallel()
	_, err := sender.New(sender.InsecureProxyResolves())
	require.ErrorIs(t, err, sender.ErrConfig)
	require.ErrorContains(t, err, "InsecureProxyResolves")
}
