package signer

import (
	"crypto/ed25519"
	"crypto/sha256"
	"reflect"
	"strconv"
	"time"
)

const (
	// Each secret costs one MAC of the whole body per request.
	maxKeys = 8
	// The current key and the next. Each costs a verification of every
	// Ed25519 signature in a request that counts, and each verification
	// hashes the whole body.
	maxAsymmetricKeys = 2
	// The most keys of a scheme that has an Ed25519 key. A forged request can
	// carry signatures of both kinds and then costs the sum, which is at most
	// four Ed25519 verifications and one MAC.
	maxMixedKeys = 3
)

// Key is a [Secret], a [SigningKey] or a [VerifyingKey], with which a scheme
// signs and verifies. The interface is sealed. The key's type decides the
// algorithm, and a message never does.
type Key interface {
	// Expiry returns the end that NotAfter has set, or the zero time.
	Expiry() time.Time

	describe() keyInfo
}

// Expiry returns the end that [Secret.NotAfter] has set, or the zero time.
func (s Secret) Expiry() time.Time { return s.notAfter }

// Expiry returns the end that [SigningKey.NotAfter] has set, or the zero time.
func (k SigningKey) Expiry() time.Time { return k.notAfter }

// Expiry returns the end that [VerifyingKey.NotAfter] has set, or the zero
// time.
func (k VerifyingKey) Expiry() time.Time { return k.notAfter }

type keyInfo struct {
	name     string
	notAfter time.Time
	secret   Secret            // of an HMAC key
	public   ed25519.PublicKey // of an Ed25519 key
	sign     signFunc          // of an Ed25519 key that can sign
	remote   bool              // sign is the application's
}

func (i keyInfo) isAsymmetric() bool { return i.public != nil }

func (i keyInfo) sameKey(other keyInfo) bool {
	if i.isAsymmetric() {
		return i.public.Equal(other.public)
	}
	return i.secret.Equal(other.secret)
}

// activeKey is a key in use. Exactly one of mac and public is set.
type activeKey struct {
	name     string
	notAfter time.Time // zero: no end
	secret   Secret    // kept for diagnosis

	mac    *macKey
	public ed25519.PublicKey
	sign   signFunc // nil: verifies only
	remote bool     // sign is the application's
}

// signFunc signs with an Ed25519 key. As a closure, it keeps the key out of the
// reach of reflection.
type signFunc func(message []byte) ([]byte, error)

// active reports whether the key may be used at t. Its end is inclusive.
func (k *activeKey) active(t time.Time) bool { return k.notAfter.IsZero() || !t.After(k.notAfter) }

// accepts says which keys a scheme takes.
type accepts struct {
	form       secretForm
	asymmetric bool
}

// newKeySet checks the keys for a scheme and keeps their order.
func newKeySet(scheme string, takes accepts, keys []Key) ([]*activeKey, error) {
	if len(keys) > maxKeys {
		return nil, configError(scheme, "WithKey: %d keys; at most %d, each costs a MAC per request", len(keys), maxKeys)
	}
	set := make([]*activeKey, 0, len(keys))
	infos := make([]keyInfo, 0, len(keys))
	usable, asymmetric := false, 0
	for i, key := range keys {
		position := "key-" + strconv.Itoa(i+1)
		info, err := checkKey(scheme, position, takes, key)
		if err != nil {
			return nil, err
		}
		for j, other := range infos {
			if other.name == info.name {
				return nil, configError(scheme, "%s and key-%d have the same name; give each its own with Named", position, j+1)
			}
			if other.sameKey(info) {
				return nil, configError(scheme, "%s repeats key-%d; a rotation needs two different keys", position, j+1)
			}
		}
		infos = append(infos, info)
		k := &activeKey{name: info.name, notAfter: info.notAfter, secret: info.secret, public: info.public, sign: info.sign, remote: info.remote}
		if info.isAsymmetric() {
			if asymmetric++; asymmetric > maxAsymmetricKeys {
				return nil, configError(scheme, "WithKey: more than %d Ed25519 keys, the current and the next; leave out those that nothing signs with", maxAsymmetricKeys)
			}
		} else {
			k.mac = newMACKey(sha256.New, info.secret.bytes())
		}
		usable = usable || k.active(time.Now())
		set = append(set, k)
	}
	if asymmetric > 0 && len(set) > maxMixedKeys {
		return nil, configError(scheme, "WithKey: %d keys, Ed25519 keys among them; such a scheme takes at most %d, so leave out those that nothing signs with", len(set), maxMixedKeys)
	}
	if !usable {
		return nil, configError(scheme, "every key is past its NotAfter time; add a current one")
	}
	return set, nil
}

// isNil reports whether v is nil, or an interface that holds a nil pointer,
// func, map or slice, whose methods would panic.
func isNil(v any) bool {
	if v == nil {
		return true
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Pointer, reflect.Func, reflect.Map, reflect.Slice, reflect.Chan:
		return r.IsNil()
	}
	return false
}

func checkKey(scheme, position string, takes accepts, key Key) (keyInfo, error) {
	if isNil(key) {
		return keyInfo{}, configError(scheme, "%s is nil", position)
	}
	info := key.describe()
	if info.name == "" {
		info.name = position
	}
	if info.isAsymmetric() {
		if !takes.asymmetric {
			return keyInfo{}, configError(scheme, "%s is an Ed25519 key; this scheme takes shared secrets only", position)
		}
		return info, nil
	}
	switch {
	case info.secret.IsZero():
		return keyInfo{}, configError(scheme, "%s is the zero value, which is no key; make one with ParseSecret or NewLiteralSecret and check its error", position)
	case takes.form == formStandard && info.secret.form == formLiteral:
		return keyInfo{}, configError(scheme, "%s is a literal secret; this scheme takes whsec_ secrets from ParseSecret", position)
	case takes.form == formLiteral && info.secret.form == formStandard:
		return keyInfo{}, configError(scheme, "%s is a base64 secret from ParseSecret; this scheme keys with the text's own bytes: use NewLiteralSecret", position)
	}
	return info, nil
}
