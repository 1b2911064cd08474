package signer

import (
	"strconv"
	"time"
)

const maxKeys = 16

// keySet is the HMAC keys of a scheme, in the order in which they were given.
type keySet []*macKey

// newKeySet checks the keys for a scheme that takes secrets of one form.
func newKeySet(scheme string, form secretForm, keys []Key) (keySet, error) {
	if len(keys) > maxKeys {
		return nil, configError(scheme, "WithKey: %d keys; at most %d, each costs a MAC per request", len(keys), maxKeys)
	}
	set := make(keySet, 0, len(keys))
	infos := make([]keyInfo, 0, len(keys))
	active := false
	for i, key := range keys {
		position := "key-" + strconv.Itoa(i+1)
		info, err := checkKey(scheme, position, form, key)
		if err != nil {
			return nil, err
		}
		for j, other := range infos {
			if other.name == info.name {
				return nil, configError(scheme, "%s and key-%d have the same name; give each its own with Named", position, j+1)
			}
			if other.secret.Equal(info.secret) {
				return nil, configError(scheme, "%s repeats key-%d; a rotation needs two different keys", position, j+1)
			}
		}
		infos = append(infos, info)
		mac := newMACKey(info.name, info.notAfter, info.secret.bytes())
		active = active || mac.active(time.Now())
		set = append(set, mac)
	}
	if !active {
		return nil, configError(scheme, "every key is past its NotAfter time; add a current one")
	}
	return set, nil
}

func checkKey(scheme, position string, form secretForm, key Key) (keyInfo, error) {
	if key == nil {
		return keyInfo{}, configError(scheme, "%s is nil", position)
	}
	info := key.describe()
	switch {
	case info.secret.IsZero():
		return keyInfo{}, configError(scheme, "%s is the zero Secret; make one with ParseSecret or NewLiteralSecret and check its error", position)
	case form == formStandard && info.secret.form == formLiteral:
		return keyInfo{}, configError(scheme, "%s is a literal secret; this scheme takes whsec_ secrets from ParseSecret", position)
	case form == formLiteral && info.secret.form == formStandard:
		return keyInfo{}, configError(scheme, "%s is a base64 secret from ParseSecret; this scheme keys with the text's own bytes: use NewLiteralSecret", position)
	}
	if info.name == "" {
		info.name = position
	}
	return info, nil
}
