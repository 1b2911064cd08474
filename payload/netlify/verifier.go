package netlify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/signer"
)

const (
	signatureHeader = "X-Webhook-Signature"
	// maxToken limits what is decoded for an unauthenticated sender.
	maxToken  = 4096
	algorithm = "HS256"
	issuer    = "netlify"
)

var strictBase64 = base64.RawURLEncoding.Strict()

var _ signer.Scheme = (*Signature)(nil)

// Signature verifies Netlify's signature of a webhook, a JSON Web Signature
// (RFC 7515) in the header X-Webhook-Signature. Its claims are the issuer
// netlify and the SHA-256 of the body. Create one with [NewVerifier]. It is
// immutable and safe for concurrent use.
type Signature struct{ mac *signer.BodyOnly }

// NewVerifier returns the scheme for the "JWS secret token" of an outgoing
// webhook, which comes from [signer.NewLiteralSecret]. Use [signer.WithKey] for
// further secrets in a rotation, and [signer.WithPrincipal] for a principal.
// Errors wrap [signer.ErrConfig].
func NewVerifier(secret signer.Secret, opts ...signer.Option) (*Signature, error) {
	opts = append(opts[:len(opts):len(opts)], signer.WithHeader(signatureHeader), signer.WithoutDiagnosis())
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

// Principals returns the principal of [signer.WithPrincipal], see
// [signer.Scheme].
func (s *Signature) Principals() []string {
	if s == nil {
		return nil
	}
	return s.mac.Principals()
}

// Format prints the scheme's name for every verb and never its secret.
func (s *Signature) Format(f fmt.State, _ rune) { io.WriteString(f, "netlify.Signature") }

// Verify accepts a request whose header occurs exactly once and is a JSON Web
// Signature in compact form. The algorithm is always HS256, and a header that
// names another one is refused. The issuer must be netlify, and the claim
// sha256 must be that of the exact body. If there are an expiry or a start of
// validity, they are checked. MAC and hash are compared in constant time.
func (s *Signature) Verify(r *http.Request, body []byte) (signer.Verified, error) {
	if s == nil || s.mac == nil {
		return signer.Verified{}, fmt.Errorf("%w: netlify.Signature is nil or the zero value; make one with NewVerifier and check its error", signer.ErrConfig)
	}
	values := r.Header[signatureHeader]
	switch {
	case len(values) == 0:
		return signer.Verified{}, fmt.Errorf("%w: %s", signer.ErrMissingHeader, signatureHeader)
	case len(values) > 1:
		return signer.Verified{}, malformed("it occurs %d times", len(values))
	case len(values[0]) > maxToken:
		return signer.Verified{}, malformed("it has more than %d bytes", maxToken)
	}
	input, claims, mac, err := parse(values[0])
	if err != nil {
		return signer.Verified{}, err
	}
	// The MAC covers the encoded header and claims as the body of this scheme.
	// This also applies a secret's expiry and name.
	shadow := &http.Request{Header: http.Header{signatureHeader: {hex.EncodeToString(mac)}}}
	verified, err := s.mac.Verify(shadow, []byte(input))
	if err != nil {
		return signer.Verified{}, err
	}
	if err := checkClaims(claims, body); err != nil {
		return signer.Verified{}, err
	}
	return verified, nil
}

// parse returns what is signed, the claims and the MAC. It does not look at the
// claims, because they are not authentic yet.
func parse(token string) (input string, claims, mac []byte, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", nil, nil, malformed("it is not a JSON Web Signature in compact form")
	}
	var decoded [3][]byte
	for i, part := range parts {
		raw, err := strictBase64.DecodeString(part)
		if err != nil || strictBase64.EncodeToString(raw) != part {
			return "", nil, nil, malformed("part %d is not canonical base64url without padding", i+1)
		}
		decoded[i] = raw
	}
	if err := checkHeader(decoded[0]); err != nil {
		return "", nil, nil, err
	}
	if len(decoded[2]) != sha256.Size {
		return "", nil, nil, malformed("the MAC does not have %d bytes", sha256.Size)
	}
	return parts[0] + "." + parts[1], decoded[1], decoded[2], nil
}

// checkHeader refuses any other algorithm, and extensions that would have to be
// understood (RFC 7515, section 4.1.11).
func checkHeader(raw []byte) error {
	header, err := payload.ParseObject(raw)
	if err != nil {
		return malformed("its header is not one JSON object")
	}
	if alg, ok := member(header, "alg"); !ok || alg != algorithm {
		return malformed("alg is not %s", algorithm)
	}
	if typ, ok := header.Get("typ"); ok {
		if text, _ := typ.Text(); text != "JWT" {
			return malformed("typ is not JWT")
		}
	}
	if _, ok := header.Get("crit"); ok {
		return malformed("crit is not supported")
	}
	return nil
}

func checkClaims(raw, body []byte) error {
	claims, err := payload.ParseObject(raw)
	if err != nil {
		return malformed("its claims are not one JSON object")
	}
	if iss, ok := member(claims, "iss"); !ok || iss != issuer {
		return fmt.Errorf("%w: the claim iss is not %s", signer.ErrNoMatch, issuer)
	}
	want := sha256.Sum256(body)
	hash, _ := member(claims, "sha256")
	if !hmac.Equal([]byte(hash), hex.AppendEncode(nil, want[:])) {
		return fmt.Errorf("%w: the claim sha256 is not that of the body", signer.ErrNoMatch)
	}
	return checkValidity(claims, time.Now().Unix())
}

// checkValidity applies the claims exp and nbf if they are present (RFC 7519,
// sections 4.1.4 and 4.1.5).
func checkValidity(claims payload.Object, now int64) error {
	end, ok, err := seconds(claims, "exp")
	switch {
	case err != nil:
		return err
	case ok && now >= end:
		return fmt.Errorf("%w: the claim exp", signer.ErrTooOld)
	}
	start, ok, err := seconds(claims, "nbf")
	switch {
	case err != nil:
		return err
	case ok && now < start:
		return fmt.Errorf("%w: the claim nbf", signer.ErrTooNew)
	}
	return nil
}

func member(object payload.Object, name string) (string, bool) {
	value, ok := object.Get(name)
	if !ok {
		return "", false
	}
	return value.Text()
}

// seconds returns a time in Unix seconds, if the claim is there.
func seconds(object payload.Object, name string) (at int64, ok bool, err error) {
	value, ok := object.Get(name)
	if !ok {
		return 0, false, nil
	}
	at, ok = value.Int64()
	if !ok {
		return 0, false, malformed("the claim %s is not an integer", name)
	}
	return at, true, nil
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", signer.ErrMalformed, signatureHeader, fmt.Sprintf(format, args...))
}
