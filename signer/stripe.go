package signer

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const stripeHeader = "Stripe-Signature"

var (
	_ Signer = (*Stripe)(nil)
	_ Scheme = (*Stripe)(nil)
)

// Stripe is the layout of Stripe's webhooks, which others have copied: hex HMAC-SHA256 over "timestamp.body", in one
// header with the time and a signature for each active key,
//
//	Stripe-Signature: t=1764000000,v1=<hex>,v1=<hex>
//
// The whole text of a whsec_ secret is the key, as in Stripe's own libraries. The ID is neither sent nor signed. For
// anything new prefer [Standard]. A Stripe is immutable and safe for concurrent use.
type Stripe struct {
	keys      []*activeKey
	tolerance time.Duration
	principal string
	header    string
	diagnosis *diagnosis
}

// NewStripe returns the scheme for a secret from [NewLiteralSecret]. Options: [WithHeader], [WithKey], [WithTolerance],
// [WithPrincipal], [WithoutDiagnosis]. Errors wrap [ErrConfig].
func NewStripe(key Key, opts ...Option) (*Stripe, error) {
	const scheme = "Stripe"
	c, err := newConfig(scheme, key, append([]Option{WithHeader(stripeHeader)}, opts...),
		"WithHeader", "WithKey", "WithTolerance", "WithPrincipal", "WithoutDiagnosis")
	if err != nil {
		return nil, err
	}
	keys, err := newKeySet(scheme, accepts{form: formLiteral}, c.keys)
	if err != nil {
		return nil, err
	}
	return &Stripe{keys: keys, tolerance: c.tolerance, principal: c.principal, header: c.header, diagnosis: c.newDiagnosis()}, nil
}

// Tolerance returns how far a timestamp may lie from now, on either side.
func (s *Stripe) Tolerance() time.Duration { return s.tolerance }

// Present reports whether a request carries this scheme's header; see [AnyOf].
func (s *Stripe) Present(h http.Header) bool { return len(h[s.header]) > 0 }

// SignsID reports that the delivery ID is not covered.
func (s *Stripe) SignsID() bool { return false }

// Format prints the scheme's name and nothing of its keys, whatever the verb.
func (s *Stripe) Format(f fmt.State, _ rune) { io.WriteString(f, "signer.Stripe") }

// Sign sets the header, with a signature by every key that is active at the given time. Errors wrap [ErrInvalidMessage] or
// [ErrNoActiveKey]; the request is then unchanged.
func (s *Stripe) Sign(r *http.Request, id string, at time.Time, body []byte) error {
	seconds, err := checkMessage(id, at)
	if err != nil {
		return err
	}
	var scratch [len("t=,") + maxTimestampDigits + 4*(len("v1=,")+hexMAC)]byte
	out := strconv.AppendInt(append(scratch[:0], "t="...), seconds, 10)
	unsigned := len(out)
	for _, key := range s.keys {
		if !key.active(at) {
			continue
		}
		state := key.mac.get()
		state.prefix = append(append(state.prefix, out[len("t="):unsigned]...), '.')
		out = hex.AppendEncode(append(out, ",v1="...), state.compute(body))
		key.mac.put(state)
	}
	if len(out) == unsigned {
		return fmt.Errorf("%w: add one to Stripe with WithKey", ErrNoActiveKey)
	}
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	r.Header[s.header] = []string{string(out)}
	return nil
}

// Verify accepts a request whose header occurs exactly once, has one t and at most 16 signatures (8 KiB), a timestamp
// within the tolerance, and a v1 signature that an active key gives over the exact body. Signatures of other versions
// are passed over; one v1 signature that is not 64 lower-case hex digits spoils the header.
func (s *Stripe) Verify(r *http.Request, body []byte) (Verified, error) {
	list, err := single(r.Header, s.header)
	if err != nil {
		return Verified{}, s.diagnosis.missing(err, r.Header, s.header)
	}
	var macs [maxSignatures][macSize]byte
	timestamp, n, err := s.parse(list, &macs)
	if err != nil {
		return Verified{}, err
	}
	seconds, ok := parseTimestamp(timestamp)
	if !ok {
		return Verified{}, timestampError("t in "+s.header, timestamp)
	}
	at, now := time.Unix(seconds, 0), time.Now()
	if err := checkAge(s.header, at, now, s.tolerance); err != nil {
		return Verified{}, err
	}
	matched := matchTimestamped(s.keys, now, timestamp, macs[:n], body)
	if matched == nil {
		hint := s.diagnosis.explain(r.Header, s.header, s.keys, macs[:n], body, content{"timestamp.body", timestamp + "."})
		return Verified{}, fmt.Errorf("%w: %d v1 signature(s) in %s, %d key(s) tried%s", ErrNoMatch, n, s.header, len(s.keys), hint)
	}
	return Verified{Timestamp: at, Principal: s.principal, Key: matched.name}, nil
}

// parse reads t and the v1 signatures.
func (s *Stripe) parse(list string, macs *[maxSignatures][macSize]byte) (timestamp string, n int, err error) {
	if len(list) > maxSignatureHeader {
		return "", 0, fmt.Errorf("%w: %s has %d bytes; at most %d", ErrMalformed, s.header, len(list), maxSignatureHeader)
	}
	timed := false
	for entries, more := 0, true; more; entries++ {
		if entries > maxSignatures { // and one for t
			return "", 0, fmt.Errorf("%w: %s has more than %d signatures", ErrMalformed, s.header, maxSignatures)
		}
		var entry string
		entry, list, more = strings.Cut(list, ",")
		name, value, ok := strings.Cut(entry, "=")
		switch {
		// A blank after a comma is how two lines of one header look when a proxy has joined them.
		case !ok || name == "" || value == "" || strings.ContainsAny(name, " \t"):
			return "", 0, fmt.Errorf("%w: %s is not a comma-separated list of name=value", ErrMalformed, s.header)
		case name == "t" && timed:
			return "", 0, fmt.Errorf("%w: %s has more than one t", ErrMalformed, s.header)
		case name == "t":
			timestamp, timed = value, true
		case name == versionHMAC:
			if n == maxSignatures {
				return "", 0, fmt.Errorf("%w: %s has more than %d signatures", ErrMalformed, s.header, maxSignatures)
			}
			if !decodeHex(macs[n][:], value) {
				return "", 0, fmt.Errorf("%w: a v1 signature in %s is not %d lower-case hex digits", ErrMalformed, s.header, hexMAC)
			}
			n++
		}
	}
	if !timed {
		return "", 0, fmt.Errorf("%w: %s has no t", ErrMalformed, s.header)
	}
	return timestamp, n, nil
}

// matchTimestamped tries every active key over "timestamp.body", one MAC each, without stopping at the first that fits.
func matchTimestamped(keys []*activeKey, now time.Time, timestamp string, macs [][macSize]byte, body []byte) *activeKey {
	var matched *activeKey
	for _, key := range keys {
		if !key.active(now) {
			continue
		}
		state := key.mac.get()
		state.prefix = append(append(state.prefix, timestamp...), '.')
		if matches(state.compute(body), macs) && matched == nil {
			matched = key
		}
		key.mac.put(state)
	}
	return matched
}
