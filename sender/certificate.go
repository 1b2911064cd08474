package sender

import (
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/deployhook/deployhook/internal/hidden"
)

// ClientCertificate is the certificate that an endpoint asks for in its TLS
// handshake, with its private key. It shows nothing but the certificate's
// fingerprint when it is printed, logged or marshalled. Make one with
// [NewClientCertificate]. The zero value is no certificate.
type ClientCertificate struct {
	cert        hidden.Value[tls.Certificate]
	fingerprint [sha256.Size]byte
	chain       [sha256.Size]byte // of all certificates
}

// NewClientCertificate takes a certificate with its chain and its private key,
// from [tls.LoadX509KeyPair] for example. It does not check the dates, since
// the endpoint decides which certificates it takes. Errors wrap [ErrConfig].
func NewClientCertificate(cert tls.Certificate) (ClientCertificate, error) {
	if len(cert.Certificate) == 0 {
		return ClientCertificate{}, fmt.Errorf("%w: NewClientCertificate: there is no certificate; load one with tls.LoadX509KeyPair", ErrConfig)
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return ClientCertificate{}, fmt.Errorf("%w: NewClientCertificate: %w", ErrConfig, err)
	}
	key, ok := cert.PrivateKey.(crypto.Signer)
	if !ok {
		return ClientCertificate{}, fmt.Errorf("%w: NewClientCertificate: there is no private key that can sign", ErrConfig)
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(leaf.PublicKey) {
		return ClientCertificate{}, fmt.Errorf("%w: NewClientCertificate: the private key does not belong to the certificate", ErrConfig)
	}
	cert.Leaf = leaf
	return ClientCertificate{hidden.Of(cert), sha256.Sum256(leaf.Raw), sha256.Sum256(slices.Concat(cert.Certificate...))}, nil
}

// Equal reports whether both have the same certificate and chain, or both have
// none. A certificate has only one key.
func (c ClientCertificate) Equal(other ClientCertificate) bool { return c.chain == other.chain }

// IsZero reports whether there is no certificate.
func (c ClientCertificate) IsZero() bool { return c.cert.IsZero() }

// Reveal returns the certificate with its private key.
func (c ClientCertificate) Reveal() tls.Certificate { return c.cert.Reveal() }

// hint says what to do if the endpoint has refused the handshake.
func (c ClientCertificate) hint(now time.Time) string {
	if c.IsZero() {
		return "if the endpoint wants a client certificate, set Endpoint.ClientCertificate"
	}
	if leaf := c.Reveal().Leaf; now.After(leaf.NotAfter) {
		return "Endpoint.ClientCertificate expired at " + leaf.NotAfter.UTC().Format(time.RFC3339) + "; replace it"
	}
	return "the endpoint may not accept Endpoint.ClientCertificate"
}

// String returns the certificate's SHA-256 fingerprint.
func (c ClientCertificate) String() string {
	if c.IsZero() {
		return "no certificate"
	}
	return "sha256:" + hex.EncodeToString(c.fingerprint[:])
}

// GoString returns the fingerprint.
func (c ClientCertificate) GoString() string { return "sender.ClientCertificate(" + c.String() + ")" }

// Format writes the fingerprint for every verb.
func (c ClientCertificate) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue returns the fingerprint, for log/slog.
func (c ClientCertificate) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText returns the fingerprint. Marshalling loses the certificate on
// purpose.
func (c ClientCertificate) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// maxCertificates bounds the transports that are kept for client certificates.
const maxCertificates = 64

// certified holds one transport per client certificate with its chain. A
// connection belongs to the certificate of its handshake, so endpoints with
// another certificate must not use it. The same certificate with another chain
// counts as another one, since an endpoint may accept only one of them.
type certified struct {
	make func() *http.Transport

	mu         sync.Mutex
	transports map[[sha256.Size]byte]*certifiedTransport
}

type certifiedTransport struct {
	*http.Transport
	used time.Time
}

// transport returns the transport for a certificate. If there are too many
// transports, the least recently used one loses its idle connections.
func (c *certified) transport(cert ClientCertificate) *http.Transport {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.transports[cert.chain]
	if t == nil {
		c.evict()
		t = &certifiedTransport{Transport: c.make()}
		t.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			revealed := cert.Reveal()
			return &revealed, nil
		}
		if c.transports == nil {
			c.transports = make(map[[sha256.Size]byte]*certifiedTransport)
		}
		c.transports[cert.chain] = t
	}
	t.used = time.Now()
	return t.Transport
}

func (c *certified) evict() {
	if len(c.transports) < maxCertificates {
		return
	}
	var oldest [sha256.Size]byte
	for print, t := range c.transports {
		if first := c.transports[oldest]; first == nil || t.used.Before(first.used) {
			oldest = print
		}
	}
	c.transports[oldest].CloseIdleConnections()
	delete(c.transports, oldest)
}

// CloseIdleConnections closes those of all transports.
func (c *certified) CloseIdleConnections() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.transports {
		t.CloseIdleConnections()
	}
}
