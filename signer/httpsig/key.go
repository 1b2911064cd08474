package httpsig

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"strings"
	"sync"
	"time"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/hidden"
	"github.com/deployhook/deployhook/signer"
)

const (
	maxKeyID = 128

	algHMAC    = "hmac-sha256" // RFC 9421 §6.2.2
	algEd25519 = "ed25519"
)

// Key is a key with an ID, on which the two sides agree. The ID is the keyid
// parameter of a signature. Make one with [NewKey] or [NewRemoteKey]. The zero
// Key is not a key. The type decides the algorithm, which is hmac-sha256 for a
// shared secret and ed25519 for the others. A Key is immutable and safe for
// concurrent use. Printing it shows the ID alone.
type Key struct {
	id       string
	notAfter time.Time
	public   ed25519.PublicKey           // of an Ed25519 key
	private  hidden.Value[crypto.Signer] // of an Ed25519 key that signs
	secret   hidden.Value[[]byte]        // of an HMAC key
}

// NewKey gives an ID to a key of package signer:
//
//   - a [signer.Secret] of either kind signs and verifies with hmac-sha256; the
//     key is the decoded bytes of a whsec_ secret, and the text's own bytes of
//     a literal one;
//   - a [signer.SigningKey] signs and verifies with ed25519;
//   - a [signer.VerifyingKey] only verifies with ed25519.
//
// The ID is not secret, because every signature carries it. It has 1 to 128
// bytes of visible ASCII without quotation marks and backslashes, and must not
// be a part of the key. The Key keeps the end of the signer.Key, but has the ID
// as its name. Give a private key in a KMS or an HSM to [NewRemoteKey]. Errors
// wrap [signer.ErrConfig].
func NewKey(id string, key signer.Key) (Key, error) {
	if !validKeyID(id) {
		return Key{}, keyIDError()
	}
	switch k := key.(type) {
	case signer.Secret:
		secret, err := secretBytes(k)
		if err != nil {
			return Key{}, err
		}
		return Key{id: id, notAfter: k.Expiry(), secret: hidden.Of(secret)}, nil
	case signer.SigningKey:
		encoded, ok := strings.CutPrefix(k.Reveal(), "whsk_")
		private, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil || len(private) != ed25519.PrivateKeySize {
			return Key{}, configError("the SigningKey is the zero value or kept elsewhere; make one with ParseSigningKey, or give its crypto.Signer to NewRemoteKey")
		}
		pair := ed25519.PrivateKey(private)
		return Key{id: id, notAfter: k.Expiry(), public: pair.Public().(ed25519.PublicKey), private: hidden.Of[crypto.Signer](pair)}, nil
	case signer.VerifyingKey:
		public, err := publicKey(k)
		return Key{id: id, notAfter: k.Expiry(), public: public}, err
	}
	return Key{}, configError("want a signer.Secret, SigningKey or VerifyingKey, and not a %T", key)
}

func publicKey(k signer.VerifyingKey) (ed25519.PublicKey, error) {
	encoded, ok := strings.CutPrefix(k.String(), "whpk_")
	public, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(public) != ed25519.PublicKeySize {
		return nil, configError("the VerifyingKey is the zero value, which is no key; make one with ParseVerifyingKey")
	}
	return public, nil
}

// NewRemoteKey gives an ID to an Ed25519 private key that stays in a KMS or an
// HSM. Its Sign method gets the whole message and [crypto.Hash](0). It must be
// safe for concurrent use. It gets no context, so it should bound its own
// waits. [Scheme.Sign] returns when its context ends, and the call then keeps
// its goroutine until it returns. The ID is as for [NewKey]. Errors wrap
// [signer.ErrConfig].
func NewRemoteKey(id string, key crypto.Signer) (Key, error) {
	if !validKeyID(id) {
		return Key{}, keyIDError()
	}
	checked, err := signer.NewSigningKey(key)
	if err != nil {
		return Key{}, fmt.Errorf("%w: httpsig: NewRemoteKey: %w", signer.ErrConfig, err)
	}
	public, err := publicKey(checked.VerifyingKey())
	if err != nil {
		return Key{}, err
	}
	return Key{id: id, public: public, private: hidden.Of(key)}, nil
}

// NotAfter returns the key with an end to its use. After t it neither signs nor
// verifies. The zero time means no end. The default is the end of the
// signer.Key, if it has one.
func (k Key) NotAfter(t time.Time) Key {
	k.notAfter = t
	return k
}

// ID returns the keyid.
func (k Key) ID() string { return k.id }

// Format prints the ID and nothing of the key, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "httpsig.Key(%s)", k.id) }

