package signer_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
)

// callback is a key whose Sign method is a function.
type callback struct {
	crypto.Signer
	sign func()
}

func (c callback) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	c.sign()
	return nil, errors.New("released")
}

// A crypto.Signer has no context. Sign returns when its own context ends.
func TestKeysKeptElsewhere_Hang(t *testing.T) {
	t.Parallel()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	released := make(chan struct{})
	defer close(released)
	key := must[signer.SigningKey](t)(signer.NewSigningKey(callback{private, func() { <-released }}))
	r := request(nil)
	before := r.Header.Clone()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the attempt is over")
	cancel(why)
	require.ErrorIs(t, standard(t, key).Sign(ctx, r, "whk_1", time.Now(), nil), why)
	require.Equal(t, before, r.Header)

	key = must[signer.SigningKey](t)(signer.NewSigningKey(callback{private, func() { panic("mine") }}))
	require.PanicsWithValue(t, "mine", func() { _ = standard(t, key).Sign(t.Context(), r, "whk_1", time.Now(), nil) })
	key = must[signer.SigningKey](t)(signer.NewSigningKey(callback{private, runtime.Goexit}))
	require.ErrorContains(t, standard(t, key).Sign(t.Context(), r, "whk_1", time.Now(), nil), "ended the goroutine")
}
