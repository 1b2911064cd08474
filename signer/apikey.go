package signer

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	authorizationHeader = "Authorization"
	gitlabHeader        = "X-Gitlab-Token"
	bearerScheme        = "Bearer"
	maxToken            = 4096
	hashText            = "sha256:"
)

// APIKeyHash is the SHA-256 of an API key. Store it instead of the key, so that
// a reader of the table can't use what it contains. API keys are long and
// random, so they need no slow password hash.
type APIKeyHash [sha256.Size]byte

// HashAPIKey returns the hash of a key. A key has 16 to 4096 bytes of visible
// ASCII. Errors wrap [ErrInvalidSecret] and never contain the key.
func HashAPIKey(key string) (APIKeyHash, error) {
	if err := checkQuoting(key); err != nil {
		return APIKeyHash{}, err
	}
	switch {
	case len(key) < minLiteralBytes:
		return APIKeyHash{}, secretError("the API key has %d bytes; want at least %d", len(key), minLiteralBytes)
	case !validToken(key):
		return APIKeyHash{}, secretError("the API key has a blank, a control character or a byte outside ASCII in it, or more than %d bytes", maxToken)
	}
	return sha256.Sum256([]byte(key)), nil
}

// ParseAPIKeyHash reads what [APIKeyHash.String] wrote. Errors wrap
// [ErrInvalidSecret].
func ParseAPIKeyHash(text string) (APIKeyHash, error) {
	var h APIKeyHash
	encoded, ok := strings.CutPrefix(text, hashText)
	if !ok || !decodeHex(h[:], encoded) {
		return APIKeyHash{}, secretError("an API key's hash is %s and %d lower-case hex digits", hashText, hexMAC)
	}
	return h, nil
}

// String returns "sha256:" and the hash in hex, to be stored.
func (h APIKeyHash) String() string { return hashText + hex.EncodeToString(h[:]) }

var apiKeyPrefix = regexp.MustCompile(`^[a-z][a-z0-9]{1,15}$`)

// GenerateAPIKey returns a new key. It consists of the prefix, an underscore
// and 52 random characters (260 bits). The prefix has 2 to 16 lower-case
// letters and digits. It lets secret scanners and people recognise your keys.
// Show the key once, with [Secret.Reveal], and store its [HashAPIKey]. Errors
// wrap [ErrConfig].
func GenerateAPIKey(prefix string) (Secret, error) {
	if !apiKeyPrefix.MatchString(prefix) {
		return Secret{}, configError("GenerateAPIKey", "prefix: want 2 to 16 lower-case letters and digits, a letter first")
	}
	return NewLiteralSecret(prefix + "_" + rand.Text() + rand.Text())
}

// APIKey is a key that [APIKeys] accepts, without the key itself.
type APIKey struct {
	// Principal is the organization that the key belongs to. Required.
	Principal string
	// Hash is [HashAPIKey] of the key. Required.
	Hash APIKeyHash
	// Name is for logs and [Verified].Key. Empty means key-1, key-2 and so on,
	// by its place.
	Name string
	// NotAfter is the end of the key's use. The zero time means no end.
	NotAfter time.Time
}

var _ Scheme = (*APIKeys)(nil)

// APIKeys verifies "Authorization: Bearer <key>", as Periscope's deployment
// webhook and many like it do. The key's principal is the caller.
//
// A bearer key identifies the sender and protects nothing else. It covers
// neither the body nor the time nor the ID. An attacker who sees one request
// can send any other, and only deduplication by the body recognises a replay.
// Use it only over TLS. Prefer [Standard] for anything new. APIKeys is
// immutable and safe for concurrent use.
type APIKeys struct {
	header string
	keys   map[[macSize]byte]*APIKey
	blind  *macKey
	name   string
}

