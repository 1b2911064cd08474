package outbox_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// authority issues client certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	pem  string
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{key: newECDSA(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(raw)
	require.NoError(t, err)
	a.pem = encodePEM("CERTIFICATE", raw)
	return a
}

func newECDSA(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

// issue returns a certificate for the key, and the key, in PEM.
func (a *authority) issue(t testing.TB, key crypto.Signer, change func(*x509.Certificate)) (cert, private string) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "shop", Organization: []string{"Acme"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return encodePEM("CERTIFICATE", raw), encodePEM("PRIVATE KEY", der)
}

func (a *authority) certificate(t testing.TB, name string) outbox.ClientCertificate {
	t.Helper()
	cert, key := a.issue(t, newECDSA(t), func(c *x509.Certificate) { c.Subject.CommonName = name })
	return outbox.NewClientCertificate(cert+a.pem, key)
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// demanding is a customers' server that takes the certificates of an authority.
// It passes on the name in each certificate, or "none".
func demanding(t testing.TB, a *authority, auth tls.ClientAuthType) (url string, roots sender.Option, names chan string) {
	t.Helper()
	names = make(chan string, 64)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if certs := r.TLS.PeerCertificates; len(certs) > 0 {
			names <- certs[0].Subject.CommonName
			return
		}
		names <- "none"
	}))
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	server.TLS = &tls.Config{ClientAuth: auth, ClientCAs: pool}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	return server.URL, sender.WithRootCAs(trusted), names
}

func (w *world) startWith(t testing.TB, opts ...sender.Option) *outbox.Outbox {
	t.Helper()
	return w.start(t, outbox.WithSender(append(opts, sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")))...))
}

// Each endpoint presents its own certificate, although all have the same host.
// A changed certificate is presented by the next attempt, and a removed one by
// none.
func TestClientCertificate_IsTheEndpointsOwn(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		ca := newAuthority(t, "ca")
		url, roots, names := demanding(t, ca, tls.VerifyClientCertIfGiven)
		o := w.startWith(t, roots)
		deliver := func(app string) string {
			p := publish(t, o.App(app), event(payload.DeployLive, "dep_1"))
			settled(t, o, p.Deliveries[0].ID, outbox.Delivered)
			return <-names
		}
		ids := map[string]string{}
		for _, app := range []string{"one", "two", "none"} {
			c := endpointAt(url + "/" + app)
			if app != "none" {
				c.ClientCertificate = ca.certificate(t, app)
			}
			e, _ := create(t, o.App(app), c)
			ids[app] = e.ID
		}
		for range 3 {
			for app := range ids {
				require.Equal(t, app, deliver(app))
			}
		}
		_, err := o.App("two").UpdateEndpoint(t.Context(), ids["two"], outbox.EndpointUpdate{ClientCertificate: new(ca.certificate(t, "changed"))})
		require.NoError(t, err)
		require.Equal(t, "changed", deliver("two"))
		require.Equal(t, "one", deliver("one"))
		got, err := o.App("two").UpdateEndpoint(t.Context(), ids["two"], outbox.EndpointUpdate{ClientCertificate: new(outbox.ClientCertificate{})})
		require.NoError(t, err)
		require.Empty(t, got.CertificateSubject)
		require.Zero(t, got.CertificateNotAfter)
		require.Equal(t, "none", deliver("two"))
	})
}

// Only the subject and the end of a certificate are shown, and they survive
// other changes and other processes.
func TestClientCertificate_IsShownWithoutItsKey(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		ca := newAuthority(t, "ca")
		o := w.open(t)
		end := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
		cert, key := ca.issue(t, newECDSA(t), func(c *x509.Certificate) { c.NotAfter = end })
		c := endpointAt("https://127.0.0.1:1/hook")
		c.ClientCertificate = outbox.NewClientCertificate(cert, key)
		e, _ := create(t, o.App("shop"), c)
		require.Equal(t, "CN=shop,O=Acme", e.CertificateSubject)
		require.Equal(t, end, e.CertificateNotAfter)
		updated, err := o.App("shop").UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{Description: new("moved")})
		require.NoError(t, err)
		_, err = o.App("shop").RotateSecret(t.Context(), e.ID, "", 0)
		require.NoError(t, err)
		read, err := w.open(t).App("shop").Endpoint(t.Context(), e.ID)
		require.NoError(t, err)
		for _, got := range []outbox.Endpoint{updated, read} {
			require.Equal(t, e.CertificateSubject, got.CertificateSubject)
			require.Equal(t, end, got.CertificateNotAfter)
		}
		require.Contains(t, outbox.EndpointUpdate{ClientCertificate: &c.ClientCertificate}.String(), "client certificate true")
	})
}

