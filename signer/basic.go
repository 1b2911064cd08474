package signer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxCredential limits how much is decoded for an unauthenticated sender.
const maxCredential = 4096

var _ Scheme = (*Basic)(nil)

// Basic verifies HTTP basic authentication, for senders that can do nothing
// better. Some of them take the user name and the password from the URL. A
// password proves who sends, not what is sent. It does not protect the body,
// the time or the ID. Use it only over TLS. Make one with [NewBasic]. It is
// immutable and safe for concurrent use.
type Basic struct {
	username [sha256.Size]byte
	password *BodyOnly
}

// NewBasic returns the scheme for a user name and a password, which comes from
// [NewLiteralSecret]. The user name must not contain a colon. Use [WithKey] for
// further passwords in a rotation. The other options are [WithPrincipal] and
// [InsecureAt]. Errors wrap [ErrConfig].
func NewBasic(username string, password Secret, opts ...Option) (*Basic, error) {
	const scheme = "Basic"
	if username == "" || strings.ContainsFunc(username, func(r rune) bool { return r == ':' || r < ' ' || r == 0x7f }) {
		return nil, configError(scheme, "the user name must not be empty or have a colon or a control character")
	}
	if _, err := newConfig(scheme, password, opts, "WithKey", "WithPrincipal", "InsecureAt"); err != nil {
		return nil, err
	}
	body, err := newBodyOnly(scheme, password, append(opts[:len(opts):len(opts)],
		WithHeader(authorizationHeader), WithSignaturePrefix(hashPrefix), WithoutDiagnosis()), "WithSignaturePrefix")
	if err != nil {
		return nil, err
	}
	return &Basic{username: sha256.Sum256([]byte(username)), password: body}, nil
}

// Present reports whether a request has a basic credential, see [AnyOf].
func (s *Basic) Present(h http.Header) bool {
	for _, value := range h[authorizationHeader] {
		if _, ok := cutBasic(value); ok {
			return true
		}
	}
	return false
}

// SignsID returns false, because there is no signed delivery ID.
func (s *Basic) SignsID() bool { return false }

// Principals returns the principal of [WithPrincipal], see [Scheme].
func (s *Basic) Principals() []string {
	if s == nil {
		return nil
	}
	return s.password.Principals()
}

// Format prints the scheme's name for every verb and never its credentials.
func (s *Basic) Format(f fmt.State, _ rune) { io.WriteString(f, "signer.Basic") }

// Verify accepts a request with exactly one Authorization header that holds the
// user name and an unexpired password. All errors wrap
// [ErrInvalidAPIKey].
//
// Passwords are compared in constant time, as MACs are. Verify signs with the
// presented password as the key, and checks the result with the expected
// password. This also applies a secret's expiry and name.
func (s *Basic) Verify(r *http.Request, _ []byte) (Verified, error) {
	if s == nil || s.password == nil {
		return Verified{}, notMade("Basic", "NewBasic")
	}
	values := r.Header[authorizationHeader]
	if len(values) != 1 {
		return Verified{}, refusal("it occurs %d times; it must occur exactly once", len(values))
	}
	encoded, ok := cutBasic(values[0])
	if !ok || len(encoded) > maxCredential {
		return Verified{}, refusal("it is not \"Basic\", blanks and at most %d characters", maxCredential)
	}
	username, password, ok := parseCredential(encoded)
	if !ok {
		return Verified{}, refusal("it is not the canonical base64 of USER:PASSWORD")
	}
	mac := hmac.New(sha256.New, []byte(password))
	mac.Write(s.username[:])
	shadow := &http.Request{Header: http.Header{
		authorizationHeader: {"sha256=" + hex.EncodeToString(mac.Sum(nil))},
	}}
	verified, err := s.password.Verify(shadow, s.username[:])
	sameUser := hmac.Equal(hashed(username), s.username[:])
	if err != nil || !sameUser {
		return Verified{}, refusal("user name or password is wrong, or the password has expired")
	}
	return verified, nil
}

func hashed(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

func refusal(format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrInvalidAPIKey, authorizationHeader, fmt.Sprintf(format, args...))
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
