package outbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/deployhook/deployhook/internal/hidden"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

// Scheme says how an endpoint's deliveries are authenticated. The values are
// stored.
type Scheme string

// The schemes. Package signer explains them.
const (
	// SchemeStandard is Standard Webhooks with a shared whsec_ secret. It is the
	// default and recommended.
	SchemeStandard Scheme = "standard"
	// SchemeEd25519 is Standard Webhooks with a key pair. The customer gets a
	// public key, which can't be used to forge.
	SchemeEd25519 Scheme = "ed25519"
	// SchemeHTTPSig is HTTP message signatures (RFC 9421) with a key pair, see
	// package signer/httpsig. They also sign the URL and the content type. The
	// customer gets the public key as a JSON Web Key, for httpsig.ParseJWK. Its
	// kid is the keyid of the signatures, which is always the key's thumbprint
	// (RFC 7638). The headers have fixed names, so SignatureHeader is an error.
	SchemeHTTPSig Scheme = "httpsig"
	// SchemeTimestamped is the common pattern, the hex HMAC of "timestamp.body".
	// SignatureHeader replaces "X-Webhook" in the header names, for example with
	// "X-Temps".
	SchemeTimestamped Scheme = "timestamped"
	// SchemeStripe is the layout of Stripe's webhooks. SignatureHeader replaces
	// "Stripe-Signature".
	SchemeStripe Scheme = "stripe"
	// SchemeBearer sends an API key of the customer's in Authorization, or in the
	// header that SignatureHeader names.
	SchemeBearer Scheme = "bearer"
	// InsecureUnsigned sends no signature. It is for chat services whose URL is
	// the credential. See sender.InsecureUnsigned for what is lost.
	InsecureUnsigned Scheme = "unsigned"
)

// Secret is what a customer needs to verify deliveries. [App.CreateEndpoint]
// and [App.RotateSecret] return it once. It is a whsec_ or literal secret,
// the public whpk_ key of [SchemeEd25519], or the JSON Web Key of
// [SchemeHTTPSig]. It is empty for schemes without one. Printing a Secret shows
// nothing, also inside other values. Use Reveal to get its text.
type Secret struct{ text hidden.Value[string] }

// NewSecret wraps a key that the customer has, for [EndpointConfig] and
// [App.RotateSecret], which check it.
func NewSecret(text string) Secret { return Secret{hidden.Of(text)} }

// Reveal returns the text. Show it to the customer once, and never log it.
func (s Secret) Reveal() string { return s.text.Reveal() }

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// String shows nothing of the secret.
func (s Secret) String() string { return "outbox.Secret(redacted)" }

// Format prints String whatever the verb is.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue is String for log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns String. The text of a secret is not marshaled.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// storedKey is a key of an endpoint. The newest comes first.
type storedKey struct {
	text     hidden.Value[string]
	NotAfter int64 // microseconds; 0 means no end
}

// keyJSON is the form of a storedKey that is sealed. Only [encodeKeys] makes
// one, so that a storedKey shows no text wherever it is logged.
type keyJSON struct {
	Text     string `json:"text"`
	NotAfter int64  `json:"not_after,omitempty"`
}

// encodeKeys returns what is sealed.
func encodeKeys(keys []storedKey) ([]byte, error) {
	out := make([]keyJSON, len(keys))
	for i, k := range keys {
		out[i] = keyJSON{k.text.Reveal(), k.NotAfter}
	}
	return json.Marshal(out)
}

// decodeKeys reads what [encodeKeys] wrote.
func decodeKeys(data []byte) ([]storedKey, error) {
	var in []keyJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, err
	}
	var keys []storedKey
	for _, k := range in {
		keys = append(keys, storedKey{hidden.Of(k.Text), k.NotAfter})
	}
	return keys, nil
}

func (k storedKey) active(now time.Time) bool { return k.NotAfter == 0 || micros(now) <= k.NotAfter }

// single reports whether a request has room for one signature only. During a
// rotation, such a scheme uses the old key, since a receiver that does not have
// the new one yet would refuse every delivery.
func (s Scheme) single() bool { return s == SchemeTimestamped || s == SchemeBearer }

