package outbox

import (
	"errors"
	"slices"

	"github.com/deployhook/deployhook/signer"
	"github.com/deployhook/deployhook/signer/httpsig"
)

// buildHTTPSig returns a signer of [SchemeHTTPSig]. During a rotation, the
// signature by the oldest key comes first, for receivers that look at the first
// one only.
func (s Scheme) buildHTTPSig(header string, keys []storedKey) (signer.Signer, error) {
	if header != "" {
		return nil, errors.New("scheme httpsig has headers with fixed names; leave it out")
	}
	var made []httpsig.Key
	for _, k := range slices.Backward(keys) {
		parsed, err := s.parse(k)
		if err != nil {
			return nil, err
		}
		pair, _ := parsed.(signer.SigningKey)
		key, err := messageKey(pair)
		if err != nil {
			return nil, err
		}
		made = append(made, key)
	}
	opts := []httpsig.Option{httpsig.WithTolerance(verifyTolerance)}
	for _, key := range made[1:] {
		opts = append(opts, httpsig.WithKey(key))
	}
	return httpsig.New(made[0], opts...)
}

// messageKey returns a key pair under its thumbprint as keyid.
func messageKey(pair signer.SigningKey) (httpsig.Key, error) {
	id, err := httpsig.Thumbprint(pair.VerifyingKey())
	if err != nil {
		return httpsig.Key{}, err
	}
	return httpsig.NewKey(id, pair)
}

// webKey returns what the customer needs of a key pair.
func webKey(pair signer.SigningKey) (Secret, error) {
	key, err := messageKey(pair)
	if err != nil {
		return Secret{}, err
	}
	text, err := key.JWK()
	return NewSecret(text), err
}
