package sender_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

func atOnce() sender.Option { return sender.WithSchedule(sender.Scaled(sender.Pipeline, 0)) }

// A key service that throttles once costs one attempt. What a retry can't
// change is final.
func TestSignerFailuresFollowTheSchedule(t *testing.T) {
	t.Parallel()
	s := newSender(t, atOnce())
	fake(s, statuses(200))
	throttled := 2
	receipt, err := s.Deliver(t.Context(), sender.Endpoint{
		URL: sender.NewURL("https://a.example"),
		Signer: signFunc(func(ctx context.Context, r *http.Request, _ string, _ time.Time, _ []byte) error {
			if throttled--; throttled >= 0 {
				return errors.New("throttled")
			}
			r.Header.Set("X-Signature", "ok")
			return nil
		}),
	}, message())
	require.NoError(t, err)
	require.Equal(t, sender.Delivered, receipt.Outcome)
	require.Len(t, receipt.Attempts, 3)
	require.Equal(t, sender.Failed, receipt.Attempts[0].Outcome)
	require.Equal(t, sender.ClassSigner, receipt.Attempts[0].Class)

	for _, misuse := range []error{
		signer.ErrNoActiveKey, signer.ErrInvalidMessage, signer.ErrConfig, signer.ErrInvalidSecret, sender.ErrUnsigned,
	} {
		receipt, err := s.Deliver(t.Context(), sender.Endpoint{
			URL: sender.NewURL("https://a.example"),
			Signer: signFunc(func(context.Context, *http.Request, string, time.Time, []byte) error {
				return fmt.Errorf("no: %w", misuse)
			}),
		}, message())
		require.ErrorIs(t, err, misuse)
		require.ErrorIs(t, err, sender.ErrRefused)
		require.Len(t, receipt.Attempts, 1)
		require.Equal(t, sender.Refused, receipt.Outcome)
	}
}

// A host has a forbidden address, and a permitted one that refuses connections.
// Their order in DNS does not matter.
func TestMixedAddressesAreRetried(t *testing.T) {
	t.Parallel()
	dns := newNameServer(t)
	s, err := sender.New(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.1/32")), sender.WithResolver(dns.resolver()), atOnce())
	require.NoError(t, err)
	defer s.Close()
	for _, addrs := range [][]string{{"127.0.0.2", "127.0.0.1"}, {"127.0.0.1", "127.0.0.2"}} {
		dns.set("mixed.test", addrs...)
		receipt, err := s.Deliver(t.Context(), sender.Endpoint{URL: sender.NewURL("https://mixed.test:1"), Signer: standard(t)}, message())
		require.ErrorIs(t, err, sender.ErrExhausted, "%v", addrs)
		require.Len(t, receipt.Attempts, 7)
		for _, a := range receipt.Attempts {
			require.Equal(t, sender.Failed, a.Outcome)
			require.Equal(t, sender.ClassConnect, a.Class)
		}
	}
	dns.set("mixed.test", "127.0.0.2", "127.0.0.3")
	receipt, err := s.Deliver(t.Context(), sender.Endpoint{URL: sender.NewURL("https://mixed.test:1"), Signer: standard(t)}, message())
	require.ErrorIs(t, err, sender.ErrForbiddenAddress)
	require.Len(t, receipt.Attempts, 1, "where nothing is permitted, a retry changes nothing")
}

// That the endpoint asks for a retry counts, not how long it asks to wait.
func TestRetryAfterZeroIsARequestForARetry(t *testing.T) {
	t.Parallel()
	for value, attempts := range map[string]int{"0": 2, "1": 2, "Thu, 12 Mar 2020 14:22:01 GMT": 2, "soon": 1, "": 1} {
		s := newSender(t, atOnce(), sender.WithStopOnClientError(), sender.WithMaxRetryAfter(time.Nanosecond))
		calls := fake(s, func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				return answer(404, "Retry-After", value)
			}
			return answer(200)
		})
		_, err := s.Deliver(t.Context(), sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t)}, message())
		require.Equal(t, attempts == 1, errors.Is(err, sender.ErrRejected), "%q", value)
		require.EqualValues(t, attempts, calls.n.Load(), "%q", value)
	}
}

// connections is a TLS server that reports each connection that ends.
func connections(t *testing.T, http2 bool, config *tls.Config, h http.HandlerFunc) (server *httptest.Server, roots *x509.CertPool, ended chan struct{}) {
	t.Helper()
	ended = make(chan struct{}, 1024) // the server blocks while it is full
	server = httptest.NewUnstartedServer(h)
	server.EnableHTTP2 = http2
	server.TLS = config
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			ended <- struct{}{}
		}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	roots = x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return server, roots, ended
}

// A Sender that is closed during an attempt leaves no connection open after it.
func TestCloseDuringAnAttempt(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		for _, when := range []string{"signing", "answering"} {
			t.Run(fmt.Sprintf("HTTP2=%t, %s", http2, when), func(t *testing.T) {
				t.Parallel()
				var s *sender.Sender
				server, roots, ended := connections(t, http2, nil, func(w http.ResponseWriter, _ *http.Request) {
					if when == "answering" {
						s.Close()
					}
					_, _ = w.Write([]byte("done"))
				})
				s = newSender(t, sender.WithRootCAs(roots))
				own := standard(t)
				a := attempt(t, s, sender.Endpoint{
					URL: sender.NewURL(server.URL),
					Signer: signFunc(func(ctx context.Context, r *http.Request, id string, at time.Time, body []byte) error {
						if when == "signing" {
							s.Close()
						}
						return own.Sign(ctx, r, id, at, body)
					}),
				})
				require.NoError(t, a.Err)
				select {
				case <-ended:
				case <-time.After(patience):
					t.Fatal("the connection is still open")
				}
				require.ErrorIs(t, attempt(t, s, sender.Endpoint{URL: sender.NewURL(server.URL), Signer: own}).Err, sender.ErrClosed)
			})
		}
	}
}

// With TLS 1.3 the endpoint asks for a certificate after the handshake.
func TestMissingClientCertificateIsATLSFailure(t *testing.T) {
	t.Parallel()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server, roots, _ := connections(t, false, &tls.Config{
			ClientAuth: tls.RequireAnyClientCert, MinVersion: version, MaxVersion: version,
		}, func(http.ResponseWriter, *http.Request) {})
		s := newSender(t, sender.WithRootCAs(roots))
		a := attempt(t, s, sender.Endpoint{URL: sender.NewURL(server.URL), Signer: standard(t)})
		require.Equal(t, sender.ClassTLS, a.Class, "%v", a.Err)
		require.ErrorContains(t, a.Err, "certificate")
	}
}
