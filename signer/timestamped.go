package signer

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	defaultPrefix = "X-Webhook"
	hexMAC        = 2 * macSize
	hashPrefix    = "sha256="
)

var (
	_ Signer = (*Timestamped)(nil)
	_ Scheme = (*Timestamped)(nil)
)

// Timestamped is the common HMAC pattern. The signature is the lower-case hex
// HMAC-SHA256 of "timestamp.body":
//
//	X-Webhook-Timestamp: 1764000000
//	X-Webhook-Signature: <hex>
//	X-Webhook-Id: whk_0198…                   (not signed)
//
// Use it for receivers that are written to that pattern. For anything new
// prefer [Standard], which also signs the ID and carries several signatures
// during a rotation. Because the ID is not signed here, [Verified].ID stays
// empty and deduplication goes by the body. A Timestamped is immutable and safe
// for concurrent use.
type Timestamped struct {
	keys      []*activeKey
	tolerance time.Duration
	at        time.Time // of InsecureAt
	principal string
	diagnosis *diagnosis
	mark      string // before the hex, when signing

	idHeader, timestampHeader, signatureHeader string
}

// NewTimestamped returns the scheme for a secret from [NewLiteralSecret] or
// [GenerateLiteralSecret]. The options are [WithHeaderPrefix],
// [WithSignaturePrefix], [WithKey], [WithTolerance], [WithPrincipal],
// [WithoutDiagnosis] and [InsecureAt]. Errors wrap [ErrConfig].
func NewTimestamped(key Key, opts ...Option) (*Timestamped, error) {
	const scheme = "Timestamped"
	c, err := newConfig(scheme, key, append([]Option{WithHeaderPrefix(defaultPrefix)}, opts...),
		"WithKey", "WithTolerance", "WithPrincipal", "WithHeaderPrefix", "WithSignaturePrefix", "WithoutDiagnosis", "InsecureAt")
	if err != nil {
		return nil, err
	}
	if !validHeaderPrefix(c.prefix) {
		return nil, badHeaderPrefix(scheme, defaultPrefix)
	}
	keys, err := newKeySet(scheme, accepts{form: formLiteral}, c.keys)
	if err != nil {
		return nil, err
	}
	return &Timestamped{
		keys: keys, tolerance: c.tolerance, at: c.at, principal: c.principal, diagnosis: c.newDiagnosis(), mark: c.mark,
		idHeader:        http.CanonicalHeaderKey(c.prefix + "-Id"),
		timestampHeader: http.CanonicalHeaderKey(c.prefix + "-Timestamp"),
		signatureHeader: http.CanonicalHeaderKey(c.prefix + "-Signature"),
	}, nil
}

func badHeaderPrefix(scheme, example string) error {
	return configError(scheme, "WithHeaderPrefix: want letters, digits and dashes, such as %q, without the dash at the end", example)
}

func validHeaderPrefix(prefix string) bool {
	if prefix == "" || len(prefix) > 64 || strings.HasPrefix(prefix, "-") || strings.HasSuffix(prefix, "-") {
		return false
	}
	return !strings.ContainsFunc(prefix, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
	})
}

// Tolerance returns how far a timestamp may lie from now, on either side.
func (s *Timestamped) Tolerance() time.Duration {
	if s == nil {
		return 0
	}
	return s.tolerance
}

// Present reports whether a request carries this scheme's signature header, see
// [AnyOf].
func (s *Timestamped) Present(h http.Header) bool { return s != nil && len(h[s.signatureHeader]) > 0 }

// SignsID reports that the delivery ID is not covered.
func (s *Timestamped) SignsID() bool { return false }

// Principals returns the principal of [WithPrincipal], see [Scheme].
func (s *Timestamped) Principals() []string {
	if s == nil {
		return nil
	}
	return principals(s.keys, s.principal)
}

// Format prints the scheme's name and nothing of its keys, whatever the verb.
func (s *Timestamped) Format(f fmt.State, _ rune) { io.WriteString(f, "signer.Timestamped") }

