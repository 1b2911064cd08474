package httpsig

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/dunglas/httpsfv"

	"github.com/deployhook/deployhook/signer"
)

var (
	_ signer.Signer = (*Scheme)(nil)
	_ signer.Scheme = (*Scheme)(nil)
)

// Scheme signs and verifies with HTTP Message Signatures, RFC 9421. A signed
// request has
//
//	Webhook-Id: whk_0198…
//	Content-Digest: sha-256=:<base64>:
//	Signature-Input: sig1=("@method" "@target-uri" "content-type" "content-digest" "webhook-id");created=1764000000;keyid="2026-11"
//	Signature: sig1=:<base64>:
//
// with one labelled signature for each active key. [signer.AnyOf] can combine
// it with other schemes. A Scheme is immutable and safe for concurrent use.
type Scheme struct {
	keys      []*activeKey
	tolerance time.Duration
	principal string
	external  *target
	buffers   *sync.Pool // of *[]byte, for signature bases
}

// New returns the scheme for a key from [NewKey] or [NewRemoteKey]. The options
// are [WithKey], [WithTolerance], [WithPrincipal] and [WithExternalURL]. Errors
// wrap [signer.ErrConfig].
func New(key Key, opts ...Option) (*Scheme, error) {
	c, err := newConfig(key, opts)
	if err != nil {
		return nil, err
	}
	external, err := c.externalBase()
	if err != nil {
		return nil, err
	}
	keys, err := newKeySet(c.keys)
	if err != nil {
		return nil, err
	}
	return &Scheme{
		keys: keys, tolerance: c.tolerance, principal: c.principal, external: external,
		buffers: &sync.Pool{New: func() any { return new([]byte) }},
	}, nil
}

// Tolerance returns how far the created parameter may lie from now, on either
// side.
func (s *Scheme) Tolerance() time.Duration {
	if s == nil {
		return 0
	}
	return s.tolerance
}

// Present reports whether a request has one of the signature headers, see
// [signer.AnyOf].
func (s *Scheme) Present(h http.Header) bool {
	return len(h[inputHeader]) > 0 || len(h[signatureHeader]) > 0
}

// SignsID reports that the delivery ID is covered by the signature.
func (s *Scheme) SignsID() bool { return true }

// Principals returns the principal of [WithPrincipal]; see [signer.Scheme].
func (s *Scheme) Principals() []string {
	if s.unmade() {
		return nil
	}
	return []string{s.principal}
}

// unmade reports whether s is nil or the zero value.
func (s *Scheme) unmade() bool { return s == nil || len(s.keys) == 0 }

func notMade() error {
	return configError("Scheme is nil or the zero value; make one with New and check its error")
}

// Format prints the scheme's name and nothing of its keys, whatever the verb.
func (s *Scheme) Format(f fmt.State, _ rune) { io.WriteString(f, "httpsig.Scheme") }

// Sign sets the four headers, with a signature by every key that can sign and
// is active at the given time, in whole Unix seconds. r is an outgoing request
// that is otherwise complete: its method, absolute URL, Host and one
// Content-Type are signed. Sign replaces earlier values of the four headers.
//
// Errors wrap [signer.ErrInvalidMessage] or [signer.ErrNoActiveKey], or come
// from your crypto.Signer. After an error the request is unchanged. Only a key
// of [NewRemoteKey] uses ctx.
func (s *Scheme) Sign(ctx context.Context, r *http.Request, id string, at time.Time, body []byte) error {
	if s.unmade() {
		return notMade()
	}
	if err := signer.CheckMessage(id, at); err != nil {
		return err
	}
	to, err := targetOf(r, nil)
	if err != nil {
		return fmt.Errorf("%w: %v", signer.ErrInvalidMessage, err)
	}
	contentType, err := single(r.Header, "Content-Type")
	if err != nil {
		return fmt.Errorf("%w: %v", signer.ErrInvalidMessage, err)
	}
	headers := http.Header{
		"Content-Type":  {contentType},
		digestHeader:    {digestText(sha256.Sum256(body))},
		signer.HeaderID: {id},
	}
	inputs, values, err := s.signatures(ctx, message{&http.Request{Method: r.Method, Header: headers}, to}, at)
	if err != nil {
		return err
	}
	for _, name := range [...]string{digestHeader, signer.HeaderID} {
		r.Header[name] = headers[name]
	}
	r.Header[inputHeader], r.Header[signatureHeader] = []string{inputs}, []string{values}
	return nil
}

