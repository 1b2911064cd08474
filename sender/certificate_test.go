package sender_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// keyPair makes a certificate that signs itself.
func keyPair(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(time.Hour)}
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

func TestClientCertificateShowsItsFingerprint(t *testing.T) {
	t.Parallel()
	cert := clientCertificate(t)
	text, err := json.Marshal(struct{ C sender.ClientCertificate }{cert})
	require.NoError(t, err)
	require.Equal(t, `{"C":"`+cert.String()+`"}`, string(text))
	require.Contains(t, fmt.Sprintf("%#v", cert), "sha256:")
	require.Equal(t, "no certificate", sender.ClientCertificate{}.String())
}
