package signer

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
	"unicode"
)

const (
	signingPrefix   = "whsk_"
	verifyingPrefix = "whpk_"
	redactedSigning = signingPrefix + "[redacted]"
)

// SigningKey is an Ed25519 private key for [Standard]. Its signatures have the
// version v1a. Receivers need only its [VerifyingKey], so no receiver can sign
// in the sender's name. A SigningKey is opaque and redacted like a [Secret].
// The zero SigningKey is not a key.
type SigningKey struct {
	name     string
	notAfter time.Time
	public   ed25519.PublicKey
	sign     signFunc
	reveal   func() string // nil: the key is kept elsewhere
}

// ParseSigningKey reads whsk_ followed by the standard, padded base64 of an
// Ed25519 private key. The key is either the 32-byte seed, or the 64 bytes of a
// seed and the public key that belongs to it. Errors wrap [ErrInvalidSecret]
// and never contain the value.
func ParseSigningKey(text string) (SigningKey, error) {
	raw, err := decodePrefixed(text, signingPrefix)
	if err != nil {
		return SigningKey{}, err
	}
	var private ed25519.PrivateKey
	switch len(raw) {
	case ed25519.SeedSize:
		private = ed25519.NewKeyFromSeed(raw)
	case ed25519.PrivateKeySize:
		private = ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])
		if !private.Equal(ed25519.PrivateKey(raw)) {
			return SigningKey{}, secretError("the public half of this %s key does not belong to its seed", signingPrefix)
		}
	default:
		return SigningKey{}, secretError("%d bytes after base64 decoding; an Ed25519 private key has %d or %d", len(raw), ed25519.SeedSize, ed25519.PrivateKeySize)
	}
	return localSigningKey(private), nil
}

// GenerateSigningKey returns a new Ed25519 key.
func GenerateSigningKey() SigningKey {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed) // never fails: crypto/rand ends the program rather than return weak bytes
	return localSigningKey(ed25519.NewKeyFromSeed(seed))
}

func localSigningKey(private ed25519.PrivateKey) SigningKey {
	text := func() string { return signingPrefix + base64.StdEncoding.EncodeToString(private) }
	sign := func(message []byte) ([]byte, error) { return private.Sign(nil, message, crypto.Hash(0)) }
	return SigningKey{public: private.Public().(ed25519.PublicKey), sign: sign, reveal: text}
}

// NewSigningKey wraps an Ed25519 [crypto.Signer], so that the key can stay in a
// KMS or an HSM. Its Sign method gets the whole message and [crypto.Hash](0).
// It must be safe for concurrent use. It gets no context, so it should bound
// its own waits. [Standard.Sign] returns when its context ends, and the call
// then keeps its goroutine until it returns. To pass the context to the KMS,
// implement [Signer]. Errors wrap [ErrInvalidSecret].
func NewSigningKey(key crypto.Signer) (SigningKey, error) {
	if isNil(key) {
		return SigningKey{}, secretError("the crypto.Signer is nil; was the error of what loads the key checked?")
	}
	if err := checkPrivate(key); err != nil {
		return SigningKey{}, err
	}
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return SigningKey{}, secretError("the crypto.Signer has a %T; want an ed25519.PublicKey", key.Public())
	}
	if err := checkPublic(public); err != nil {
		return SigningKey{}, err
	}
	sign := func(message []byte) ([]byte, error) { return key.Sign(nil, message, crypto.Hash(0)) }
	return SigningKey{public: public, sign: sign}, nil
}

// Named returns the key with a name for logs and for [Verified].Key, see
// [Secret.Named].
func (k SigningKey) Named(name string) SigningKey {
	k.name = name
	return k
}

// NotAfter returns the key with an end to its use, see [Secret.NotAfter].
func (k SigningKey) NotAfter(t time.Time) SigningKey {
	k.notAfter = t
	return k
}

// VerifyingKey returns the public half, with the same name and end, to be given
// to receivers.
func (k SigningKey) VerifyingKey() VerifyingKey {
	return VerifyingKey{name: k.name, notAfter: k.notAfter, public: k.public}
}

// Reveal returns the key's whsk_ text (64 bytes), to be stored. It returns ""
// for the zero key and for a key in a KMS or an HSM.
func (k SigningKey) Reveal() string {
	if k.reveal == nil {
		return ""
	}
	return k.reveal()
}

func (k SigningKey) describe() keyInfo {
	return keyInfo{name: k.name, notAfter: k.notAfter, public: k.public, sign: k.sign, remote: k.reveal == nil}
}