// signatures returns the values of the two signature headers. They are written
// by hand, which for these fixed names and checked key IDs is the canonical
// form.
func (s *Scheme) signatures(ctx context.Context, m message, at time.Time) (inputs, values string, err error) {
	components := required()
	buffer := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buffer)
	var input, value, raw []byte
	for i, key := range s.keys {
		if !key.active(at) || !key.canSign() {
			continue
		}
		if len(input) > 0 {
			input, value = append(input, ", "...), append(value, ", "...)
		}
		input = append(strconv.AppendInt(append(input, "sig"...), int64(i+1), 10), '=')
		value = append(strconv.AppendInt(append(value, "sig"...), int64(i+1), 10), "=:"...)
		start := len(input)
		input = appendParams(input, components[:], at.Unix(), key.id)
		*buffer, err = m.appendBase((*buffer)[:0], components[:], string(input[start:]))
		if err != nil {
			return "", "", fmt.Errorf("%w: %v", signer.ErrInvalidMessage, err)
		}
		if raw, err = key.sign(ctx, raw[:0], *buffer); err != nil {
			return "", "", err
		}
		value = append(base64.StdEncoding.AppendEncode(value, raw), ':')
	}
	if len(input) == 0 {
		return "", "", fmt.Errorf("%w: add one that can sign with WithKey", signer.ErrNoActiveKey)
	}
	return string(input), string(value), nil
}

// appendParams appends the components and parameters of a signature, RFC 9421
// §2.3.
func appendParams(out []byte, components []string, created int64, keyID string) []byte {
	for i, name := range components {
		out = append(out, " "[:min(i, 1)]...)
		if i == 0 {
			out = append(out, '(')
		}
		out = append(append(append(out, '"'), name...), '"')
	}
	out = strconv.AppendInt(append(out, ");created="...), created, 10)
	return append(append(append(out, `;keyid="`...), keyID...), '"')
}

// Verify accepts a request with a signature that an active key gives over its
// method, target URI, content type, content digest and delivery ID. The
// signature must be made within the tolerance and not expired, and the
// Content-Digest must be that of the exact body. The caller has read body and
// bounded its size.
//
// Signatures by unknown keys are skipped. If there are several signatures by
// known keys, one valid one is enough. Errors wrap [signer.ErrUnverified].
func (s *Scheme) Verify(r *http.Request, body []byte) (signer.Verified, error) {
	if s.unmade() {
		return signer.Verified{}, notMade()
	}
	signatures, err := parse(r.Header)
	if err != nil {
		return signer.Verified{}, err
	}
	to, err := targetOf(r, s.external)
	if err != nil {
		return signer.Verified{}, err
	}
	id, err := single(r.Header, signer.HeaderID)
	if err != nil {
		return signer.Verified{}, err
	}
	if err := signer.CheckID(signer.HeaderID, id); err != nil {
		return signer.Verified{}, err
	}
	key, created, err := s.match(message{r, to}, signatures)
	if err != nil {
		return signer.Verified{}, err
	}
	// The digest comes last, so that a forged request does not cost a hash of
	// its body.
	if err := checkDigest(r.Header, body); err != nil {
		return signer.Verified{}, err
	}
	return signer.Verified{ID: id, Timestamp: created, Principal: s.principal, Key: key.id}, nil
}

// match returns the key and the time of the first good signature, or the first
// reason against one by a known key. Of each key the first two signatures
// count, so that a forged request costs at most four Ed25519 verifications.
func (s *Scheme) match(m message, signatures []signature) (*activeKey, time.Time, error) {
	now := time.Now()
	var reason error
	var tried [maxKeys]int
	for _, sig := range signatures {
		i, key := s.key(sig.keyID(), now)
		if key == nil || tried[i] == maxSignaturesPerKey {
			continue
		}
		tried[i]++
		created, err := s.check(m, sig, key, now)
		if err == nil {
			return key, created, nil
		}
		if reason == nil {
			reason = err
		}
	}
	if reason == nil {
		reason = fmt.Errorf("%w: none of the %d signature(s) has the keyid of an active key", signer.ErrNoMatch, len(signatures))
	}
	return nil, time.Time{}, reason
}

// key returns the active key with an ID and its place, or nil.
func (s *Scheme) key(id string, now time.Time) (int, *activeKey) {
	for i, key := range s.keys {
		if key.id == id && key.active(now) {
			return i, key
		}
	}
	return 0, nil
}

// check verifies one signature by a known key.
func (s *Scheme) check(m message, sig signature, key *activeKey, now time.Time) (time.Time, error) {
	components, err := sig.components()
	if err != nil {
		return time.Time{}, err
	}
	created, err := sig.checkParams(key.Key, now, s.tolerance)
	if err != nil {
		return time.Time{}, err
	}
	params, err := httpsfv.Marshal(sig.list)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %s can't be written again", signer.ErrMalformed, inputHeader)
	}
	buffer := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buffer)
	base, err := m.appendBase((*buffer)[:0], components, params)
	if err != nil {
		return time.Time{}, err
	}
	*buffer = base
	if !key.verify(base, sig.bytes) {
		return time.Time{}, fmt.Errorf("%w: the signature by key %q does not fit the request, whose target is taken to be at %.300q (behind a proxy, see WithExternalURL)",
			signer.ErrNoMatch, key.id, m.target.scheme+"://"+m.target.authority)
	}
	return created, nil
}
