package sender_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// keyPair makes a certificate that signs itself.
func keyPair(t *testing.T) tls.Certificate {
	t.Helper()
	return keyPairUntil(t, time.Now().Add(time.Hour))
}

func keyPairUntil(t *testing.T, end time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: end}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

func clientCertificate(t *testing.T) sender.ClientCertificate {
	t.Helper()
	cert, err := sender.NewClientCertificate(keyPair(t))
	require.NoError(t, err)
	return cert
}

// Each endpoint shows its own certificate. A connection that one has opened is
// not used for another, although the host is the same.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		server, roots, _ := connections(t, http2, &tls.Config{ClientAuth: tls.RequestClientCert}, func(w http.ResponseWriter, r *http.Request) {
			if certs := r.TLS.PeerCertificates; len(certs) > 0 {
				_, _ = fmt.Fprint(w, certs[0].SerialNumber)
			}
		})
		s := newSender(t, sender.WithRootCAs(roots))
		for range 2 {
			for _, ep := range []sender.Endpoint{{}, {ClientCertificate: clientCertificate(t)}, {ClientCertificate: clientCertificate(t)}} {
				ep.URL, ep.Signer = sender.NewURL(server.URL), standard(t)
				want := ""
				if cert := ep.ClientCertificate; !cert.IsZero() {
					want = fmt.Sprint(cert.Reveal().Leaf.SerialNumber)
				}
				for range 2 {
					a := attempt(t, s, ep)
					require.NoError(t, a.Err)
					require.Equal(t, want, string(a.Body))
				}
			}
		}
	}
}

// An endpoint refuses a certificate without the one of its issuer. Once that is
// added, the endpoint gets both, although the certificate is the same.
func TestClientCertificates_ChainIsCompleted(t *testing.T) {
	t.Parallel()
	pair, issuer := keyPair(t), keyPair(t)
	alone, err := sender.NewClientCertificate(pair)
	require.NoError(t, err)
	pair.Certificate = append(pair.Certificate, issuer.Certificate[0])
	chain, err := sender.NewClientCertificate(pair)
	require.NoError(t, err)
	server, trusted, _ := connections(t, false, &tls.Config{
		ClientAuth: tls.RequireAnyClientCert,
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			if len(raw) < 2 {
				return errors.New("the issuer is unknown")
			}
			return nil
		},
	}, func(http.ResponseWriter, *http.Request) {})
	s := newSender(t, sender.WithRootCAs(trusted))
	ep := sender.Endpoint{URL: sender.NewURL(server.URL), Signer: standard(t), ClientCertificate: alone}
	require.Equal(t, sender.ClassTLS, attempt(t, s, ep).Class)
	ep.ClientCertificate = chain
	require.NoError(t, attempt(t, s, ep).Err)

	require.Equal(t, alone.String(), chain.String())
	require.False(t, alone.Equal(chain))
	require.True(t, chain.Equal(chain))
	require.False(t, chain.Equal(sender.ClientCertificate{}))
	require.True(t, sender.ClientCertificate{}.Equal(sender.ClientCertificate{}))
}

// More certificates than the Sender keeps transports for are in use at once. No
// attempt meets a connection of another certificate.
func TestClientCertificates_AreNotMixedUpWhenEvicted(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		server, roots, _ := connections(t, http2, &tls.Config{ClientAuth: tls.RequireAnyClientCert}, func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprint(w, r.TLS.PeerCertificates[0].SerialNumber)
		})
		s, own := newSender(t, sender.WithRootCAs(roots)), standard(t)
		var endpoints []sender.Endpoint
		for range 70 {
			endpoints = append(endpoints, sender.Endpoint{URL: sender.NewURL(server.URL), Signer: own, ClientCertificate: clientCertificate(t)})
		}
		var all sync.WaitGroup
		for worker := range 8 {
			all.Go(func() {
				for i := range endpoints {
					ep := endpoints[(i+worker*9)%len(endpoints)]
					a := attempt(t, s, ep)
					assert.NoError(t, a.Err)
					assert.Equal(t, fmt.Sprint(ep.ClientCertificate.Reveal().Leaf.SerialNumber), string(a.Body))
				}
			})
		}
		all.Wait()
	}
}

// Certificates of very many endpoints do not pile up.
func TestClientCertificatesAreBounded(t *testing.T) {
	t.Parallel()
	server, roots, ended := connections(t, false, &tls.Config{ClientAuth: tls.RequireAnyClientCert}, func(http.ResponseWriter, *http.Request) {})
	s := newSender(t, sender.WithRootCAs(roots))
	for range 66 {
		require.NoError(t, attempt(t, s, sender.Endpoint{URL: sender.NewURL(server.URL), Signer: standard(t), ClientCertificate: clientCertificate(t)}).Err)
	}
	for range 2 {
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatal("no connection was closed")
		}
	}
}

func TestClientCertificateMistakes(t *testing.T) {
	t.Parallel()
	one, other := keyPair(t), keyPair(t)
	for want, cert := range map[string]tls.Certificate{
		"there is no certificate": {},
		"malformed":               {Certificate: [][]byte{{1}}, PrivateKey: one.PrivateKey},
		"no private key":          {Certificate: one.Certificate},
		"does not belong":         {Certificate: one.Certificate, PrivateKey: other.PrivateKey},
	} {
		_, err := sender.NewClientCertificate(cert)
		require.ErrorIs(t, err, sender.ErrConfig)
		require.ErrorContains(t, err, want)
	}
	s := newSender(t)
	a := attempt(t, s, sender.Endpoint{URL: sender.NewURL("http://127.0.0.1:1"), Signer: standard(t), ClientCertificate: clientCertificate(t)})
	require.ErrorIs(t, a.Err, sender.ErrRefused)
	require.ErrorContains(t, a.Err, "Endpoint.ClientCertificate")
}

// The error says whether there is a certificate, and whether it has expired.
func TestClientCertificate_ErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server, roots, _ := connections(t, false, &tls.Config{
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool(), MinVersion: version, MaxVersion: version,
		}, func(http.ResponseWriter, *http.Request) {})
		s := newSender(t, sender.WithRootCAs(roots))
		ended := time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC)
		expired, err := sender.NewClientCertificate(keyPairUntil(t, ended))
		require.NoError(t, err)
		for want, cert := range map[string]sender.ClientCertificate{
			"set Endpoint.ClientCertificate":                                         {},
			"Endpoint.ClientCertificate expired at 2026-03-12T14:22:01Z; replace it": expired,
			"the endpoint may not accept Endpoint.ClientCertificate":                 clientCertificate(t),
		} {
			a := attempt(t, s, sender.Endpoint{URL: sender.NewURL(server.URL), Signer: standard(t), ClientCertificate: cert})
			require.Equal(t, sender.ClassTLS, a.Class, "%v", a.Err)
			require.ErrorContains(t, a.Err, want)
			require.Equal(t, sender.Failed, a.Outcome)
		}
	}
}

func TestClientCertificateShowsItsFingerprint(t *testing.T) {
	t.Parallel()
	cert := clientCertificate(t)
	text, err := json.Marshal(struct{ C sender.ClientCertificate }{cert})
	require.NoError(t, err)
	require.Equal(t, `{"C":"`+cert.String()+`"}`, string(text))
	require.Contains(t, fmt.Sprintf("%#v", cert), "sha256:")
	require.Equal(t, "no certificate", sender.ClientCertificate{}.String())
}
