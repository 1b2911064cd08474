package signer

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Header names of the Standard Webhooks specification, in Go's canonical form.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

const (
	versionHMAC   = "v1"
	encodedMAC    = 44 // base64 of 32 bytes
	signatureSize = len(versionHMAC) + 1 + encodedMAC
)

var (
	_ Signer   = (*Standard)(nil)
	_ Verifier = (*Standard)(nil)
)

// Standard is the scheme of the Standard Webhooks specification, and the one to choose for anything new. It signs
// "id.timestamp.body" with HMAC-SHA256 and sets
//
//	Webhook-Id: whk_0198…
//	Webhook-Timestamp: 1764000000
//	Webhook-Signature: v1,<base64>            (one for each active key, separated by spaces)
//
// The ID and the time are signed, so [Verified] has both. A Standard is immutable and safe for concurrent use.
type Standard struct {
	keys      keySet
	tolerance time.Duration
	principal string
}

// NewStandard returns the scheme for a secret from [ParseSecret] or [GenerateSecret]. Options: [WithKey],
// [WithTolerance], [WithPrincipal]. Errors wrap [ErrConfig].
func NewStandard(key Key, opts ...Option) (*Standard, error) {
	const scheme = "Standard"
	c, err := newConfig(scheme, key, opts, "WithKey", "WithTolerance", "WithPrincipal")
	if err != nil {
		return nil, err
	}
	keys, err := newKeySet(scheme, formStandard, c.keys)
	if err != nil {
		return nil, err
	}
	return &Standard{keys: keys, tolerance: c.tolerance, principal: c.principal}, nil
}

// Tolerance returns how far a timestamp may lie from now, on either side.
func (s *Standard) Tolerance() time.Duration { return s.tolerance }

// Format prints the scheme's name and nothing of its keys, whatever the verb.
func (s *Standard) Format(f fmt.State, _ rune) { io.WriteString(f, "signer.Standard") }

// Sign sets the three headers, with a signature by every key that is active at the given time. Errors wrap
// [ErrInvalidMessage] or [ErrNoActiveKey]; the request is then unchanged.
func (s *Standard) Sign(r *http.Request, id string, at time.Time, body []byte) error {
	seconds, err := checkMessage(id, at)
	if err != nil {
		return err
	}
	// One string holds timestamp and signatures, one array the header values: two allocations, however many keys.
	var scratch [maxTimestampDigits + 4*(signatureSize+1)]byte
	out := strconv.AppendInt(scratch[:0], seconds, 10)
	digits := len(out)
	for _, key := range s.keys {
		if !key.active(at) {
			continue
		}
		if len(out) > digits {
			out = append(out, ' ')
		}
		out = append(out, versionHMAC+","...)
		out = key.appendStandard(out, id, out[:digits], body)
	}
	if len(out) == digits {
		return fmt.Errorf("%w: add one to Standard with WithKey", ErrNoActiveKey)
	}
	text := string(out)
	setHeaders(r, [3]string{HeaderID, HeaderTimestamp, HeaderSignature}, [3]string{id, text[:digits], text[digits:]})
	return nil
}

// appendStandard appends the base64 of the MAC over id.timestamp.body.
func (k *macKey) appendStandard(out []byte, id string, timestamp, body []byte) []byte {
	state := k.get()
	defer k.put(state)
	state.prefix = append(state.prefix, id...)
	state.prefix = append(state.prefix, '.')
	state.prefix = append(state.prefix, timestamp...)
	state.prefix = append(state.prefix, '.')
	state.compute(body)
	return base64.StdEncoding.AppendEncode(out, state.sum[:])
}

// setHeaders replaces three single-valued headers with one allocation. Names are canonical.
func setHeaders(r *http.Request, names, values [3]string) {
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	backing := &values
	for i, name := range names {
		r.Header[name] = backing[i : i+1 : i+1]
	}
}