// Sign sets the three headers. The signature header holds a single signature,
// by the first key that is active at the given time. During a rotation the
// verifying side therefore has to know both keys. Errors wrap
// [ErrInvalidMessage] or [ErrNoActiveKey]. After an error the request is
// unchanged.
func (s *Timestamped) Sign(_ context.Context, r *http.Request, id string, at time.Time, body []byte) error {
	if s == nil || len(s.keys) == 0 {
		return notMade("Timestamped", "NewTimestamped")
	}
	if err := CheckMessage(id, at); err != nil {
		return err
	}
	for _, key := range s.keys {
		if !key.active(at) {
			continue
		}
		var scratch [maxTimestampDigits + maxMark + hexMAC]byte
		out := strconv.AppendInt(scratch[:0], at.Unix(), 10)
		digits := len(out)
		state := key.mac.get()
		state.prefix = append(append(state.prefix, out...), '.')
		text := string(hex.AppendEncode(append(out, s.mark...), state.compute(body)))
		key.mac.put(state)
		setHeaders(r, [3]string{s.idHeader, s.timestampHeader, s.signatureHeader}, [3]string{id, text[:digits], text[digits:]})
		return nil
	}
	return fmt.Errorf("%w: add one to Timestamped with WithKey", ErrNoActiveKey)
}

// Verify accepts a request whose timestamp and signature headers occur exactly
// once and are well formed. The timestamp must be within the tolerance, and the
// signature must be that of an active key over the exact body. "sha256=" before
// the hex is accepted. Upper-case hex is refused, so that each signature has
// one spelling.
func (s *Timestamped) Verify(r *http.Request, body []byte) (Verified, error) {
	if s == nil || len(s.keys) == 0 {
		return Verified{}, notMade("Timestamped", "NewTimestamped")
	}
	timestamp, err := single(r.Header, s.timestampHeader)
	if err != nil {
		return Verified{}, s.diagnosis.missing(err, r.Header, s.signatureHeader)
	}
	signature, err := single(r.Header, s.signatureHeader)
	if err != nil {
		return Verified{}, s.diagnosis.missing(err, r.Header, s.signatureHeader)
	}
	seconds, ok := parseTimestamp(timestamp)
	if !ok {
		return Verified{}, timestampError(s.timestampHeader, timestamp)
	}
	at, now := time.Unix(seconds, 0), now(s.at)
	if err := CheckAge(s.timestampHeader, at, now, s.tolerance); err != nil {
		return Verified{}, err
	}
	var mac [macSize]byte
	if !decodeHex(mac[:], s.withoutMark(signature)) {
		return Verified{}, fmt.Errorf("%w: %s is not %d lower-case hex digits%s", ErrMalformed, s.signatureHeader, hexMAC, s.diagnosis.spelling(signature))
	}
	macs := [][macSize]byte{mac}
	matched := matchTimestamped(s.keys, now, timestamp, macs, body)
	if matched == nil {
		hint := s.diagnosis.explain(r.Header, s.signatureHeader, s.keys, macs, body, content{"timestamp.body", timestamp + "."}, content{"body", ""})
		return Verified{}, fmt.Errorf("%w: %d key(s) tried%s", ErrNoMatch, len(s.keys), hint)
	}
	return Verified{Timestamp: at, Principal: s.principal, Key: matched.name}, nil
}

// withoutMark returns what follows the scheme's own prefix, or sha256=.
func (s *Timestamped) withoutMark(signature string) string {
	if s.mark != "" {
		if rest, ok := strings.CutPrefix(signature, s.mark); ok {
			return rest
		}
	}
	return strings.TrimPrefix(signature, hashPrefix)
}

// decodeHex fills dst from exactly two lower-case hex digits per byte.
func decodeHex(dst []byte, encoded string) bool {
	if len(encoded) != 2*len(dst) {
		return false
	}
	for i := range dst {
		high, low := hexDigit(encoded[2*i]), hexDigit(encoded[2*i+1])
		if high > 15 || low > 15 {
			return false
		}
		dst[i] = high<<4 | low
	}
	return true
}

// hexDigit returns the value of a lower-case hex digit, or 255.
func hexDigit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}
