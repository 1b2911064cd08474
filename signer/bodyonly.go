package signer

import (
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	githubHeader    = "X-Hub-Signature-256"
	bitbucketHeader = "X-Hub-Signature"
)

var _ Scheme = (*BodyOnly)(nil)

// BodyOnly verifies schemes that sign the body alone, without ID or time. A
// captured request stays valid for as long as the secret does. Deduplication is
// the only defence against its replay, and it works only for as long as the
// store remembers. BodyOnly can't sign. Choose [Standard] for what you send.
// Make one with [NewGitHub] or [NewBodyOnly]. It is immutable and safe for
// concurrent use.
type BodyOnly struct {
	name      string
	header    string
	prefix    string // before the encoded MAC, required
	list      bool   // several signatures are separated by commas
	base64    bool   // how the MAC is encoded; otherwise hex
	size      int    // of the MAC
	keys      []*activeKey
	principal string
	at        time.Time // of InsecureAt
	diagnosis *diagnosis
}

// NewGitHub verifies GitHub's X-Hub-Signature-256 for a secret from
// [NewLiteralSecret]. The header is "sha256=" and the lower-case hex
// HMAC-SHA256 of the body. Bitbucket Cloud and Data Center send the same in
// another header, so give WithHeader("X-Hub-Signature").
//
// There is no timestamp and no signed ID, see [BodyOnly]. GitHub's
// X-GitHub-Delivery header is not signed and must not be used to deduplicate.
//
// The options are [WithHeader], [WithKey], [WithPrincipal],
// [WithoutDiagnosis] and [InsecureAt]. Errors wrap [ErrConfig].
func NewGitHub(key Key, opts ...Option) (*BodyOnly, error) {
	github := optionFunc(func(c *config) { c.header, c.mark = githubHeader, hashPrefix })
	return newBodyOnly("GitHub", key, append([]Option{github}, opts...))
}

// NewBodyOnly verifies the signature of a body in a header of the sender's
// choice, for a secret from [NewLiteralSecret]. [WithHeader] is required. By
// default the header holds the lower-case hex of HMAC-SHA256 and nothing else.
//
//	sender     options
//	CircleCI   WithHeader("Circleci-Signature"), WithSignaturePrefix("v1="), WithSignatureList()
//	Gogs       WithHeader("X-Gogs-Signature")
//	Gitea      WithHeader("X-Gitea-Signature")
//	Heroku     WithHeader("Heroku-Webhook-Hmac-Sha256"), WithBase64()
//	PagerDuty  WithHeader("X-PagerDuty-Signature"), WithSignaturePrefix("v1="), WithSignatureList()
//	Vercel     WithHeader("X-Vercel-Signature"), InsecureSHA1()
//
// There is no timestamp and no signed ID, see [BodyOnly]. The other options are
// [WithSignaturePrefix], [WithSignatureList], [WithBase64], [InsecureSHA1],
// [WithKey], [WithPrincipal], [WithoutDiagnosis] and [InsecureAt]. Errors
// wrap [ErrConfig].
func NewBodyOnly(key Key, opts ...Option) (*BodyOnly, error) {
	return newBodyOnly("BodyOnly", key, opts, "WithSignaturePrefix", "WithSignatureList", "WithBase64", "InsecureSHA1")
}

// newBodyOnly takes the options that all body-only schemes share, and those in
// further.
func newBodyOnly(name string, key Key, opts []Option, further ...string) (*BodyOnly, error) {
	known := append([]string{"WithHeader", "WithKey", "WithPrincipal", "WithoutDiagnosis", "InsecureAt"}, further...)
	c, err := newConfig(name, key, opts, known...)
	if err != nil {
		return nil, err
	}
	if c.header == "" {
		return nil, configError(name, "no header; name the one that holds the signature with WithHeader")
	}
	keys, err := newKeySet(name, accepts{form: formLiteral}, c.keys)
	if err != nil {
		return nil, err
	}
	size := sha256.Size
	if c.sha1 {
		for _, k := range keys {
			k.mac = newMACKey(sha1.New, k.secret.bytes())
		}
		size, c.blind = sha1.Size, true // diagnosis knows HMAC-SHA256 only
	}
	return &BodyOnly{
		name: name, header: c.header, prefix: c.mark, list: c.list, base64: c.base64, size: size,
		keys: keys, principal: c.principal, at: c.at, diagnosis: c.newDiagnosis(),
	}, nil
}