// A certificate without a subject is named by its other names, or else by its
// fingerprint.
func TestClientCertificate_Subject(t *testing.T) {
	t.Parallel()
	ca, o := newAuthority(t, "ca"), (&world{path: outbox.NewSQLite(t)}).open(t, outbox.WithMaxEndpoints(50))
	spiffe, err := url.Parse("spiffe://acme/ns/ci")
	require.NoError(t, err)
	for want, change := range map[string]func(c *x509.Certificate){
		"ci.acme.example":     func(c *x509.Certificate) { c.DNSNames = []string{"ci.acme.example"} },
		"spiffe://acme/ns/ci": func(c *x509.Certificate) { c.URIs = []*url.URL{spiffe} },
		"sha256:":             func(*x509.Certificate) {},
		"CN=a\\,b  c":         func(c *x509.Certificate) { c.Subject.CommonName = "a,b\x00\nc" },
		"CN=" + strings.Repeat("x", 1021): func(c *x509.Certificate) {
			c.Subject.CommonName = strings.Repeat("x", 5000)
		},
	} {
		cert, key := ca.issue(t, newECDSA(t), func(c *x509.Certificate) { c.Subject = pkix.Name{}; change(c) })
		c := endpointAt("https://127.0.0.1:1/" + rand.Text())
		c.ClientCertificate = outbox.NewClientCertificate(cert, key)
		e, _ := create(t, o.App("shop"), c)
		require.True(t, strings.HasPrefix(e.CertificateSubject, want), e.CertificateSubject)
		require.LessOrEqual(t, len(e.CertificateSubject), 1024)
	}
}

// Every form of key that TLS can use is accepted, also in one text with the
// certificate and behind others.
func TestClientCertificate_Forms(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca")
	target, roots, names := demanding(t, ca, tls.RequireAndVerifyClientCert)
	o := (&world{path: outbox.NewSQLite(t)}).startWith(t, roots)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	ecKey := newECDSA(t)
	sec1, err := x509.MarshalECPrivateKey(ecKey)
	require.NoError(t, err)
	ecCert, ecPEM := ca.issue(t, ecKey, nil)
	rsaCert, rsaPEM := ca.issue(t, rsaKey, nil)
	edCert, edPEM := ca.issue(t, edKey, nil)
	for name, cert := range map[string]outbox.ClientCertificate{
		"RSA":      outbox.NewClientCertificate(rsaCert, rsaPEM),
		"PKCS1":    outbox.NewClientCertificate(rsaCert, encodePEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey))),
		"ECDSA":    outbox.NewClientCertificate(ecCert+ca.pem, ecPEM),
		"SEC1":     outbox.NewClientCertificate("Bag Attributes\n"+ecCert, encodePEM("EC PARAMETERS", []byte{6, 0})+encodePEM("EC PRIVATE KEY", sec1)),
		"Ed25519":  outbox.NewClientCertificate(edCert, edPEM),
		"one text": outbox.NewClientCertificate(ecPEM+ecCert+ca.pem, ecPEM+ecCert+ca.pem),
	} {
		c := endpointAt(target)
		c.ClientCertificate = cert
		create(t, o.App(name), c)
		p := publish(t, o.App(name), event(payload.DeployLive, "dep_1"))
		settled(t, o, p.Deliveries[0].ID, outbox.Delivered)
		require.Equal(t, "shop", <-names, name)
	}
}