// NewAPIKeys returns the scheme for the given keys, any number of them.
// Options: [WithHeader]. Errors wrap [ErrConfig].
func NewAPIKeys(keys []APIKey, opts ...Option) (*APIKeys, error) {
	const scheme = "APIKeys"
	c, err := newConfig(scheme, nil, append([]Option{WithHeader(authorizationHeader)}, opts...), "WithHeader")
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, configError(scheme, "no key was given; without one every request would be refused")
	}
	// The map's index is a MAC of the key's hash, under a key that only this
	// process has. The time of a lookup therefore tells an attacker nothing
	// about the stored hashes.
	blinding := make([]byte, macSize)
	rand.Read(blinding) // never fails: crypto/rand ends the program rather than return weak bytes
	s := &APIKeys{header: c.header, name: scheme, keys: make(map[[macSize]byte]*APIKey, len(keys)), blind: newMACKey(sha256.New, blinding)}
	for i, key := range keys {
		if key.Name == "" {
			key.Name = fmt.Sprintf("key-%d", i+1)
		}
		if key.Principal == "" {
			return nil, configError(scheme, "%s has no Principal; callers could not be told apart", key.Name)
		}
		if key.Hash == (APIKeyHash{}) {
			return nil, configError(scheme, "%s has no Hash; make it with HashAPIKey and check its error", key.Name)
		}
		at := s.blinded(key.Hash)
		if other, ok := s.keys[at]; ok {
			return nil, configError(scheme, "%s and %s have the same Hash; each key belongs to one principal", other.Name, key.Name)
		}
		s.keys[at] = &key
	}
	return s, nil
}

// NewGitLabToken verifies GitLab's plain secret token, the X-Gitlab-Token
// header, for a secret from [NewLiteralSecret]. GitLab's newer signing tokens
// are [Standard] Webhooks. Prefer those, because they sign the body, the time
// and the ID. A plain token has the limits that [APIKeys] describes. The secret
// keeps its name and end, and principal is its owner. Errors wrap [ErrConfig].
func NewGitLabToken(secret Secret, principal string) (*APIKeys, error) {
	const scheme = "GitLabToken"
	if secret.form != formLiteral {
		return nil, configError(scheme, "the secret must come from NewLiteralSecret; for a whsec_ signing token use NewStandard")
	}
	hash, err := HashAPIKey(secret.Reveal())
	if err != nil {
		return nil, configError(scheme, "%v", err)
	}
	s, err := NewAPIKeys([]APIKey{{Principal: principal, Hash: hash, Name: secret.name, NotAfter: secret.notAfter}}, WithHeader(gitlabHeader))
	if err != nil {
		return nil, err
	}
	s.name = scheme
	return s, nil
}

// blinded returns the map's index of a key's hash.
func (s *APIKeys) blinded(hash [sha256.Size]byte) (at [macSize]byte) {
	state := s.blind.get()
	state.prefix = append(state.prefix, hash[:]...)
	copy(at[:], state.compute(nil))
	s.blind.put(state)
	return at
}

// Present reports whether a request carries the header of a key, see [AnyOf].
func (s *APIKeys) Present(h http.Header) bool { return s != nil && len(h[s.header]) > 0 }

// SignsID reports that there is no signed delivery ID.
func (s *APIKeys) SignsID() bool { return false }

// Principals returns the principals of all the keys, see [Scheme].
func (s *APIKeys) Principals() []string {
	if s == nil {
		return nil
	}
	found := map[string]bool{}
	for _, key := range s.keys {
		found[key.Principal] = true
	}
	return slices.Sorted(maps.Keys(found))
}

// Format prints the scheme's name and nothing of its keys, whatever the verb.
func (s *APIKeys) Format(f fmt.State, _ rune) {
	name := "APIKeys"
	if s != nil && s.name != "" {
		name = s.name
	}
	io.WriteString(f, "signer."+name)
}