// Verify accepts a request whose three headers occur exactly once and are well formed, whose timestamp is within the
// tolerance, and whose list of at most 16 signatures (8 KiB) has one that an active key gives over the exact body.
// Signatures of other versions are passed over; one v1 signature that is not 32 bytes of base64 spoils the list.
func (s *Standard) Verify(r *http.Request, body []byte) (Verified, error) {
	id, err := single(r.Header, HeaderID)
	if err != nil {
		return Verified{}, err
	}
	timestamp, err := single(r.Header, HeaderTimestamp)
	if err != nil {
		return Verified{}, err
	}
	list, err := single(r.Header, HeaderSignature)
	if err != nil {
		return Verified{}, err
	}
	if !validID(id) {
		return Verified{}, fmt.Errorf("%w: %s is not 1 to %d bytes of visible ASCII without a dot", ErrMalformed, HeaderID, maxIDLength)
	}
	seconds, ok := parseTimestamp(timestamp)
	if !ok {
		return Verified{}, timestampError(HeaderTimestamp, timestamp)
	}
	at, now := time.Unix(seconds, 0), time.Now()
	if err := checkAge(HeaderTimestamp, at, now, s.tolerance); err != nil {
		return Verified{}, err
	}
	var found [maxSignatures][macSize]byte
	n, err := parseStandardList(list, &found)
	if err != nil {
		return Verified{}, err
	}
	key := s.match(now, found[:n], id, timestamp, body)
	if key == nil {
		return Verified{}, fmt.Errorf("%w: %d v1 signature(s) in %s, %d key(s) tried", ErrNoMatch, n, HeaderSignature, len(s.keys))
	}
	return Verified{ID: id, Timestamp: at, Principal: s.principal, Key: key.name}, nil
}

// match tries every active key, one MAC each, without stopping at the first that fits.
func (s *Standard) match(now time.Time, signatures [][macSize]byte, id, timestamp string, body []byte) *macKey {
	var matched *macKey
	for _, key := range s.keys {
		if !key.active(now) {
			continue
		}
		state := key.get()
		state.prefix = append(state.prefix, id...)
		state.prefix = append(state.prefix, '.')
		state.prefix = append(state.prefix, timestamp...)
		state.prefix = append(state.prefix, '.')
		state.compute(body)
		if state.matches(signatures) && matched == nil {
			matched = key
		}
		key.put(state)
	}
	return matched
}

// parseStandardList reads the v1 signatures of a list into found and returns how many there are.
func parseStandardList(list string, found *[maxSignatures][macSize]byte) (int, error) {
	if len(list) > maxSignatureHeader {
		return 0, fmt.Errorf("%w: %s has %d bytes; at most %d", ErrMalformed, HeaderSignature, len(list), maxSignatureHeader)
	}
	n := 0
	for entries, more := 0, true; more; entries++ {
		if entries == maxSignatures {
			return 0, fmt.Errorf("%w: %s has more than %d signatures", ErrMalformed, HeaderSignature, maxSignatures)
		}
		var entry string
		entry, list, more = strings.Cut(list, " ")
		version, encoded, ok := strings.Cut(entry, ",")
		if !ok || version == "" || encoded == "" {
			return 0, fmt.Errorf("%w: %s is not a space-separated list of version,signature", ErrMalformed, HeaderSignature)
		}
		if version != versionHMAC {
			continue
		}
		if !decodeMAC(&found[n], encoded) {
			return 0, fmt.Errorf("%w: a v1 signature in %s is not the base64 of %d bytes", ErrMalformed, HeaderSignature, macSize)
		}
		n++
	}
	return n, nil
}

// decodeMAC reads exactly one canonical spelling: padded standard base64 with zero trailing bits.
func decodeMAC(dst *[macSize]byte, encoded string) bool {
	if len(encoded) != encodedMAC {
		return false
	}
	// Both live on the stack. The decoder skips line ends, so a text of the right length can still decode short.
	var text [encodedMAC]byte
	var raw [macSize + 1]byte
	copy(text[:], encoded)
	n, err := strictBase64.Decode(raw[:], text[:])
	if err != nil || n != macSize {
		return false
	}
	copy(dst[:], raw[:macSize])
	return true
}

// strictBase64 refuses non-zero trailing bits, so that each signature has one spelling.
var strictBase64 = base64.StdEncoding.Strict()