// A certificate that can't be used is refused when it is entered. The error
// says why, and shows nothing of the key.
func TestClientCertificate_Mistakes(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t, "ca"), newAuthority(t, "other ca")
	cert, key := ca.issue(t, newECDSA(t), nil)
	_, otherKey := ca.issue(t, newECDSA(t), nil)
	ended := time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC)
	expired, expiredKey := ca.issue(t, newECDSA(t), func(c *x509.Certificate) { c.NotBefore, c.NotAfter = ended.Add(-time.Hour), ended })
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	require.NoError(t, err)
	p224Cert, p224Key := ca.issue(t, p224, nil)
	block, _ := pem.Decode([]byte(key))
	o := (&world{path: outbox.NewSQLite(t)}).open(t)
	for want, c := range map[string]struct{ chain, key, code string }{
		"private key does not match public key":             {cert, otherKey, "client_certificate_invalid"},
		"there is no private key in PEM":                    {cert, "", "client_certificate_invalid"},
		"failed to find any PEM data in certificate":        {"", key, "client_certificate_invalid"},
		"did find a private key; PEM inputs may":            {key, key, "client_certificate_invalid"},
		"failed to parse private key":                       {cert, encodePEM("PRIVATE KEY", []byte("x")), "client_certificate_invalid"},
		"malformed certificate":                             {encodePEM("CERTIFICATE", []byte("x")), key, "client_certificate_invalid"},
		"certificate 2 of the chain is not valid":           {cert + encodePEM("CERTIFICATE", []byte("x")), key, "client_certificate_invalid"},
		"certificate 2 of the chain is not the issuer":      {cert + other.pem, key, "client_certificate_invalid"},
		"the private key is encrypted; give it decrypted":   {cert, encodePEM("ENCRYPTED PRIVATE KEY", block.Bytes), "client_certificate_invalid"},
		"the private key has more than 8192 bytes":          {cert, encodePEM("PRIVATE KEY", make([]byte, 8193)), "client_certificate_invalid"},
		"has more than 65536 bytes":                         {strings.Repeat("x", 65537), key, "client_certificate_invalid"},
		"the key is on the curve P-224":                     {p224Cert, p224Key, "client_certificate_invalid"},
		"expired at 2026-03-12T14:22:01Z; give one that is": {expired, expiredKey, "client_certificate_expired"},
	} {
		config := endpointAt("https://127.0.0.1:1/")
		config.ClientCertificate = outbox.NewClientCertificate(c.chain, c.key)
		_, _, err := o.App("shop").CreateEndpoint(t.Context(), config)
		requireCertificateFault(t, err, want, c.code)
		require.NotContains(t, err.Error(), "-----")
	}
	config := endpointAt("http://127.0.0.1:1/")
	config.ClientCertificate = outbox.NewClientCertificate(cert, key)
	_, _, err = o.App("shop").CreateEndpoint(t.Context(), config)
	requireCertificateFault(t, err, "the URL is http", "client_certificate_invalid")

	config.URL = sender.NewURL("https://127.0.0.1:1/")
	e, _ := create(t, o.App("shop"), config)
	_, err = o.App("shop").UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{ClientCertificate: new(outbox.NewClientCertificate(expired, expiredKey))})
	requireCertificateFault(t, err, "expired at", "client_certificate_expired")
	_, err = o.App("shop").UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{URL: new(sender.NewURL("http://127.0.0.1:1/"))})
	requireCertificateFault(t, err, "the URL is http", "client_certificate_invalid")
}

func requireCertificateFault(t *testing.T, err error, text, code string) {
	t.Helper()
	var fault *outbox.FieldError
	require.ErrorAs(t, err, &fault)
	require.ErrorContains(t, err, text)
	require.Equal(t, "ClientCertificate", fault.Field)
	problems := outbox.Problems(err)
	require.Len(t, problems, 1)
	require.Equal(t, code, problems[0].Code)
	require.Equal(t, "ClientCertificate", problems[0].Field)
}

