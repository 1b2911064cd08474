package httpsig

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/deployhook/deployhook/signer"
)

// jwk has the members of a JSON Web Key (RFC 7517) for Ed25519 (RFC 8037).
type jwk struct {
	Type    string          `json:"kty"`
	Curve   string          `json:"crv"`
	X       string          `json:"x"`
	ID      string          `json:"kid,omitempty"`
	Use     string          `json:"use,omitempty"`
	Private json.RawMessage `json:"d,omitempty"`
}

const (
	jwkType  = "OKP"
	jwkCurve = "Ed25519"
	jwkUse   = "sig"
)

// JWK returns the public key of an Ed25519 key as a JSON Web Key (RFC 8037),
// with the key's ID as its kid. It is what the other side needs to verify, in
// one text that is not secret:
//
//	{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrf…","kid":"2026-11","use":"sig"}
//
// A shared secret has no public key, so its JWK is an error, which wraps
// [signer.ErrConfig].
func (k Key) JWK() (string, error) {
	if k.public == nil {
		return "", configError("JWK: a shared secret and the zero Key have no public key")
	}
	text, err := json.Marshal(jwk{Type: jwkType, Curve: jwkCurve, X: coordinate(k.public), ID: k.id, Use: jwkUse})
	return string(text), err
}

// ParseJWK returns a key that verifies, from the JSON Web Key of an Ed25519
// public key. The key's ID is the kid, or the [Thumbprint] without a kid.
// Unknown members are ignored. ParseJWK refuses a private key, a key for
// another use, and points of low order, for which anyone can sign. Errors wrap
// [signer.ErrConfig].
func ParseJWK(text string) (Key, error) {
	var in jwk
	if err := json.Unmarshal([]byte(text), &in); err != nil {
		return Key{}, configError("ParseJWK: the text is no JSON object with the members of a JWK")
	}
	switch {
	case in.Type != jwkType || in.Curve != jwkCurve:
		return Key{}, configError("ParseJWK: kty %.20q and crv %.20q; want %s and %s", in.Type, in.Curve, jwkType, jwkCurve)
	case in.Private != nil:
		return Key{}, configError("ParseJWK: this is a private key; give the public one, without d")
	case in.Use != "" && in.Use != jwkUse:
		return Key{}, configError("ParseJWK: use %.20q; want %s", in.Use, jwkUse)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(in.X)
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return Key{}, configError("ParseJWK: x is not the base64url of %d bytes", ed25519.PublicKeySize)
	}
	key, err := signer.ParseVerifyingKey("whpk_" + base64.StdEncoding.EncodeToString(raw))
	if err != nil {
		return Key{}, fmt.Errorf("%w: httpsig: ParseJWK: %w", signer.ErrConfig, err)
	}
	if in.ID == "" {
		in.ID = thumbprint(raw)
	}
	return NewKey(in.ID, key)
}

// Thumbprint returns the JWK thumbprint of an Ed25519 public key (RFC 7638, RFC
// 8037) with SHA-256, in base64url. It is a good ID for [NewKey]: both sides
// can derive it from the key, and no two keys share one. Errors wrap
// [signer.ErrConfig].
func Thumbprint(key signer.VerifyingKey) (string, error) {
	public, err := publicKey(key)
	if err != nil {
		return "", err
	}
	return thumbprint(public), nil
}

func thumbprint(public ed25519.PublicKey) string {
	sum := sha256.Sum256([]byte(`{"crv":"` + jwkCurve + `","kty":"` + jwkType + `","x":"` + coordinate(public) + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func coordinate(public ed25519.PublicKey) string { return base64.RawURLEncoding.EncodeToString(public) }
