package httpsig_test

import (
	"crypto/ed25519"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/hidden/hiddentest"
	"github.com/deployhook/deployhook/signer"
	"github.com/deployhook/deployhook/signer/httpsig"
)

// Keys and schemes print no key, neither directly nor in a field of another
// struct. A private key that is passed as a crypto.Signer is also hidden.
func TestKeysAreHidden(t *testing.T) {
	t.Parallel()
	const (
		shared = "CANARYCANARYCANARYCANARYCANARYCA"
		seed   = "SEEDCANARYSEEDCANARYSEEDCANARYSE"
		remote = "KMSCANARYKMSCANARYKMSCANARYKMSCA"
	)
	literal, err := signer.NewLiteralSecret(shared)
	require.NoError(t, err)
	parsed, err := signer.ParseSecret("whsec_" + shared)
	require.NoError(t, err)
	pair, err := signer.NewSigningKey(ed25519.NewKeyFromSeed([]byte(seed)))
	require.NoError(t, err)
	_, err = httpsig.NewKey("a", pair)
	require.ErrorIs(t, err, signer.ErrConfig)
	inMemory, err := httpsig.NewRemoteKey("c", ed25519.NewKeyFromSeed([]byte(remote)))
	require.NoError(t, err)
	s := newScheme(t, newKey(t, "a", literal), httpsig.WithKey(newKey(t, "b", parsed)), httpsig.WithKey(inMemory))
	hiddentest.RequireHidden(t, []string{shared, seed, remote},
		newKey(t, "a", literal), newKey(t, "b", parsed), inMemory, s, *s, httpsig.WithKey(inMemory), httpsig.Key{}, pair)
	hiddentest.RequireCovered(t, ".", nil, inMemory, s)
}