// String returns a redacted form.
func (k SigningKey) String() string { return redactedSigning }

// GoString returns a redacted form.
func (k SigningKey) GoString() string { return "signer.SigningKey(" + redactedSigning + ")" }

// Format writes a redacted form for every verb.
func (k SigningKey) Format(f fmt.State, _ rune) { io.WriteString(f, redactedSigning) }

// LogValue returns a redacted form, for log/slog.
func (k SigningKey) LogValue() slog.Value { return slog.StringValue(redactedSigning) }

// MarshalText returns a redacted form. Marshalling loses the key on purpose.
func (k SigningKey) MarshalText() ([]byte, error) { return []byte(redactedSigning), nil }

// VerifyingKey is an Ed25519 public key for [Standard]. It is not secret. A
// scheme made of verifying keys alone verifies and refuses to sign. The zero
// VerifyingKey is not a key.
type VerifyingKey struct {
	name     string
	notAfter time.Time
	public   ed25519.PublicKey
}

// ParseVerifyingKey reads whpk_ followed by the standard, padded base64 of a
// 32-byte Ed25519 public key. It refuses bytes that encode no point of the
// curve. It also refuses points of low order, because anyone can sign for them.
// Errors wrap [ErrInvalidSecret].
func ParseVerifyingKey(text string) (VerifyingKey, error) {
	raw, err := decodePrefixed(text, verifyingPrefix)
	if err != nil {
		return VerifyingKey{}, err
	}
	if len(raw) != ed25519.PublicKeySize {
		return VerifyingKey{}, secretError("%d bytes after base64 decoding; an Ed25519 public key has %d", len(raw), ed25519.PublicKeySize)
	}
	if err := checkPublic(raw); err != nil {
		return VerifyingKey{}, err
	}
	return VerifyingKey{public: raw}, nil
}

// Named returns the key with a name for logs and for [Verified].Key, see
// [Secret.Named].
func (k VerifyingKey) Named(name string) VerifyingKey {
	k.name = name
	return k
}

// NotAfter returns the key with an end to its use, see [Secret.NotAfter].
func (k VerifyingKey) NotAfter(t time.Time) VerifyingKey {
	k.notAfter = t
	return k
}

// String returns the key's whpk_ text, or "" for the zero key.
func (k VerifyingKey) String() string {
	if k.public == nil {
		return ""
	}
	return verifyingPrefix + base64.StdEncoding.EncodeToString(k.public)
}

func (k VerifyingKey) describe() keyInfo {
	return keyInfo{name: k.name, notAfter: k.notAfter, public: k.public}
}

// decodePrefixed reads a prefix and canonical, padded, standard base64. Its
// errors name the mistake.
func decodePrefixed(text, prefix string) ([]byte, error) {
	if err := checkQuoting(text); err != nil {
		return nil, err
	}
	encoded, prefixed := strings.CutPrefix(text, prefix)
	switch {
	case strings.ContainsFunc(text, unicode.IsSpace):
		return nil, secretError("has white space in it; was it read from a file together with its line end?")
	case !prefixed:
		return nil, wrongPrefix(text, prefix)
	case strings.HasPrefix(encoded, prefix):
		return nil, secretError("the %s prefix is doubled", prefix)
	case encoded == "":
		return nil, secretError("nothing follows the %s prefix", prefix)
	case strings.ContainsAny(encoded, "-_"):
		return nil, secretError("uses the URL-safe base64 alphabet (- and _); want the standard one (+ and /)")
	case len(encoded)%4 != 0:
		return nil, secretError("base64 padding (=) is missing or the text is cut off")
	}
	raw, err := strictBase64.DecodeString(encoded)
	if err != nil {
		return nil, secretError("what follows %s is not base64 in its canonical form", prefix)
	}
	return raw, nil
}

// wrongPrefix names the other kind of key that a text is.
func wrongPrefix(text, want string) error {
	for prefix, kind := range map[string]string{
		secretPrefix: "a shared secret (ParseSecret)", signingPrefix: "an Ed25519 private key (ParseSigningKey)", verifyingPrefix: "an Ed25519 public key (ParseVerifyingKey)",
	} {
		if strings.HasPrefix(text, prefix) {
			return secretError("this is %s, by its prefix %s; want %s", kind, prefix, want)
		}
	}
	if want == secretPrefix {
		return secretError("lacks the %s prefix; a secret whose own bytes are the key is made by NewLiteralSecret", want)
	}
	return secretError("lacks the %s prefix", want)
}