// newKey returns a key for the scheme, and what the customer needs. It checks
// text, or generates a key if text is empty.
func (s Scheme) newKey(text string) (storedKey, Secret, error) {
	given := text != ""
	switch s {
	case SchemeStandard:
		if !given {
			text = signer.GenerateSecret().Reveal()
		}
	case SchemeEd25519, SchemeHTTPSig:
		if !given {
			text = signer.GenerateSigningKey().Reveal()
		}
	case SchemeTimestamped, SchemeStripe:
		if !given {
			text = signer.GenerateLiteralSecret().Reveal()
		}
	case SchemeBearer:
		if !given {
			return storedKey{}, Secret{}, fieldError("Secret", "scheme bearer needs the API key that the receiver issued")
		}
	case InsecureUnsigned:
		if given {
			return storedKey{}, Secret{}, fieldError("Secret", "scheme unsigned uses none; choose another scheme or leave it out")
		}
		return storedKey{}, Secret{}, nil
	default:
		return storedKey{}, Secret{}, fieldError("Scheme", "is unknown; use standard, ed25519, httpsig, timestamped, stripe, bearer or unsigned")
	}
	k := storedKey{text: hidden.Of(text)}
	shown, err := s.shown(k)
	if err != nil {
		return storedKey{}, Secret{}, &FieldError{Field: "Secret", Reason: err.Error(), cause: err}
	}
	return k, shown, nil
}

// shown returns what the customer needs of a key, or why the key is invalid.
func (s Scheme) shown(k storedKey) (Secret, error) {
	parsed, err := s.parse(k)
	if err != nil {
		return Secret{}, err
	}
	if pair, ok := parsed.(signer.SigningKey); ok && s == SchemeHTTPSig {
		return webKey(pair)
	} else if ok {
		return NewSecret(pair.VerifyingKey().String()), nil
	}
	return NewSecret(k.text.Reveal()), nil
}

func (s Scheme) parse(k storedKey) (signer.Key, error) {
	var end time.Time
	if k.NotAfter != 0 {
		end = fromMicros(k.NotAfter)
	}
	switch s {
	case SchemeStandard:
		secret, err := signer.ParseSecret(k.text.Reveal())
		return secret.NotAfter(end), err
	case SchemeEd25519, SchemeHTTPSig:
		key, err := signer.ParseSigningKey(k.text.Reveal())
		return key.NotAfter(end), err
	default:
		secret, err := signer.NewLiteralSecret(k.text.Reveal())
		return secret.NotAfter(end), err
	}
}

// signer returns a signer for now, and until when it is valid: the end of a
// key's use, or the zero time.
func (s Scheme) signer(header string, keys []storedKey, now time.Time) (signer.Signer, time.Time, error) {
	if s == InsecureUnsigned {
		return sender.InsecureUnsigned(), time.Time{}, nil
	}
	active, until := activeKeys(keys, now)
	if len(active) == 0 {
		return nil, time.Time{}, errors.New("the endpoint has no key that is in use")
	}
	if s.single() {
		active = active[len(active)-1:] // the oldest
	}
	made, err := s.build(header, active)
	return made, until, err
}

func activeKeys(keys []storedKey, now time.Time) (active []storedKey, until time.Time) {
	for _, k := range keys {
		if !k.active(now) {
			continue
		}
		active = append(active, k)
		if end := fromMicros(k.NotAfter); k.NotAfter != 0 && (until.IsZero() || end.Before(until)) {
			until = end
		}
	}
	return active, until
}

// build returns a signer that also verifies. Timestamps may lie as far from now
// as a verifier allows at all, which matters to [App.VerifyRequest] only.
func (s Scheme) build(header string, keys []storedKey) (signer.Signer, error) {
	if s == SchemeHTTPSig {
		return s.buildHTTPSig(header, keys)
	}
	var opts []signer.Option
	if s != SchemeBearer {
		opts = append(opts, signer.WithTolerance(verifyTolerance))
	}
	for _, k := range keys[1:] {
		key, err := s.parse(k)
		if err != nil {
			return nil, err
		}
		opts = append(opts, signer.WithKey(key))
	}
	first, err := s.parse(keys[0])
	if err != nil {
		return nil, err
	}
	if header != "" && s == SchemeTimestamped {
		opts = append(opts, signer.WithHeaderPrefix(header))
	} else if header != "" {
		opts = append(opts, signer.WithHeader(header))
	}
	switch s {
	case SchemeTimestamped:
		return signer.NewTimestamped(first, opts...)
	case SchemeStripe:
		return signer.NewStripe(first, opts...)
	case SchemeBearer:
		secret, _ := first.(signer.Secret)
		return signer.NewBearer(secret, opts...)
	default:
		return signer.NewStandard(first, opts...)
	}
}
