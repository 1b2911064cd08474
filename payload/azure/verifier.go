package azure

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/deployhook/deployhook/payload/internal/inbound"
	"github.com/deployhook/deployhook/signer"
)

var strictBase64 = base64.StdEncoding.Strict()

const authorization = "Authorization"

// maxCredential limits how much is decoded for an unauthenticated sender.
const maxCredential = 4096

var _ signer.Scheme = (*Basic)(nil)

// Basic verifies HTTP basic authentication, the only authentication of Azure
// DevOps service hooks. A password proves who sends, not what is sent. It does
// not protect the body, the time or the ID. Create one with [NewVerifier]. It
// is immutable and safe for concurrent use.
type Basic struct {
	username [sha256.Size]byte
	password *signer.BodyOnly
}

// NewVerifier returns the scheme for the user name and password of the
// subscription. The user name must not contain a colon. The password comes from
// [signer.NewLiteralSecret]. Use [signer.WithKey] for further passwords in a
// rotation, and [signer.WithPrincipal] for a principal. Errors wrap [ErrConfig]
// or [signer.ErrConfig].
func NewVerifier(username string, password signer.Secret, opts ...signer.Option) (*Basic, error) {
	if username == "" || strings.ContainsFunc(username, func(r rune) bool { return r == ':' || r < ' ' || r == 0x7f }) {
		return nil, inbound.ConfigError(system, "the user name must not be empty or have a colon or a control character")
	}
	opts = append(opts[:len(opts):len(opts)], signer.WithHeader(authorization), signer.WithoutDiagnosis())
	scheme, err := signer.NewGitHub(password, opts...)
	if err != nil {
		return nil, fmt.Errorf("%s: the password: %w", system, err)
	}
	return &Basic{username: sha256.Sum256([]byte(username)), password: scheme}, nil
}

// Present reports whether a request has a basic credential, see [signer.AnyOf].
func (s *Basic) Present(h http.Header) bool {
	for _, value := range h[authorization] {
		if _, ok := cutBasic(value); ok {
			return true
		}
	}
	return false
}

// SignsID returns false, because there is no signed delivery ID.
func (s *Basic) SignsID() bool { return false }

// Principals returns the principal of [signer.WithPrincipal], see
// [signer.Scheme].
func (s *Basic) Principals() []string {
	if s == nil {
		return nil
	}
	return s.password.Principals()
}

// Format prints the scheme's name for every verb and never its credentials.
func (s *Basic) Format(f fmt.State, _ rune) { io.WriteString(f, "azure.Basic") }

// Verify accepts a request with exactly one Authorization header that holds the
// user name and an unexpired password. All errors wrap
// [signer.ErrInvalidAPIKey].
//
// Passwords are compared in constant time, as package signer compares MACs.
// Verify signs with the presented password as the key, and checks the result
// with the expected password. This also applies a secret's expiry and name.
func (s *Basic) Verify(r *http.Request, _ []byte) (signer.Verified, error) {
	if s == nil || s.password == nil {
		return signer.Verified{}, fmt.Errorf("%w: azure.Basic is nil or the zero value; make one with NewVerifier and check its error", signer.ErrConfig)
	}
	values := r.Header[authorization]
	if len(values) != 1 {
		return signer.Verified{}, refusal("it occurs %d times; it must occur exactly once", len(values))
	}
	encoded, ok := cutBasic(values[0])
	if !ok || len(encoded) > maxCredential {
		return signer.Verified{}, refusal("it is not \"Basic\", blanks and at most %d characters", maxCredential)
	}
	username, password, ok := parseCredential(encoded)
	if !ok {
		return signer.Verified{}, refusal("it is not the canonical base64 of USER:PASSWORD")
	}
	mac := hmac.New(sha256.New, []byte(password))
	mac.Write(s.username[:])
	shadow := &http.Request{Header: http.Header{
		authorization: {"sha256=" + hex.EncodeToString(mac.Sum(nil))},
	}}
	verified, err := s.password.Verify(shadow, s.username[:])
	sameUser := hmac.Equal(hashed(username), s.username[:])
	if err != nil || !sameUser {
		return signer.Verified{}, refusal("user name or password is wrong, or the password has expired")
	}
	return verified, nil
}

func hashed(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

func refusal(format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", signer.ErrInvalidAPIKey, authorization, fmt.Sprintf(format, args...))
}

// cutBasic returns the part after the scheme. The scheme is case-insensitive
// and followed by one or more blanks (RFC 9110, sections 11.1 and 11.4).
func cutBasic(value string) (encoded string, ok bool) {
	scheme, rest, ok := strings.Cut(value, " ")
	return strings.TrimLeft(rest, " "), ok && strings.EqualFold(scheme, "Basic")
}

// parseCredential refuses control characters, because HMAC treats a key and the
// same key with trailing NULs as equal.
func parseCredential(encoded string) (username, password string, ok bool) {
	raw, err := strictBase64.DecodeString(encoded)
	if err != nil || strictBase64.EncodeToString(raw) != encoded {
		return "", "", false
	}
	text := string(raw)
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", "", false
	}
	return strings.Cut(text, ":")
}
