package outbox

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/deployhook/deployhook/internal/hidden"
)

// A sealed value consists of sealVersion, the length of the key's ID, the ID,
// the nonce and the ciphertext.
const (
	sealVersion = 2
	keySize     = 32
	maxKeyID    = 32
	nonceSize   = 12
)

// SealingKey seals endpoints' URLs, headers, secrets and client certificates in
// the database, with AES-256-GCM. Make it with [NewSealingKey]. Printing a
// SealingKey shows its ID. The zero SealingKey is not a key.
type SealingKey struct {
	id   string
	aead hidden.Value[cipher.AEAD]
}

// NewSealingKey returns a sealing key. id names it in the database, so that the
// right one is found after a change of keys. It has 1 to 32 letters, digits,
// "_" and "-". It is not secret and must never be used for another key. secret
// is 32 random bytes, from a key management service or the environment, never
// from the database that it protects. Errors wrap [ErrConfig] and never contain
// the secret.
func NewSealingKey(id string, secret []byte) (SealingKey, error) {
	if !validKeyID(id) {
		return SealingKey{}, fmt.Errorf("%w: NewSealingKey: the ID must be 1 to %d letters, digits, _ and -", ErrConfig, maxKeyID)
	}
	if len(secret) != keySize {
		return SealingKey{}, fmt.Errorf("%w: NewSealingKey: the secret of key %s has %d bytes; want %d random ones", ErrConfig, id, len(secret), keySize)
	}
	if allEqual(secret) {
		return SealingKey{}, fmt.Errorf("%w: NewSealingKey: the secret of key %s is one byte repeated; want %d random ones", ErrConfig, id, keySize)
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return SealingKey{}, fmt.Errorf("%w: NewSealingKey: %w", ErrConfig, err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return SealingKey{}, fmt.Errorf("%w: NewSealingKey: %w", ErrConfig, err)
	}
	return SealingKey{id: id, aead: hidden.Of(aead)}, nil
}

// ID returns the key's ID.
func (k SealingKey) ID() string { return k.id }

// String shows the key's ID and nothing else.
func (k SealingKey) String() string { return "sealing key " + k.id }

// Format prints String whatever the verb is.
func (k SealingKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue is String for log/slog.
func (k SealingKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

func validKeyID(id string) bool {
	if id == "" || len(id) > maxKeyID {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

func allEqual(b []byte) bool {
	for _, c := range b {
		if c != b[0] {
			return false
		}
	}
	return true
}

// keyring seals with the current key and opens with any.
type keyring struct {
	current SealingKey
	byID    map[string]SealingKey
}

func newKeyring(current SealingKey, previous []SealingKey) (*keyring, error) {
	r := &keyring{current: current, byID: map[string]SealingKey{}}
	for _, k := range append([]SealingKey{current}, previous...) {
		if k.aead.IsZero() {
			return nil, errors.New("a key is the zero SealingKey; make keys with NewSealingKey")
		}
		if _, ok := r.byID[k.id]; ok {
			return nil, fmt.Errorf("two keys have the ID %s; give a new key an ID of its own", k.id)
		}
		r.byID[k.id] = k
	}
	return r, nil
}

// column is a sealed column.
type column string

const (
	columnURL         column = "url"
	columnHeader      column = "header"
	columnKeys        column = "keys"
	columnCertificate column = "certificate"
	columnCreation    column = "creation"
)

// binding is what a sealed value belongs to, apart from its column. An attacker
// who can write to the database, but has no key, can't move the value to
// another endpoint, give the endpoint to another app, or have it sign in
// another way.
type binding struct {
	endpoint, app string
	scheme        Scheme
}

func (e *endpointRow) binding() binding {
	return binding{endpoint: e.ID, app: e.App, scheme: e.Scheme}
}

// data is the additional data that AES-GCM authenticates. Each part follows its
// length, so that no two bindings have the same data.
func (b binding) data(c column) []byte {
	data := []byte("deployhook/outbox/v2")
	for _, part := range [...]string{b.endpoint, b.app, string(b.scheme), string(c)} {
		data = binary.AppendUvarint(data, uint64(len(part)))
		data = append(data, part...)
	}
	return data
}

func (r *keyring) seal(b binding, c column, plain []byte) []byte {
	k := r.current
	aead := k.aead.Reveal()
	blob := make([]byte, 0, 2+len(k.id)+nonceSize+len(plain)+aead.Overhead())
	blob = append(blob, sealVersion, byte(len(k.id)))
	blob = append(blob, k.id...)
	nonce := make([]byte, nonceSize)
	_, _ = rand.Read(nonce) // never fails
	blob = append(blob, nonce...)
	return aead.Seal(blob, nonce, plain, b.data(c))
}

func (r *keyring) open(b binding, c column, blob []byte) ([]byte, error) {
	id, rest, ok := splitBlob(blob)
	if !ok {
		return nil, fmt.Errorf("%w: endpoint %s, column %s: not a sealed value", ErrUnseal, b.endpoint, c)
	}
	k, ok := r.byID[id]
	if !ok {
		return nil, fmt.Errorf("%w: endpoint %s, column %s: sealed with key %s, which is not among the given ones (see WithSealingKeys)",
			ErrUnseal, b.endpoint, c, id)
	}
	plain, err := k.aead.Reveal().Open(nil, rest[:nonceSize], rest[nonceSize:], b.data(c))
	if err != nil {
		return nil, fmt.Errorf("%w: endpoint %s, column %s: key %s has another secret than the one it was sealed with, or the value, its app or its scheme was altered",
			ErrUnseal, b.endpoint, c, id)
	}
	return plain, nil
}

// splitBlob returns the ID of the key, and the nonce with the ciphertext.
func splitBlob(blob []byte) (id string, rest []byte, ok bool) {
	if len(blob) < 2 || blob[0] != sealVersion {
		return "", nil, false
	}
	n := int(blob[1])
	if len(blob) < 2+n+nonceSize {
		return "", nil, false
	}
	id = string(blob[2 : 2+n])
	return id, blob[2+n:], validKeyID(id)
}

// isCurrent reports whether blob is sealed with the current key.
func (r *keyring) isCurrent(blob []byte) bool {
	id, _, ok := splitBlob(blob)
	return ok && id == r.current.id
}