// Verify accepts a request whose header occurs exactly once and holds a known
// key that is not past its end. All errors wrap [ErrInvalidAPIKey].
func (s *APIKeys) Verify(r *http.Request, _ []byte) (Verified, error) {
	if s == nil || len(s.keys) == 0 {
		return Verified{}, notMade("APIKeys", "NewAPIKeys")
	}
	values := r.Header[s.header]
	if len(values) != 1 {
		return Verified{}, fmt.Errorf("%w: %s occurs %d times; want exactly one", ErrInvalidAPIKey, s.header, len(values))
	}
	token := values[0]
	if s.header == authorizationHeader {
		scheme, rest, ok := strings.Cut(token, " ")
		if !ok || !strings.EqualFold(scheme, bearerScheme) { // RFC 9110, section 11.1: the scheme's case does not matter
			return Verified{}, fmt.Errorf("%w: %s is not \"Bearer\", blanks and a key", ErrInvalidAPIKey, s.header)
		}
		token = strings.TrimLeft(rest, " ") // RFC 9110, section 11.4: one blank or more
	}
	if !validToken(token) {
		return Verified{}, fmt.Errorf("%w: the key in %s is not 1 to %d bytes of visible ASCII", ErrInvalidAPIKey, s.header, maxToken)
	}
	state := s.blind.get()
	state.prefix = append(state.prefix, token...)
	hash := sha256.Sum256(state.prefix)
	clear(state.prefix) // no key stays behind in a pooled buffer
	s.blind.put(state)
	key, ok := s.keys[s.blinded(hash)]
	if !ok {
		return Verified{}, fmt.Errorf("%w: the key in %s is not known", ErrInvalidAPIKey, s.header)
	}
	if !key.NotAfter.IsZero() && time.Now().After(key.NotAfter) {
		return Verified{}, fmt.Errorf("%w: %s is past its NotAfter time", ErrInvalidAPIKey, key.Name)
	}
	return Verified{Principal: key.Principal, Key: key.Name}, nil
}

// validToken reports whether a token is 1 to 4096 bytes of visible ASCII.
func validToken(token string) bool {
	if token == "" || len(token) > maxToken {
		return false
	}
	for i := 0; i < len(token); i++ {
		if token[i] <= ' ' || token[i] >= 0x7f {
			return false
		}
	}
	return true
}

var _ Signer = (*Bearer)(nil)

// Bearer sends an API key with every request. It is the sending side of
// [APIKeys] and signs nothing. Use it only over TLS, and only for receivers
// that accept nothing better. A Bearer is immutable and safe for concurrent
// use.
type Bearer struct {
	header string
	value  func() string // a closure keeps the key out of the reach of reflection
}

// NewBearer returns a signer that sets "Authorization: Bearer <key>" for a key
// from [NewLiteralSecret]. With [WithHeader] the header holds the key alone.
// Errors wrap [ErrConfig].
func NewBearer(key Secret, opts ...Option) (*Bearer, error) {
	const scheme = "Bearer"
	c, err := newConfig(scheme, nil, append([]Option{WithHeader(authorizationHeader)}, opts...), "WithHeader")
	if err != nil {
		return nil, err
	}
	if key.form != formLiteral {
		return nil, configError(scheme, "the key must come from NewLiteralSecret")
	}
	value := key.Reveal()
	if !validToken(value) {
		return nil, configError(scheme, "the key has a blank, a control character or a byte outside ASCII in it")
	}
	if c.header == authorizationHeader {
		value = bearerScheme + " " + value
	}
	return &Bearer{header: c.header, value: func() string { return value }}, nil
}

// Format prints the scheme's name and nothing of its key, whatever the verb.
func (s *Bearer) Format(f fmt.State, _ rune) { io.WriteString(f, "signer.Bearer") }

// CarriesCredential reports that what Sign puts into the request is the key
// itself. A sender then shows none of the headers in its records.
func (s *Bearer) CarriesCredential() bool { return true }

// Sign sets the header. It fails only for a nil or zero Bearer, by an error
// that wraps [ErrConfig].
func (s *Bearer) Sign(_ context.Context, r *http.Request, _ string, _ time.Time, _ []byte) error {
	if s == nil || s.value == nil {
		return notMade("Bearer", "NewBearer")
	}
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	r.Header[s.header] = []string{s.value()}
	return nil
}
