package signer_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
)

// lowOrder has the points whose order divides eight, in every encoding that
// decoders accept. For each point the canonical encodings come first. Then come
// those with a y that is not reduced or a sign that zero cannot have.
var lowOrder = []string{
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
}

func verifyingText(public []byte) string {
	return "whpk_" + base64.StdEncoding.EncodeToString(public)
}

func TestParseVerifyingKey_RefusesLowOrderPoints(t *testing.T) {
	t.Parallel()
	for i, text := range lowOrder {
		public := must[[]byte](t)(hex.DecodeString(text))
		_, err := signer.ParseVerifyingKey(verifyingText(public))
		require.ErrorIs(t, err, signer.ErrInvalidSecret, text)
		if i < 8 {
			require.ErrorContains(t, err, "low order", text)
		}
		_, err = signer.NewSigningKey(claimed{public})
		require.ErrorIs(t, err, signer.ErrInvalidSecret, text)
	}
}

// An encoding whose y is not below p is a second encoding of another point.
func TestParseVerifyingKey_RefusesOtherEncodings(t *testing.T) {
	t.Parallel()
	for low := byte(0xed); low != 0; low++ { // p to 2²⁵⁵-1
		for _, high := range []byte{0x7f, 0xff} {
			public := bytes.Repeat([]byte{0xff}, 32)
			public[0], public[31] = low, high
			_, err := signer.ParseVerifyingKey(verifyingText(public))
			require.ErrorIs(t, err, signer.ErrInvalidSecret)
			require.ErrorContains(t, err, "no point of the curve", low)
		}
	}
}

// Half of all strings are not points. The public key of every key pair is one.
func TestParseVerifyingKey_TakesPoints(t *testing.T) {
	t.Parallel()
	refused := 0
	for i := range 200 {
		seed := bytes.Repeat([]byte{byte(i)}, ed25519.SeedSize)
		public := slices.Clone(ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey))
		key, err := signer.ParseVerifyingKey(verifyingText(public))
		require.NoError(t, err)
		require.Equal(t, verifyingText(public), key.String())
		public[0] ^= 1
		if _, err := signer.ParseVerifyingKey(verifyingText(public)); err != nil {
			require.ErrorIs(t, err, signer.ErrInvalidSecret)
			refused++
		}
	}
	require.InDelta(t, 100, refused, 40)
}

// claimed is a crypto.Signer that claims to have a given public key.
type claimed struct{ public ed25519.PublicKey }

func (c claimed) Public() crypto.PublicKey { return c.public }

func (c claimed) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, io.EOF }

func TestNewSigningKey_RefusesKeysThatCannotSign(t *testing.T) {
	t.Parallel()
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	mixed := slices.Clone(private)
	copy(mixed[32:], ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))[32:])
	weak := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
	for name, c := range map[string]struct {
		key  crypto.Signer
		says string
	}{
		"nil":                        {nil, "nil"},
		"nil private key":            {ed25519.PrivateKey(nil), "nil"},
		"nil pointer":                {(*ed25519.PrivateKey)(nil), "nil"},
		"pointer to nil":             {new(ed25519.PrivateKey), "0 bytes"},
		"empty private key":          {ed25519.PrivateKey{}, "0 bytes"},
		"short private key":          {private[:40], "40 bytes"},
		"halves of two keys":         {mixed, "does not belong"},
		"pointer to halves of two":   {&mixed, "does not belong"},
		"RSA":                        {weak, "rsa.PublicKey"},
		"nil public key":             {claimed{}, "0 bytes"},
		"short public key":           {claimed{make([]byte, 31)}, "31 bytes"},
		"public key that is nowhere": {claimed{bytes.Repeat([]byte{2}, 32)}, "no point"},
	} {
		_, err := signer.NewSigningKey(c.key)
		require.ErrorIs(t, err, signer.ErrInvalidSecret, name)
		require.ErrorContains(t, err, c.says, name)
	}
	for _, key := range []crypto.Signer{private, &private} {
		_, err := signer.NewSigningKey(key)
		require.NoError(t, err)
	}
}
