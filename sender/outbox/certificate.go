package outbox

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/deployhook/deployhook/internal/hidden"
	"github.com/deployhook/deployhook/sender"
)

// Bounds of a client certificate, which a customer uploads.
const (
	maxPEM     = 64 << 10 // bytes of either text
	maxKey     = 8 << 10  // bytes; an RSA key of 8192 bits has 5
	minRSABits = 1024     // crypto/rsa refuses to sign with less
	maxRSABits = 8192     // as for the certificates of servers in crypto/tls
)

// errCertificateExpired is the cause of a FieldError.
var errCertificateExpired = errors.New("outbox: the client certificate has expired")

// ClientCertificate is the certificate that an endpoint asks for in the TLS
// handshake, with its chain and private key, in PEM. Make one with
// [NewClientCertificate]. The zero value means no certificate. Printing a
// ClientCertificate shows nothing, also inside other values, and nothing
// returns its key.
type ClientCertificate struct{ pem hidden.Value[certificatePEM] }

type certificatePEM struct{ chain, key string }

// NewClientCertificate wraps PEM texts, for [EndpointConfig] and
// [EndpointUpdate], which check them. chain is the certificate, followed by
// those of its issuers if the endpoint needs them. key is its private key,
// which is not encrypted. Both texts may be one and the same.
func NewClientCertificate(chain, key string) ClientCertificate {
	if chain == "" && key == "" {
		return ClientCertificate{}
	}
	return ClientCertificate{hidden.Of(certificatePEM{chain, key})}
}

// IsZero reports whether there is no certificate.
func (c ClientCertificate) IsZero() bool { return c.pem.IsZero() }

// String shows nothing of the certificate.
func (c ClientCertificate) String() string { return "outbox.ClientCertificate(redacted)" }

// Format prints String whatever the verb is.
func (c ClientCertificate) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue is String for log/slog.
func (c ClientCertificate) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText returns String. The texts of a certificate are not marshaled.
func (c ClientCertificate) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// parse checks a certificate that is entered now. Its errors are of the type
// *FieldError and show nothing of the private key.
func (c ClientCertificate) parse(now time.Time) (sender.ClientCertificate, error) {
	if c.IsZero() {
		return sender.ClientCertificate{}, nil
	}
	text := c.pem.Reveal()
	if err := text.check(); err != nil {
		return sender.ClientCertificate{}, certificateError("%v", err)
	}
	pair, err := tls.X509KeyPair([]byte(text.chain), []byte(text.key))
	if err != nil {
		return sender.ClientCertificate{}, certificateError("%s", strings.TrimPrefix(err.Error(), "tls: "))
	}
	if err := checkChain(pair.Certificate); err != nil {
		return sender.ClientCertificate{}, certificateError("%v", err)
	}
	if err := checkPrivateKey(pair.PrivateKey); err != nil {
		return sender.ClientCertificate{}, certificateError("%v", err)
	}
	made, err := sender.NewClientCertificate(pair)
	if err != nil {
		return sender.ClientCertificate{}, certificateError("%v", err)
	}
	if end := made.Reveal().Leaf.NotAfter; now.After(end) {
		fault := certificateError("expired at %s; give one that is in use", end.UTC().Format(time.RFC3339))
		fault.cause = errCertificateExpired
		return sender.ClientCertificate{}, fault
	}
	return made, nil
}

func certificateError(format string, args ...any) *FieldError {
	return fieldError("ClientCertificate", format, args...)
}

// check looks at the texts before they are parsed. A key without a bound would
// take long to parse.
func (p certificatePEM) check() error {
	if len(p.chain) > maxPEM || len(p.key) > maxPEM {
		return fmt.Errorf("has more than %d bytes", maxPEM)
	}
	block, rest := pem.Decode([]byte(p.key))
	for block != nil && !strings.HasSuffix(block.Type, "PRIVATE KEY") {
		block, rest = pem.Decode(rest)
	}
	switch {
	case block == nil:
		return errors.New("there is no private key in PEM")
	case block.Type == "ENCRYPTED PRIVATE KEY", block.Headers["DEK-Info"] != "":
		return errors.New("the private key is encrypted; give it decrypted")
	case len(block.Bytes) > maxKey:
		return fmt.Errorf("the private key has more than %d bytes", maxKey)
	}
	return nil
}

// checkChain checks that each certificate is followed by that of its issuer.
// Many servers refuse a chain in another order.
func checkChain(chain [][]byte) error {
	var last *x509.Certificate
	for i, raw := range chain {
		cert, err := x509.ParseCertificate(raw)
		if err != nil {
			return fmt.Errorf("certificate %d of the chain is not valid", i+1)
		}
		if last != nil && !bytes.Equal(last.RawIssuer, cert.RawSubject) {
			return fmt.Errorf("certificate %d of the chain is not the issuer of the one before it; put the client's own first, and then its issuers in order", i+1)
		}
		last = cert
	}
	return nil
}

// checkPrivateKey refuses keys that package tls can't sign with, or only very
// slowly.
func checkPrivateKey(key any) error {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if n := k.N.BitLen(); n < minRSABits || n > maxRSABits {
			return fmt.Errorf("the RSA key has %d bits; want %d to %d", n, minRSABits, maxRSABits)
		}
	case *ecdsa.PrivateKey:
		if k.Curve == elliptic.P224() {
			return errors.New("the key is on the curve P-224, which TLS does not have; use P-256")
		}
	}
	return nil
}

// certificateJSON is the form of a certificate that is sealed. Only
// [encodeCertificate] makes one.
type certificateJSON struct {
	Chain [][]byte `json:"chain"` // DER
	Key   []byte   `json:"key"`   // PKCS #8
}

// encodeCertificate returns what is sealed, also for no certificate.
func encodeCertificate(c sender.ClientCertificate) ([]byte, error) {
	if c.IsZero() {
		return []byte("{}"), nil
	}
	pair := c.Reveal()
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return nil, err
	}
	return json.Marshal(certificateJSON{pair.Certificate, key})
}

// decodeCertificate reads what [encodeCertificate] wrote.
func decodeCertificate(data []byte) (sender.ClientCertificate, error) {
	var in certificateJSON
	if err := json.Unmarshal(data, &in); err != nil || len(in.Chain) == 0 {
		return sender.ClientCertificate{}, err
	}
	key, err := x509.ParsePKCS8PrivateKey(in.Key)
	if err != nil {
		return sender.ClientCertificate{}, err
	}
	return sender.NewClientCertificate(tls.Certificate{Certificate: in.Chain, PrivateKey: key})
}

// setCertificate gives an endpoint a certificate, and what is shown of it.
func (e *endpointRow) setCertificate(c ClientCertificate, now time.Time) error {
	parsed, err := c.parse(now)
	if err != nil {
		return err
	}
	e.certificate, e.CertificateSubject, e.CertificateNotAfter = parsed, "", time.Time{}
	if !parsed.IsZero() {
		leaf := parsed.Reveal().Leaf
		e.CertificateSubject, e.CertificateNotAfter = subjectOf(leaf, parsed), leaf.NotAfter.UTC()
	}
	return nil
}

// subjectOf names a certificate. One without a subject has other names, or is
// shown by its fingerprint.
func subjectOf(leaf *x509.Certificate, c sender.ClientCertificate) string {
	names := []string{leaf.Subject.String()}
	names = append(append(names, leaf.DNSNames...), leaf.EmailAddresses...)
	for _, u := range leaf.URIs {
		names = append(names, u.String())
	}
	for _, name := range names {
		if name != "" {
			return clean(name)
		}
	}
	return c.String()
}
