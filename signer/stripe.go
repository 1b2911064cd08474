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

const stripeHeader = "Stripe-Signature"

var (
	_ Signer = (*Stripe)(nil)
	_ Scheme = (*Stripe)(nil)
)

// Stripe is the layout of Stripe's webhooks, which others have copied. It is
// the hex HMAC-SHA256 of "timestamp.body", in one header with the time and a
// signature for each active key:
//
//	Stripe-Signature: t=1764000000,v1=<hex>,v1=<hex>
//
// Buildkite's webhooks have this layout under other names:
// WithHeader("X-Buildkite-Signature"), WithFieldNames("timestamp",
// "signature"). The whole text of a whsec_ secret is the key, as in Stripe's
// own libraries. The ID is neither sent nor signed. For anything new prefer
// [Standard]. A Stripe is immutable and safe for concurrent use.
type Stripe struct {
	keys      []*activeKey
	tolerance time.Duration
	at        time.Time // of InsecureAt
	principal string
	header    string
	diagnosis *diagnosis

	timeField, signatureField string
}

// NewStripe returns the scheme for a secret from [NewLiteralSecret]. The
// options are [WithHeader], [WithFieldNames], [WithKey], [WithTolerance],
// [WithPrincipal],
// [WithoutDiagnosis] and [InsecureAt]. Errors wrap [ErrConfig].
func NewStripe(key Key, opts ...Option) (*Stripe, error) {
	const scheme = "Stripe"
	c, err := newConfig(scheme, key, append([]Option{WithHeader(stripeHeader), WithFieldNames("t", versionHMAC)}, opts...),
		"WithHeader", "WithFieldNames", "WithKey", "WithTolerance", "WithPrincipal", "WithoutDiagnosis", "InsecureAt")
	if err != nil {
		return nil, err
	}
	keys, err := newKeySet(scheme, accepts{form: formLiteral}, c.keys)
	if err != nil {
		return nil, err
	}
	return &Stripe{
		keys: keys, tolerance: c.tolerance, at: c.at, principal: c.principal, header: c.header, diagnosis: c.newDiagnosis(),
		timeField: c.timeField, signatureField: c.signatureField,
	}, nil
}

// Tolerance returns how far a timestamp may lie from now, on either side.
func (s *Stripe) Tolerance() time.Duration {
	if s == nil {
		return 0
	}
	return s.tolerance
}

// Present reports whether a request carries this scheme's header, see [AnyOf].
func (s *Stripe) Present(h http.Header) bool { return s != nil && len(h[s.header]) > 0 }

// SignsID reports that the delivery ID is not covered.
func (s *Stripe) SignsID() bool { return false }

// Principals returns the principal of [WithPrincipal], see [Scheme].
func (s *Stripe) Principals() []string {
	if s == nil {
		return nil
	}
	return principals(s.keys, s.principal)
}

// Format prints the scheme's name and nothing of its keys, whatever the verb.
func (s *Stripe) Format(f fmt.State, _ rune) { io.WriteString(f, "signer.Stripe") }

// Sign sets the header, with a signature by every key that is active at the
// given time. Errors wrap [ErrInvalidMessage] or [ErrNoActiveKey]. After an
// error the request is unchanged.
func (s *Stripe) Sign(_ context.Context, r *http.Request, id string, at time.Time, body []byte) error {
	if s == nil || len(s.keys) == 0 {
		return notMade("Stripe", "NewStripe")
	}
	if err := CheckMessage(id, at); err != nil {
		return err
	}
	var scratch [maxField + len("=,") + maxTimestampDigits + 4*(len("v1=,")+hexMAC)]byte
	out := append(append(scratch[:0], s.timeField...), '=')
	begin := len(out)
	out = strconv.AppendInt(out, at.Unix(), 10)
	unsigned := len(out)
	for _, key := range s.keys {
		if !key.active(at) {
			continue
		}
		state := key.mac.get()
		state.prefix = append(append(state.prefix, out[begin:unsigned]...), '.')
		out = append(append(append(out, ','), s.signatureField...), '=')
		out = hex.AppendEncode(out, state.compute(body))
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

// Verify accepts a request whose header occurs exactly once and has one t
// within the tolerance. An active key must give one of the at most 16 v1
// signatures (8 KiB) over the exact body. An entry that is not v1 with 64
// lower-case hex digits is skipped. A repeated t is refused.
func (s *Stripe) Verify(r *http.Request, body []byte) (Verified, error) {
	if s == nil || len(s.keys) == 0 {
		return Verified{}, notMade("Stripe", "NewStripe")
	}
	text, err := single(r.Header, s.header)
	if err != nil {
		return Verified{}, s.diagnosis.missing(err, r.Header, s.header)
	}
	var list signatures
	timestamp, err := s.parse(text, &list)
	if err != nil {
		return Verified{}, err
	}
	seconds, ok := parseTimestamp(timestamp)
	if !ok {
		return Verified{}, timestampError(s.timeField+" in "+s.header, timestamp)
	}
	at, now := time.Unix(seconds, 0), now(s.at)
	if err := CheckAge(s.header, at, now, s.tolerance); err != nil {
		return Verified{}, err
	}
	matched := matchTimestamped(s.keys, now, timestamp, list.v1(), body)
	if matched == nil {
		hint := s.diagnosis.explain(r.Header, s.header, s.keys, list.v1(), body, content{"timestamp.body", timestamp + "."}, content{"body", ""})
		return Verified{}, fmt.Errorf("%w: %d %s signature(s) and %d other entries in %s, %d key(s) tried%s", ErrNoMatch, list.nMACs, s.signatureField, list.skipped, s.header, len(s.keys), hint)
	}
	return Verified{Timestamp: at, Principal: s.principal, Key: matched.name}, nil
}

// parse reads a comma-separated list of "name=value" with one t and the v1
// signatures. It skips other entries, but counts them towards the limits.
func (s *Stripe) parse(list string, found *signatures) (timestamp string, err error) {
	if len(list) > maxSignatureHeader {
		return "", fmt.Errorf("%w: %s has %d bytes; at most %d", ErrMalformed, s.header, len(list), maxSignatureHeader)
	}
	timed := false
	for entries, more := 0, true; more; {
		var entry string
		entry, list, more = strings.Cut(list, ",")
		name, value, _ := strings.Cut(entry, "=")
		if strings.Trim(name, " \t") == s.timeField {
			// A proxy that joins two lines of one header leaves a blank before
			// the second value.
			if timed || name != s.timeField {
				return "", fmt.Errorf("%w: %s has more than one %s, or a blank beside it", ErrMalformed, s.header, s.timeField)
			}
			timestamp, timed = value, true
			continue
		}
		if entries++; entries > maxSignatures {
			return "", fmt.Errorf("%w: %s has more than %d signatures", ErrMalformed, s.header, maxSignatures)
		}
		if name == s.signatureField && decodeHex(found.macs[found.nMACs][:], value) {
			found.nMACs++
		} else {
			found.skipped++
		}
	}
	if !timed {
		return "", fmt.Errorf("%w: %s has no %s", ErrMalformed, s.header, s.timeField)
	}
	return timestamp, nil
}

// matchTimestamped tries every active key over "timestamp.body" with one MAC
// each, and does not stop at the first match.
func matchTimestamped(keys []*activeKey, now time.Time, timestamp string, macs [][macSize]byte, body []byte) *activeKey {
	var matched *activeKey
	for _, key := range keys {
		if !key.active(now) || len(macs) == 0 {
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
