package signer

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Header names of the Standard Webhooks specification, in Go's canonical form.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

const (
	versionHMAC    = "v1"
	versionEd25519 = "v1a"
	encodedMAC     = 44 // base64 of 32 bytes
	encodedEd25519 = 88 // base64 of 64 bytes
)

var (
	_ Signer = (*Standard)(nil)
	_ Scheme = (*Standard)(nil)
)

// Standard is the scheme of the Standard Webhooks specification. Choose it for
// anything new. It signs "id.timestamp.body" with HMAC-SHA256, Ed25519, or
// both, and sets
//
//	Webhook-Id: whk_0198…
//	Webhook-Timestamp: 1764000000
//	Webhook-Signature: v1,<base64> v1a,<base64>      (one for each active key, separated by spaces)
//
// The ID and the time are signed, so [Verified] has both. GitLab's signing
// tokens (not its plain ones, see [NewGitLabToken]) and Render's webhooks are
// this scheme. So are the webhooks that Svix sends, with [WithHeaderPrefix]. A
// Standard is immutable and safe for concurrent use.
type Standard struct {
	keys      []*activeKey
	tolerance time.Duration
	at        time.Time // of InsecureAt
	principal string
	diagnosis *diagnosis
	messages  *sync.Pool // of *[]byte: Ed25519 takes a message in one piece

	idHeader, timestampHeader, signatureHeader string
}

// NewStandard returns the scheme for a secret from [ParseSecret] or
// [GenerateSecret], or for an Ed25519 key. A [SigningKey] signs and verifies,
// and a [VerifyingKey] only verifies. The options are [WithKey], for keys of
// either kind, [WithTolerance], [WithPrincipal], [WithHeaderPrefix],
// [WithoutDiagnosis] and [InsecureAt]. Errors wrap [ErrConfig].
func NewStandard(key Key, opts ...Option) (*Standard, error) {
	const scheme = "Standard"
	c, err := newConfig(scheme, key, append([]Option{WithHeaderPrefix("Webhook")}, opts...),
		"WithKey", "WithTolerance", "WithPrincipal", "WithHeaderPrefix", "WithoutDiagnosis", "InsecureAt")
	if err != nil {
		return nil, err
	}
	if !validHeaderPrefix(c.prefix) {
		return nil, badHeaderPrefix(scheme, "Svix")
	}
	keys, err := newKeySet(scheme, accepts{form: formStandard, asymmetric: true}, c.keys)
	if err != nil {
		return nil, err
	}
	return &Standard{
		keys: keys, tolerance: c.tolerance, at: c.at, principal: c.principal, diagnosis: c.newDiagnosis(),
		messages:        &sync.Pool{New: func() any { return new([]byte) }},
		idHeader:        http.CanonicalHeaderKey(c.prefix + "-Id"),
		timestampHeader: http.CanonicalHeaderKey(c.prefix + "-Timestamp"),
		signatureHeader: http.CanonicalHeaderKey(c.prefix + "-Signature"),
	}, nil
}

// Tolerance returns how far a timestamp may lie from now, on either side.
func (s *Standard) Tolerance() time.Duration {
	if s == nil {
		return 0
	}
	return s.tolerance
}

// Present reports whether a request carries this scheme's signature header, see
// [AnyOf].
func (s *Standard) Present(h http.Header) bool { return s != nil && len(h[s.signatureHeader]) > 0 }

// SignsID reports that the delivery ID is covered by the signature.
func (s *Standard) SignsID() bool { return true }

// Principals returns the principal of [WithPrincipal], see [Scheme].
func (s *Standard) Principals() []string {
	if s == nil {
		return nil
	}
	return principals(s.keys, s.principal)
}

// Format prints the scheme's name and nothing of its keys, whatever the verb.
func (s *Standard) Format(f fmt.State, _ rune) { io.WriteString(f, "signer.Standard") }

// Sign sets the three headers, with a signature by every key that can sign and
// is active at the given time. Errors wrap [ErrInvalidMessage] or
// [ErrNoActiveKey], or come from your [crypto.Signer]. After an error the
// request is unchanged. Only a key of [NewSigningKey] uses ctx.
func (s *Standard) Sign(ctx context.Context, r *http.Request, id string, at time.Time, body []byte) error {
	if s == nil || len(s.keys) == 0 {
		return notMade("Standard", "NewStandard")
	}
	err := CheckMessage(id, at)
	if err != nil {
		return err
	}
	// One string holds the timestamp and the signatures, and one array holds
	// the header values. That is two allocations for any number of keys.
	var scratch [maxTimestampDigits + 4*(len(versionHMAC)+2+encodedMAC)]byte
	out := strconv.AppendInt(scratch[:0], at.Unix(), 10)
	digits := len(out)
	for _, key := range s.keys {
		if !key.active(at) || key.mac == nil && key.sign == nil {
			continue
		}
		if len(out) > digits {
			out = append(out, ' ')
		}
		if out, err = s.appendSignature(ctx, out, key, id, out[:digits], body); err != nil {
			return err
		}
	}
	if len(out) == digits {
		return fmt.Errorf("%w: add one that can sign to Standard with WithKey", ErrNoActiveKey)
	}
	text := string(out)
	setHeaders(r, [3]string{s.idHeader, s.timestampHeader, s.signatureHeader}, [3]string{id, text[:digits], text[digits:]})
	return nil
}

