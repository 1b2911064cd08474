package inbound

import (
	"fmt"

	"github.com/deployhook/deployhook/signer"
)

// NewToken returns the verifier of a system that sends a token in a header and
// signs nothing. An empty header means "Authorization: Bearer". All tokens
// belong to one principal, which has the system's name, so that a delivery is
// recognized again after the token has changed.
func NewToken(system, header string, tokens ...signer.Secret) (*signer.APIKeys, error) {
	keys := make([]signer.APIKey, len(tokens))
	for i, token := range tokens {
		if token.IsZero() {
			return nil, ConfigError(system, fmt.Sprintf("token %d is the zero Secret; make it with signer.NewLiteralSecret and check the error", i+1))
		}
		hash, err := signer.HashAPIKey(token.Reveal())
		if err != nil {
			return nil, ConfigError(system, fmt.Sprintf("token %d: %v", i+1, err))
		}
		keys[i] = signer.APIKey{Principal: system, Hash: hash, Name: fmt.Sprintf("token-%d", i+1), NotAfter: token.Expiry()}
	}
	var opts []signer.Option
	if header != "" {
		opts = append(opts, signer.WithHeader(header))
	}
	verifier, err := signer.NewAPIKeys(keys, opts...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", system, ErrConfig, err)
	}
	return verifier, nil
}
