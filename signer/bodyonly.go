package signer

import (
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	githubHeader    = "X-Hub-Signature-256"
	bitbucketHeader = "X-Hub-Signature"
	vercelHeader    = "X-Vercel-Signature"
	herokuHeader    = "Heroku-Webhook-Hmac-Sha256"
)

var _ Scheme = (*BodyOnly)(nil)

// BodyOnly verifies schemes that sign the body and nothing else: no ID, no time. A captured request stays valid for as
// long as the secret does, so deduplication is the only defence against replay, and only for as long as its store
// remembers. BodyOnly can't sign: choose [Standard] for what you send. Make one with [NewGitHub], [NewLegacyVercel] or
// [NewLegacyHeroku]. It is immutable and safe for concurrent use.
type BodyOnly struct {
	name      string
	header    string
	prefix    string // before the encoded MAC, required
	base64    bool   // how the MAC is encoded; otherwise hex
	size      int    // of the MAC
	keys      []*activeKey
	principal string
	diagnosis *diagnosis
}

// NewGitHub verifies GitHub's X-Hub-Signature-256, "sha256=" and the lower-case hex HMAC-SHA256 of the body, for a secret
// from [NewLiteralSecret]. Bitbucket Cloud and Data Center use the same under another name: WithHeader("X-Hub-Signature").
//
// There is no timestamp and no signed ID; see [BodyOnly]. GitHub's X-GitHub-Delivery header is not signed and must not be
// used to deduplicate. Options: [WithHeader], [WithKey], [WithPrincipal], [WithoutDiagnosis]. Errors wrap [ErrConfig].
func NewGitHub(key Key, opts ...Option) (*BodyOnly, error) {
	return newBodyOnly("GitHub", BodyOnly{header: githubHeader, prefix: hashPrefix, size: sha256.Size}, nil, key, opts)
}

// NewLegacyVercel verifies Vercel's x-vercel-signature, the lower-case hex HMAC-SHA1 of the body. It exists because Vercel
// sends that; nothing new should use SHA-1 or leave out the time. Options and errors as for [NewGitHub].
func NewLegacyVercel(key Key, opts ...Option) (*BodyOnly, error) {
	return newBodyOnly("LegacyVercel", BodyOnly{header: vercelHeader, size: sha1.Size}, sha1.New, key, opts)
}

// NewLegacyHeroku verifies Heroku's Heroku-Webhook-Hmac-SHA256, the base64 HMAC-SHA256 of the body. It exists because
// Heroku sends that; nothing new should leave out the time. Options and errors as for [NewGitHub].
func NewLegacyHeroku(key Key, opts ...Option) (*BodyOnly, error) {
	return newBodyOnly("LegacyHeroku", BodyOnly{header: herokuHeader, base64: true, size: sha256.Size}, nil, key, opts)
}

// newBodyOnly completes s; newHash is nil for SHA-256.
func newBodyOnly(name string, s BodyOnly, newHash func() hash.Hash, key Key, opts []Option) (*BodyOnly, error) {
	c, err := newConfig(name, key, append([]Option{WithHeader(s.header)}, opts...), "WithHeader", "WithKey", "WithPrincipal", "WithoutDiagnosis")
	if err != nil {
		return nil, err
	}
	s.keys, err = newKeySet(name, accepts{form: formLiteral}, c.keys)
	if err != nil {
		return nil, err
	}
	if newHash != nil {
		for _, k := range s.keys {
			k.mac = newMACKey(newHash, k.secret.bytes())
		}
		c.blind = true // diagnosis knows HMAC-SHA256 only
	}
	s.name, s.header, s.principal, s.diagnosis = name, c.header, c.principal, c.newDiagnosis()
	return &s, nil
}

// Present reports whether a request carries this scheme's header; see [AnyOf].
func (s *BodyOnly) Present(h http.Header) bool { return s != nil && len(h[s.header]) > 0 }

// SignsID reports that there is no signed delivery ID.
func (s *BodyOnly) SignsID() bool { return false }

// Principals returns the principal of [WithPrincipal]; see [Scheme].
func (s *BodyOnly) Principals() []string {
	if s == nil {
		return nil
	}
	return principals(s.keys, s.principal)
}

// Format prints the scheme's name and nothing of its keys, whatever the verb.
func (s *BodyOnly) Format(f fmt.State, _ rune) { io.WriteString(f, "signer."+s.title()) }

// title is the constructor's name without New.
func (s *BodyOnly) title() string {
	if s == nil || s.name == "" {
		return "BodyOnly"
	}
	return s.name
}

// decode is a method since what is handed to a function value escapes to the heap.
func (s *BodyOnly) decode(mac []byte, encoded string) bool {
	if s.base64 {
		return decodeBase64(mac, encoded)
	}
	return decodeHex(mac, encoded)
}

// Verify accepts a request whose header occurs exactly once, has the one canonical spelling of a MAC, and is what an
// active key gives over the exact body.
func (s *BodyOnly) Verify(r *http.Request, body []byte) (Verified, error) {
	if s == nil || len(s.keys) == 0 {
		return Verified{}, notMade("BodyOnly", "NewGitHub")
	}
	signature, err := single(r.Header, s.header)
	if err != nil {
		return Verified{}, s.diagnosis.missing(err, r.Header, s.header)
	}
	var macs [1][macSize]byte
	encoded, ok := strings.CutPrefix(signature, s.prefix)
	if !ok || !s.decode(macs[0][:s.size], encoded) {
		return Verified{}, fmt.Errorf("%w: %s is not %q followed by the MAC of %d bytes in its canonical form", ErrMalformed, s.header, s.prefix, s.size)
	}
	var matched *activeKey
	now := time.Now()
	for _, key := range s.keys {
		if !key.active(now) {
			continue
		}
		state := key.mac.get()
		if matches(state.compute(body), macs[:]) && matched == nil {
			matched = key
		}
		key.mac.put(state)
	}
	if matched == nil {
		hint := s.diagnosis.explain(r.Header, s.header, s.keys, macs[:], body, content{"body", ""})
		return Verified{}, fmt.Errorf("%w: %d key(s) tried%s", ErrNoMatch, len(s.keys), hint)
	}
	return Verified{Principal: s.principal, Key: matched.name}, nil
}