func (s *Standard) appendSignature(ctx context.Context, out []byte, key *activeKey, id string, timestamp, body []byte) ([]byte, error) {
	if key.mac != nil {
		state := key.mac.get()
		defer key.mac.put(state)
		state.prefix = appendContent(state.prefix, id, timestamp)
		out = append(out, versionHMAC+","...)
		return base64.StdEncoding.AppendEncode(out, state.compute(body)), nil
	}
	signature, err := s.signEd25519(ctx, key, id, timestamp, body)
	if err != nil {
		return nil, fmt.Errorf("signer: Standard: %s can't sign: %w", key.name, err)
	}
	if len(signature) != ed25519.SignatureSize {
		return nil, fmt.Errorf("signer: Standard: %s returned a signature of %d bytes; Ed25519 has %d", key.name, len(signature), ed25519.SignatureSize)
	}
	out = append(out, versionEd25519+","...)
	return base64.StdEncoding.AppendEncode(out, signature), nil
}

// signEd25519 signs with a key of this process or with one that is kept
// elsewhere, which may still read the message after ctx has ended.
func (s *Standard) signEd25519(ctx context.Context, key *activeKey, id string, timestamp, body []byte) ([]byte, error) {
	if key.remote {
		return signRemote(ctx, key.sign, append(appendContent(nil, id, timestamp), body...))
	}
	message := s.messages.Get().(*[]byte)
	defer s.messages.Put(message)
	*message = append(appendContent((*message)[:0], id, timestamp), body...)
	return key.sign(*message)
}

// appendContent appends what is signed before the body: "id.timestamp.".
func appendContent[T string | []byte](out []byte, id string, timestamp T) []byte {
	out = append(out, id...)
	out = append(out, '.')
	out = append(out, timestamp...)
	return append(out, '.')
}

// setHeaders sets three headers with one allocation. The names must be
// canonical.
func setHeaders(r *http.Request, names, values [3]string) {
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	backing := &values
	for i, name := range names {
		r.Header[name] = backing[i : i+1 : i+1]
	}
}

// Verify accepts a request whose three headers occur exactly once and are well
// formed. The timestamp must be within the tolerance. One of the at most 16
// signatures (8 KiB) must be that of an active key over the exact body.
//
// An entry of the list that is not a well-formed v1 or v1a signature is
// skipped, as the specification says. Of the v1a signatures the first two
// distinct ones count.
func (s *Standard) Verify(r *http.Request, body []byte) (Verified, error) {
	if s == nil || len(s.keys) == 0 {
		return Verified{}, notMade("Standard", "NewStandard")
	}
	id, timestamp, text, err := s.headers(r.Header)
	if err != nil {
		return Verified{}, s.diagnosis.missing(err, r.Header, s.signatureHeader)
	}
	if err := CheckID(s.idHeader, id); err != nil {
		return Verified{}, err
	}
	seconds, ok := parseTimestamp(timestamp)
	if !ok {
		return Verified{}, timestampError(s.timestampHeader, timestamp)
	}
	at, now := time.Unix(seconds, 0), now(s.at)
	if err := CheckAge(s.timestampHeader, at, now, s.tolerance); err != nil {
		return Verified{}, err
	}
	var list signatures
	if err := list.parseStandard(text); err != nil {
		return Verified{}, err
	}
	key := s.match(now, &list, id, timestamp, body)
	if key == nil {
		hint := s.diagnosis.explain(r.Header, s.signatureHeader, s.keys, list.v1(), body,
			content{"id.timestamp.body", id + "." + timestamp + "."}, content{"timestamp.body", timestamp + "."}, content{"body", ""})
		if list.nMACs+list.nPairs == 0 && s.diagnosis != nil {
			hint += oddEntries(text)
		}
		return Verified{}, fmt.Errorf("%w: %s in %s, %d key(s) tried%s", ErrNoMatch, list.counts(), s.signatureHeader, len(s.keys), hint)
	}
	return Verified{ID: id, Timestamp: at, Principal: s.principal, Key: key.name}, nil
}

func (s *Standard) headers(h http.Header) (id, timestamp, list string, err error) {
	if id, err = single(h, s.idHeader); err != nil {
		return "", "", "", err
	}
	if timestamp, err = single(h, s.timestampHeader); err != nil {
		return "", "", "", err
	}
	list, err = single(h, s.signatureHeader)
	return id, timestamp, list, err
}

// match tries every active secret with one MAC each, and does not stop at the
// first match. A forged request costs at most one MAC per secret and four
// Ed25519 verifications.
func (s *Standard) match(now time.Time, list *signatures, id, timestamp string, body []byte) *activeKey {
	var matched *activeKey
	for _, key := range s.keys {
		if !key.active(now) || key.mac == nil || list.nMACs == 0 {
			continue
		}
		state := key.mac.get()
		state.prefix = appendContent(state.prefix, id, timestamp)
		if matches(state.compute(body), list.v1()) && matched == nil {
			matched = key
		}
		key.mac.put(state)
	}
	if matched == nil && list.nPairs > 0 {
		matched = s.matchEd25519(now, list, id, timestamp, body)
	}
	return matched
}

// matchEd25519 stops at the first match, because the time reveals nothing
// secret about public keys.
func (s *Standard) matchEd25519(now time.Time, list *signatures, id, timestamp string, body []byte) *activeKey {
	message := s.messages.Get().(*[]byte)
	defer s.messages.Put(message) // in the loop, a defer would allocate
	*message = (*message)[:0]
	for _, key := range s.keys {
		if !key.active(now) || key.public == nil {
			continue
		}
		if len(*message) == 0 {
			*message = append(appendContent(*message, id, timestamp), body...)
		}
		for i := range list.nPairs {
			if ed25519.Verify(key.public, *message, list.pairs[i][:]) {
				return key
			}
		}
	}
	return nil
}
