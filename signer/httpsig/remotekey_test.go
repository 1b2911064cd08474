package httpsig_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer/httpsig"
)

// callbackKMS is a key whose Sign method is a function.
type callbackKMS struct {
	kms
	sign func()
}

func (c callbackKMS) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	c.sign()
	return nil, errKMS
}

// A crypto.Signer has no context. Sign returns when its own context ends.
func TestRemoteKey_Hangs(t *testing.T) {
	t.Parallel()
	_, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	scheme := func(sign func()) *httpsig.Scheme {
		key, err := httpsig.NewRemoteKey("kms", callbackKMS{kms{private}, sign})
		require.NoError(t, err)
		return newScheme(t, key)
	}
	released := make(chan struct{})
	defer close(released)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the attempt is over")
	cancel(why)
	r := outgoing(t, testURL)
	before := r.Header.Clone()
	require.ErrorIs(t, scheme(func() { <-released }).Sign(ctx, r, testID, time.Now(), testBody), why)
	require.Equal(t, before, r.Header)
	require.PanicsWithValue(t, "mine", func() {
		_ = scheme(func() { panic("mine") }).Sign(t.Context(), r, testID, time.Now(), testBody)
	})
	require.ErrorContains(t, scheme(runtime.Goexit).Sign(t.Context(), r, testID, time.Now(), testBody), "ended its goroutine")
}