// secretBytes parses a secret's text again to find out which form it has. Equal
// compares the form as well.
func secretBytes(s signer.Secret) ([]byte, error) {
	if s.IsZero() {
		return nil, configError("the Secret is the zero value, which is no key; make one with ParseSecret and check its error")
	}
	text := s.Reveal()
	if parsed, err := signer.ParseSecret(text); err == nil && parsed.Equal(s) {
		return base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
	}
	return []byte(text), nil
}

func validKeyID(id string) bool {
	return id != "" && len(id) <= maxKeyID && visible(id) && !strings.ContainsAny(id, `"\`)
}

func keyIDError() error {
	return configError(`the key ID must be 1 to %d bytes of visible ASCII without " and \`, maxKeyID)
}

// activeKey is a key in use.
type activeKey struct {
	Key
	macs *sync.Pool // of hash.Hash, keyed; nil: an Ed25519 key
}

// newKeySet checks the keys against each other.
func newKeySet(keys []Key) ([]*activeKey, error) {
	if len(keys) > maxKeys {
		return nil, configError("WithKey: %d keys; at most %d", len(keys), maxKeys)
	}
	set := make([]*activeKey, 0, len(keys))
	usable, pairs := false, 0
	for i, key := range keys {
		if key.id == "" {
			return nil, configError("key %d is the zero value, which is no key; make one with NewKey and check its error", i+1)
		}
		for _, other := range set {
			if other.id == key.id {
				return nil, configError("two keys have the ID %q; each needs its own", key.id)
			}
			if other.same(key) {
				return nil, configError("%q and %q are the same key; a rotation needs two different ones", other.id, key.id)
			}
		}
		if key.public != nil {
			if pairs++; pairs > maxPairs {
				return nil, configError("WithKey: more than %d Ed25519 keys, the current and the next; leave out those that nothing signs with", maxPairs)
			}
		}
		k := &activeKey{Key: key}
		if !key.secret.IsZero() {
			k.macs = &sync.Pool{New: func() any { return hmac.New(sha256.New, key.secret.Reveal()) }}
		}
		usable = usable || k.active(time.Now())
		set = append(set, k)
	}
	if !usable {
		return nil, configError("every key is past its NotAfter time; add a current one")
	}
	return set, nil
}

func (k Key) same(other Key) bool {
	if !k.secret.IsZero() && !other.secret.IsZero() {
		return hmac.Equal(k.secret.Reveal(), other.secret.Reveal())
	}
	return k.public != nil && k.public.Equal(other.public)
}

// active reports whether the key may be used at t. Its end is inclusive.
func (k Key) active(t time.Time) bool { return k.notAfter.IsZero() || !t.After(k.notAfter) }

func (k Key) canSign() bool { return !k.secret.IsZero() || !k.private.IsZero() }

// algorithm is the name of the key's algorithm in the registry of RFC 9421
// §6.2.
func (k Key) algorithm() string {
	if !k.secret.IsZero() {
		return algHMAC
	}
	return algEd25519
}

// sign appends the signature of base to out.
func (k *activeKey) sign(ctx context.Context, out, base []byte) ([]byte, error) {
	if k.macs != nil {
		return k.mac(out, base), nil
	}
	signature, err := k.signEd25519(ctx, base)
	if err != nil {
		return nil, fmt.Errorf("httpsig: key %q can't sign: %w", k.id, err)
	}
	if len(signature) != ed25519.SignatureSize {
		return nil, fmt.Errorf("httpsig: key %q returned a signature of %d bytes; Ed25519 has %d", k.id, len(signature), ed25519.SignatureSize)
	}
	return append(out, signature...), nil
}

// signEd25519 signs with a key of this process or with one that is kept
// elsewhere. The latter gets a copy of base, which it may still read after ctx
// has ended. A panic in it reaches the caller.
func (k *activeKey) signEd25519(ctx context.Context, base []byte) ([]byte, error) {
	key := k.private.Reveal()
	if local, ok := key.(ed25519.PrivateKey); ok {
		return local.Sign(nil, base, crypto.Hash(0))
	}
	base = bytes.Clone(base)
	var (
		signature []byte
		err       error
	)
	fault := contain.CallUntil(ctx, func() { signature, err = key.Sign(nil, base, crypto.Hash(0)) })
	switch {
	case fault == nil:
		return signature, err
	case fault.Late():
		return nil, context.Cause(ctx)
	case fault.Value != nil:
		panic(fault.Value) // the panic of the sign function, in the goroutine of its caller
	}
	return nil, fault
}

// verify reports whether signature is the key's for base.
func (k *activeKey) verify(base, signature []byte) bool {
	if k.macs != nil {
		var sum [sha256.Size]byte
		return hmac.Equal(k.mac(sum[:0], base), signature)
	}
	return ed25519.Verify(k.public, base, signature)
}

func (k *activeKey) mac(out, base []byte) []byte {
	h := k.macs.Get().(hash.Hash)
	defer k.macs.Put(h)
	h.Reset()
	h.Write(base)
	return h.Sum(out)
}
