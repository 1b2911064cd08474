package httpsig_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
	"github.com/deployhook/deployhook/signer/httpsig"
)

// The first two signatures of each key count, and a scheme has at most two
// Ed25519 keys. A forged request therefore costs at most four verifications.
func TestEd25519VerificationsAreBounded(t *testing.T) {
	t.Parallel()
	pair := signer.GenerateSigningKey()
	s := newScheme(t, newKey(t, "a", pair))
	for forged, want := range map[int]error{0: nil, 1: nil, 2: signer.ErrNoMatch, 15: signer.ErrNoMatch, 16: signer.ErrMalformed} {
		r := received(t, signedAt(t, s, time.Now()))
		input, value := r.Header.Get("Signature-Input"), r.Header.Get("Signature")
		_, params, _ := strings.Cut(input, "=")
		for i := range forged {
			raw := make([]byte, ed25519.SignatureSize)
			raw[0] = byte(i)
			input = fmt.Sprintf("x%d=%s, %s", i, params, input)
			value = fmt.Sprintf("x%d=:%s:, %s", i, base64.StdEncoding.EncodeToString(raw), value)
		}
		r.Header.Set("Signature-Input", input)
		r.Header.Set("Signature", value)
		_, err := s.Verify(r, testBody)
		require.ErrorIs(t, err, want, forged)
	}

	further := func() httpsig.Option {
		return httpsig.WithKey(newKey(t, signer.GenerateSecret().Reveal()[6:20], signer.GenerateSigningKey()))
	}
	_, err := httpsig.New(newKey(t, "a", pair), further())
	require.NoError(t, err)
	_, err = httpsig.New(newKey(t, "a", pair), further(), further())
	require.ErrorIs(t, err, signer.ErrConfig)
	require.ErrorContains(t, err, "Ed25519 keys")
}

// If signatures could cover long headers, verification would hash all of them
// for each signature.
func TestWhatASignatureCoversIsBounded(t *testing.T) {
	t.Parallel()
	s := newScheme(t, newKey(t, "a", signer.GenerateSecret()))
	r := received(t, signedAt(t, s, time.Now()))
	r.Header.Set("X-Long", strings.Repeat("x", 32<<10))
	replace(r, `"webhook-id")`, `"webhook-id" "x-long")`)
	_, err := s.Verify(r, testBody)
	require.ErrorIs(t, err, signer.ErrMalformed)
	require.ErrorContains(t, err, "32768 bytes")
}
