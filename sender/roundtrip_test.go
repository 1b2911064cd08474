package sender_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

func clientOf(t *testing.T, opts ...sender.Option) *http.Client {
	t.Helper()
	s, err := sender.New(opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return &http.Client{Transport: s.Transport()}
}

func get(t *testing.T, c *http.Client, to string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to, nil)
	require.NoError(t, err)
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(text), nil
}

// Other requests are under the same guard as deliveries, after redirects, too.
func TestTransport_IsGuarded(t *testing.T) {
	t.Parallel()
	private := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "secret") }))
	t.Cleanup(private.Close)
	allowed := netip.MustParsePrefix("127.0.0.1/32")
	port := netip.MustParseAddrPort(strings.TrimPrefix(private.URL, "http://")).Port()

	text, err := get(t, clientOf(t, sender.AllowNetworks(allowed)), private.URL)
	require.NoError(t, err)
	require.Equal(t, "secret", text)

	_, err = get(t, clientOf(t, sender.InsecureHTTP()), private.URL)
	require.ErrorIs(t, err, sender.ErrForbiddenAddress, "an address in the URL")
	_, err = get(t, clientOf(t, sender.InsecureHTTP()), strings.Replace(private.URL, "127.0.0.1", "localhost", 1))
	require.ErrorIs(t, err, sender.ErrForbiddenAddress, "a name, by the guard of the dial")
	_, err = get(t, clientOf(t, sender.AllowNetworks(allowed), sender.WithPorts(443)), private.URL)
	require.ErrorIs(t, err, sender.ErrRefused, "a port")

	redirecting := httptest.NewUnstartedServer(http.RedirectHandler(strings.Replace(private.URL, "127.0.0.1", "127.0.0.2", 1), http.StatusFound))
	redirecting.Start()
	t.Cleanup(redirecting.Close)
	_, err = get(t, clientOf(t, sender.AllowNetworks(allowed)), redirecting.URL)
	require.ErrorIs(t, err, sender.ErrForbiddenAddress, "127.0.0.2:%d is in no allowed network", port)
}

func TestTransport_RefusesURLs(t *testing.T) {
	t.Parallel()
	for to, want := range map[string]string{
		"http://a.example":               "not https",
		"https://user:secret@a.example":  "user information",
		"ftp://a.example":                "not https",
		"https:///path":                  "no host",
		"https://[::ffff:10.0.0.1]/path": "not a public address",
	} {
		s, err := sender.New()
		require.NoError(t, err)
		u, err := url.Parse(to)
		require.NoError(t, err)
		body := &closing{}
		_, err = s.Transport().RoundTrip(&http.Request{URL: u, Header: http.Header{}, Body: body})
		require.ErrorContains(t, err, want, to)
		require.NotContains(t, err.Error(), "secret")
		require.True(t, body.closed, to)
		require.NoError(t, s.Close())
	}
}

// closing notes that it was closed.
type closing struct{ closed bool }

func (c *closing) Read([]byte) (int, error) { return 0, io.EOF }
func (c *closing) Close() error             { c.closed = true; return nil }

func TestTransport_OfAClosedSender(t *testing.T) {
	t.Parallel()
	s, err := sender.New()
	require.NoError(t, err)
	client := &http.Client{Transport: s.Transport()}
	require.NoError(t, s.Close())
	_, err = get(t, client, "https://a.example")
	require.ErrorIs(t, err, sender.ErrClosed)
	client.CloseIdleConnections()

	var zero *sender.Sender
	_, err = get(t, &http.Client{Transport: zero.Transport()}, "https://a.example")
	require.ErrorIs(t, err, sender.ErrConfig)
}
