package signer

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	secretPrefix     = "whsec_"
	minSecretBytes   = 24 // Standard Webhooks specification: 24 to 64 bytes
	maxSecretBytes   = 64
	generatedBytes   = 32
	minLiteralBytes  = 16
	maxLiteralBytes  = 1024
	redactedStandard = secretPrefix + "[redacted]"
	redactedLiteral  = "[redacted]"
)

// secretForm says how a text becomes key bytes. Mixing up the two ways is the
// classic failure of webhook integrations, so a [Secret] remembers which one it
// needs.
type secretForm uint8

const (
	formNone secretForm = iota
	formStandard
	formLiteral
)

// Secret is a shared HMAC key. It is opaque. Printing, logging and marshalling
// give a redacted form, and only [Secret.Reveal] returns the text. The zero
// Secret is not a key, and every scheme refuses it.
//
// Make one with [ParseSecret] (a whsec_ secret, for [Standard]),
// [NewLiteralSecret] (a string whose own bytes are the key, for [Timestamped])
// or their Generate twins. A Secret is immutable and safe for concurrent use.
type Secret struct {
	form     secretForm
	name     string
	notAfter time.Time
	// reveal is a closure, so that reflection can't reach the bytes. Formatting
	// an enclosing struct with %+v uses reflection.
	reveal func() (text string, key []byte)
}

// ParseSecret reads a Standard Webhooks secret, which is whsec_ followed by the
// standard, padded base64 of 24 to 64 bytes. The key is the decoded bytes.
//
// ParseSecret is strict, because a secret that is almost right verifies nothing
// later. Errors wrap [ErrInvalidSecret]. They name the mistake, such as
// URL-safe base64, missing padding, a doubled prefix, white space or quotation
// marks. They never contain the value.
func ParseSecret(text string) (Secret, error) {
	key, err := decodePrefixed(text, secretPrefix)
	if err != nil {
		return Secret{}, err
	}
	if len(key) < minSecretBytes || len(key) > maxSecretBytes {
		return Secret{}, secretError("%d bytes after base64 decoding; want %d to %d", len(key), minSecretBytes, maxSecretBytes)
	}
	return newSecret(formStandard, text, key), nil
}

// NewLiteralSecret takes a secret whose own bytes are the key. It has at least
// 16 bytes, and no white space or control character at either end. Even a
// whsec_ prefix is part of the key, as it is for receivers written to the
// common HMAC pattern.
//
// A text with the prefix of an Ed25519 key is refused. A text that was copied
// with too much around it is also refused, such as quotation marks, a v1 in
// front or the name of a variable that nothing expanded. Errors wrap
// [ErrInvalidSecret] and never contain the value.
func NewLiteralSecret(text string) (Secret, error) {
	if err := checkQuoting(text); err != nil {
		return Secret{}, err
	}
	first, _ := utf8.DecodeRuneInString(text)
	last, _ := utf8.DecodeLastRuneInString(text)
	switch {
	case outside(first) || outside(last):
		return Secret{}, secretError("begins or ends with white space or a control character; was it read from a file together with its line end?")
	case strings.HasPrefix(text, signingPrefix) || strings.HasPrefix(text, verifyingPrefix):
		// An HMAC keyed with a public key is a classic confusion. Anyone who
		// knows the public key could then sign.
		return Secret{}, secretError("this is an Ed25519 key (%s…), not a shared secret", text[:len(signingPrefix)])
	case len(text) < minLiteralBytes:
		return Secret{}, secretError("%d bytes; want at least %d", len(text), minLiteralBytes)
	case len(text) > maxLiteralBytes:
		return Secret{}, secretError("%d bytes; want at most %d", len(text), maxLiteralBytes)
	}
	return newSecret(formLiteral, text, []byte(text)), nil
}

func outside(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

// GenerateSecret returns a new whsec_ secret of 32 random bytes.
func GenerateSecret() Secret {
	key := make([]byte, generatedBytes)
	rand.Read(key) // never fails: crypto/rand ends the program rather than return weak bytes
	return newSecret(formStandard, secretPrefix+base64.StdEncoding.EncodeToString(key), key)
}

// GenerateLiteralSecret returns a new secret of 52 characters (260 random bits)
// whose own bytes are the key.
func GenerateLiteralSecret() Secret {
	text := rand.Text() + rand.Text()
	return newSecret(formLiteral, text, []byte(text))
}

func newSecret(form secretForm, text string, key []byte) Secret {
	return Secret{form: form, reveal: func() (string, []byte) { return text, key }}
}

// Named returns the secret with a name for logs and for [Verified].Key, such as
// "2026-11". The name is not secret. By default keys are called key-1, key-2
// and so on, by their place in the scheme.
func (s Secret) Named(name string) Secret {
	s.name = name
	return s
}

// NotAfter returns the secret with an end to its use. After t it neither signs
// nor verifies. The zero time means no end, which is the default. Use it to
// keep an old key for the time of a rotation.
func (s Secret) NotAfter(t time.Time) Secret {
	s.notAfter = t
	return s
}

// Reveal returns the secret's text, to be stored or shown once to its owner.
// The zero Secret gives "".
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	text, _ := s.reveal()
	return text
}

// Equal reports, in constant time, whether two secrets are the same key in the
// same form. Names and end times do not count.
func (s Secret) Equal(other Secret) bool {
	return s.form == other.form && subtle.ConstantTimeCompare(s.bytes(), other.bytes()) == 1
}

// IsZero reports whether s is the zero Secret, which is no key.
func (s Secret) IsZero() bool { return s.reveal == nil }

func (s Secret) bytes() []byte {
	if s.reveal == nil {
		return nil
	}
	_, key := s.reveal()
	return key
}

// String returns a redacted form.
func (s Secret) String() string {
	if s.form == formStandard {
		return redactedStandard
	}
	return redactedLiteral
}

func (s Secret) describe() keyInfo { return keyInfo{name: s.name, notAfter: s.notAfter, secret: s} }

// GoString returns a redacted form.
func (s Secret) GoString() string { return "signer.Secret(" + s.String() + ")" }

// Format writes a redacted form for every verb, %x and %+v among them.
func (s Secret) Format(f fmt.State, verb rune) {
	if verb == 'v' && f.Flag('#') {
		io.WriteString(f, s.GoString())
		return
	}
	io.WriteString(f, s.String())
}

// LogValue returns a redacted form, for log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns a redacted form, for encoding/json and similar packages.
// Marshalling loses the secret on purpose.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func secretError(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalidSecret}, args...)...)
}