// An endpoint that demands a certificate fails without one. With one, it is
// active again and what waits is delivered.
func TestClientCertificate_MakesAFailingEndpointActive(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		ca := newAuthority(t, "ca")
		target, roots, names := demanding(t, ca, tls.RequireAndVerifyClientCert)
		o := w.start(t, outbox.WithSender(roots, sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8"))),
			outbox.WithBreaker(1, time.Hour, time.Hour), outbox.WithSchedule(outbox.SchedulePlatform, hourly))
		e, _ := create(t, o.App("shop"), endpointAt(target))
		id := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID
		var d outbox.Delivery
		eventually(t, func() bool {
			var err error
			d, err = o.App("shop").Delivery(context.Background(), id)
			require.NoError(t, err)
			return d.Attempts == 1
		}, "no attempt")
		require.Equal(t, sender.ClassTLS, d.LastClass)
		require.Contains(t, d.LastError, "set Endpoint.ClientCertificate")
		require.Equal(t, "tls_failed", d.Problem().Code)
		waiting := publish(t, o.App("shop"), event(payload.DeployLive, "dep_2")).Deliveries[0].ID
		_, err := o.App("shop").UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{ClientCertificate: new(ca.certificate(t, "shop"))})
		require.NoError(t, err)
		settled(t, o, waiting, outbox.Delivered)
		require.Equal(t, "shop", <-names)
		got, err := o.App("shop").Endpoint(t.Context(), e.ID)
		require.NoError(t, err)
		require.Equal(t, outbox.EndpointActive, got.State)
		require.Zero(t, got.BreakerOpenUntil)
	})
}

// The same certificate with the one of its issuer is another one.
func TestClientCertificate_ChainIsCompleted(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		ca := newAuthority(t, "ca")
		issuerKey := newECDSA(t)
		issuer, _ := ca.issue(t, issuerKey, func(c *x509.Certificate) {
			c.Subject.CommonName, c.IsCA, c.BasicConstraintsValid = "issuer", true, true
		})
		block, _ := pem.Decode([]byte(issuer))
		parsed, err := x509.ParseCertificate(block.Bytes)
		require.NoError(t, err)
		cert, key := (&authority{cert: parsed, key: issuerKey}).issue(t, newECDSA(t), nil)
		target, roots, names := demanding(t, ca, tls.RequireAndVerifyClientCert)
		o := w.start(t, outbox.WithSender(roots, sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8"))),
			outbox.WithBreaker(1, time.Hour, time.Hour), outbox.WithSchedule(outbox.SchedulePlatform, platformIn(50)))
		c := endpointAt(target)
		c.ClientCertificate = outbox.NewClientCertificate(cert, key)
		e, _ := create(t, o.App("shop"), c)
		id := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID
		eventually(t, func() bool { return find(t, o, id).LastClass == sender.ClassTLS }, "no attempt")
		require.Contains(t, find(t, o, id).LastError, "the endpoint may not accept Endpoint.ClientCertificate")
		whole := outbox.NewClientCertificate(cert+issuer, key)
		_, err = o.App("shop").UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{ClientCertificate: &whole})
		require.NoError(t, err)
		settled(t, o, id, outbox.Delivered)
		require.Equal(t, "shop", <-names)
	})
}

// ReSeal covers certificates, and a sealed one can't be moved.
func TestClientCertificate_IsSealed(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		ca := newAuthority(t, "ca")
		target, roots, names := demanding(t, ca, tls.RequireAndVerifyClientCert)
		o := w.open(t)
		var ids []string
		for _, app := range []string{"one", "two"} {
			c := endpointAt(target)
			c.ClientCertificate = ca.certificate(t, app)
			e, _, err := o.App(app).CreateEndpoint(t.Context(), c)
			require.NoError(t, err)
			ids = append(ids, e.ID)
		}
		next := newKey("k2")
		n, err := w.open(t, outbox.WithSealingKeys(next, testKey)).ReSeal(t.Context())
		require.NoError(t, err)
		require.Equal(t, 2, n)
		only := w.start(t, outbox.WithSealingKeys(next), outbox.WithSender(roots))
		settled(t, only, publish(t, only.App("one"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID, outbox.Delivered)
		require.Equal(t, "one", <-names)

		w.exec(t, fmt.Sprintf(`UPDATE {t} SET certificate = (SELECT certificate FROM {t} WHERE id = '%s') WHERE id = '%s'`, ids[1], ids[0]))
		_, _, err = only.App("one").TestEndpoint(t.Context(), ids[0])
		require.ErrorIs(t, err, outbox.ErrUnseal)
		require.ErrorContains(t, err, "column certificate")
		w.exec(t, fmt.Sprintf(`UPDATE {t} SET certificate = keys WHERE id = '%s'`, ids[1]))
		_, _, err = only.App("two").TestEndpoint(t.Context(), ids[1])
		require.ErrorIs(t, err, outbox.ErrUnseal)
	})
}