// Present reports whether a request carries this scheme's header, see [AnyOf].
func (s *BodyOnly) Present(h http.Header) bool { return s != nil && len(h[s.header]) > 0 }

// SignsID reports that there is no signed delivery ID.
func (s *BodyOnly) SignsID() bool { return false }

// Principals returns the principal of [WithPrincipal], see [Scheme].
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

// decode is a method, because arguments of a function value escape to the heap.
func (s *BodyOnly) decode(mac []byte, encoded string) bool {
	if s.base64 {
		return decodeBase64(mac, encoded)
	}
	return decodeHex(mac, encoded)
}

// parse appends the MACs of the header.
func (s *BodyOnly) parse(macs [][macSize]byte, text string) ([][macSize]byte, error) {
	if !s.list {
		return s.parseOne(macs, text)
	}
	entries := 0
	for entry := range strings.SplitSeq(text, ",") {
		if entries++; entries > maxSignatures {
			return nil, fmt.Errorf("%w: %s has more than %d signatures", ErrMalformed, s.header, maxSignatures)
		}
		if entry = strings.Trim(entry, " \t"); !strings.HasPrefix(entry, s.prefix) {
			continue // of another version
		}
		var err error
		if macs, err = s.parseOne(macs, entry); err != nil {
			return nil, err
		}
	}
	if len(macs) == 0 {
		return nil, fmt.Errorf("%w: %s has no signature that begins with %q", ErrMalformed, s.header, s.prefix)
	}
	return macs, nil
}

func (s *BodyOnly) parseOne(macs [][macSize]byte, text string) ([][macSize]byte, error) {
	var mac [macSize]byte
	encoded, ok := strings.CutPrefix(text, s.prefix)
	if !ok || !s.decode(mac[:s.size], encoded) {
		return nil, fmt.Errorf("%w: %s is not %q followed by the MAC of %d bytes in its canonical form%s", ErrMalformed, s.header, s.prefix, s.size, s.diagnosis.spelling(text))
	}
	return append(macs, mac), nil
}

// Verify accepts a request whose header occurs exactly once, has the one
// canonical spelling of a MAC, and is what an active key gives over the exact
// body. With [WithSignatureList] one of the MACs must be.
func (s *BodyOnly) Verify(r *http.Request, body []byte) (Verified, error) {
	if s == nil || len(s.keys) == 0 {
		return Verified{}, notMade("BodyOnly", "NewGitHub")
	}
	signature, err := single(r.Header, s.header)
	if err != nil {
		return Verified{}, s.diagnosis.missing(err, r.Header, s.header)
	}
	var all [maxSignatures][macSize]byte
	macs, err := s.parse(all[:0], signature)
	if err != nil {
		return Verified{}, err
	}
	var matched *activeKey
	now := now(s.at)
	for _, key := range s.keys {
		if !key.active(now) {
			continue
		}
		state := key.mac.get()
		if matches(state.compute(body), macs) && matched == nil {
			matched = key
		}
		key.mac.put(state)
	}
	if matched == nil {
		hint := s.diagnosis.explain(r.Header, s.header, s.keys, macs, body, content{"body", ""})
		return Verified{}, fmt.Errorf("%w: %d key(s) tried%s", ErrNoMatch, len(s.keys), hint)
	}
	return Verified{Principal: s.principal, Key: matched.name}, nil
}
