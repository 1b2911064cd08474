package drone

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/deployhook/deployhook/signer"
)

const (
	signatureHeader = "Signature"
	dateHeader      = "Date"
	digestHeader    = "Digest"

	algorithm    = "hmac-sha256"
	digestPrefix = "SHA-256="

	// These limit what is read for an unauthenticated sender.
	maxSignature = 4096
	maxHeaders   = 16
)

var _ signer.Scheme = (*Signature)(nil)

// Signature verifies Drone's HTTP signatures, in the form of the draft
// draft-cavage-http-signatures with hmac-sha256. This is not RFC 9421, which
// the module signer/httpsig implements. Create one with [NewVerifier]. It is
// immutable and safe for concurrent use.
type Signature struct{ mac *signer.BodyOnly }

// NewVerifier returns the scheme for the server's DRONE_WEBHOOK_SECRET, which
// comes from [signer.NewLiteralSecret]. Use [signer.WithKey] for further
// secrets in a rotation, and [signer.WithPrincipal] for a principal. Errors
// wrap [signer.ErrConfig].
func NewVerifier(secret signer.Secret, opts ...signer.Option) (*Signature, error) {
	opts = append(opts[:len(opts):len(opts)], signer.WithHeader(signatureHeader), signer.WithBase64(), signer.WithoutDiagnosis())
	mac, err := signer.NewBodyOnly(secret, opts...)
	if err != nil {
		return nil, fmt.Errorf("%s: the secret: %w", system, err)
	}
	return &Signature{mac: mac}, nil
}

// Present reports whether a request has the header, see [signer.AnyOf].
func (s *Signature) Present(h http.Header) bool { return s != nil && len(h[signatureHeader]) > 0 }

// SignsID returns false, because there is no signed delivery ID.
func (s *Signature) SignsID() bool { return false }

// Tolerance returns how far the date may lie from now, on either side.
func (s *Signature) Tolerance() time.Duration { return signer.DefaultTolerance }

// Principals returns the principal of [signer.WithPrincipal], see
// [signer.Scheme].
func (s *Signature) Principals() []string {
	if s == nil {
		return nil
	}
	return s.mac.Principals()
}

// Format prints the scheme's name for every verb and never its secret.
func (s *Signature) Format(f fmt.State, _ rune) { io.WriteString(f, "drone.Signature") }

// Verify accepts a request with one signature whose algorithm is hmac-sha256
// and that covers at least the headers Date and Digest. Each covered header
// occurs exactly once. The date must be within the tolerance of
// [signer.DefaultTolerance], and the digest must be the SHA-256 of the exact
// body. MAC and digest are compared in constant time.
func (s *Signature) Verify(r *http.Request, body []byte) (signer.Verified, error) {
	if s == nil || s.mac == nil {
		return signer.Verified{}, fmt.Errorf("%w: drone.Signature is nil or the zero value; make one with NewVerifier and check its error", signer.ErrConfig)
	}
	text, err := single(r.Header, signatureHeader)
	if err != nil {
		return signer.Verified{}, err
	}
	headers, mac, err := parse(text)
	if err != nil {
		return signer.Verified{}, err
	}
	message, err := signedText(r.Header, headers)
	if err != nil {
		return signer.Verified{}, err
	}
	at, err := date(r.Header)
	if err != nil {
		return signer.Verified{}, err
	}
	// The MAC covers the headers as the body of this scheme. This also applies
	// a secret's expiry and name.
	shadow := &http.Request{Header: http.Header{signatureHeader: {mac}}}
	verified, err := s.mac.Verify(shadow, []byte(message))
	if err != nil {
		return signer.Verified{}, err
	}
	sum := sha256.Sum256(body)
	want := digestPrefix + base64.StdEncoding.EncodeToString(sum[:])
	if !hmac.Equal([]byte(r.Header[digestHeader][0]), []byte(want)) {
		return signer.Verified{}, fmt.Errorf("%w: %s is not the SHA-256 of the body", signer.ErrNoMatch, digestHeader)
	}
	verified.Timestamp = at
	return verified, nil
}

// single returns the value of a header that must occur once.
func single(h http.Header, name string) (string, error) {
	switch values := h[name]; {
	case len(values) == 0:
		return "", fmt.Errorf("%w: %s", signer.ErrMissingHeader, name)
	case len(values) > 1:
		return "", malformed(name, "it occurs %d times", len(values))
	default:
		return values[0], nil
	}
}

// parse returns the covered headers in their order, and the encoded MAC.
func parse(text string) (headers []string, mac string, err error) {
	if len(text) > maxSignature {
		return nil, "", malformed(signatureHeader, "it has more than %d bytes", maxSignature)
	}
	params := map[string]string{}
	for part := range strings.SplitSeq(text, ",") {
		name, quoted, ok := strings.Cut(part, "=")
		value, opened := strings.CutPrefix(quoted, `"`)
		value, closed := strings.CutSuffix(value, `"`)
		_, again := params[name]
		if !ok || !opened || !closed || again || strings.ContainsAny(value, `"\`) {
			return nil, "", malformed(signatureHeader, "it is not a list of different parameters with quoted values")
		}
		switch name {
		case "keyId", "algorithm", "headers", "signature":
			params[name] = value
		default:
			return nil, "", malformed(signatureHeader, "it has an unknown parameter")
		}
	}
	if params["algorithm"] != algorithm {
		return nil, "", malformed(signatureHeader, "algorithm is not %s", algorithm)
	}
	headers = strings.Split(params["headers"], " ")
	if len(headers) > maxHeaders || !slices.Contains(headers, "date") || !slices.Contains(headers, "digest") {
		return nil, "", malformed(signatureHeader, "headers does not have date and digest, or has more than %d names", maxHeaders)
	}
	return headers, params["signature"], nil
}

// signedText returns what the MAC covers. Names that are no header, such as
// (request-target), are refused.
func signedText(h http.Header, names []string) (string, error) {
	lines := make([]string, len(names))
	for i, name := range names {
		if strings.ToLower(name) != name || slices.Contains(names[:i], name) {
			return "", malformed(signatureHeader, "headers has a name twice or not in lower case")
		}
		value, err := single(h, http.CanonicalHeaderKey(name))
		if err != nil {
			return "", err
		}
		lines[i] = name + ": " + value
	}
	return strings.Join(lines, "\n"), nil
}

func date(h http.Header) (time.Time, error) {
	text := h[dateHeader][0]
	at, err := time.Parse(http.TimeFormat, text)
	if err != nil || at.UTC().Format(http.TimeFormat) != text {
		return time.Time{}, malformed(dateHeader, "it is not a date of HTTP")
	}
	return at, signer.CheckAge(dateHeader, at, time.Now(), signer.DefaultTolerance)
}

func malformed(header, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", signer.ErrMalformed, header, fmt.Sprintf(format, args...))
}
