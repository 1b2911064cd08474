package interop

import (
	"crypto/ed25519"
	"encoding/base64"
	"math/rand/v2"
	"testing"

	"filippo.io/edwards25519"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
)

// TestPoints checks that signer accepts exactly the canonical encodings of
// points that are not of low order. Another implementation of the curve decides
// which those are.
func TestPoints(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	accepted, refused := 0, 0
	check := func(encoded []byte) {
		point, err := new(edwards25519.Point).SetBytes(encoded)
		want := err == nil && string(point.Bytes()) == string(encoded) &&
			new(edwards25519.Point).MultByCofactor(point).Equal(edwards25519.NewIdentityPoint()) == 0
		_, err = signer.ParseVerifyingKey("whpk_" + base64.StdEncoding.EncodeToString(encoded))
		require.Equal(t, want, err == nil, "%x: %v", encoded, err)
		if want {
			accepted++
		} else {
			refused++
			require.ErrorIs(t, err, signer.ErrInvalidSecret)
		}
	}
	for range 2000 {
		encoded := make([]byte, ed25519.PublicKeySize)
		for i := range encoded {
			encoded[i] = byte(random.Uint32())
		}
		check(encoded)
	}
	require.InDelta(t, 1000, accepted, 200)
	// All encodings of small numbers and of those near p, with either sign: the
	// points of low order of which y is 0, 1 and -1, and every encoding that is not
	// reduced.
	for low := range 256 {
		for _, fill := range []byte{0, 0xff} {
			for _, high := range []byte{0, 0x7f, 0x80, 0xff} {
				encoded := make([]byte, ed25519.PublicKeySize)
				for i := range encoded {
					encoded[i] = fill
				}
				encoded[0], encoded[31] = byte(low), high
				check(encoded)
			}
		}
	}
	// The points of order eight, from the other implementation.
	eighth, err := new(edwards25519.Point).SetBytes([]byte("\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05"))
	require.NoError(t, err)
	before := refused
	multiple := edwards25519.NewIdentityPoint()
	for range 8 {
		check(multiple.Bytes())
		multiple.Add(multiple, eighth)
	}
	require.Equal(t, before+8, refused)
	require.Equal(t, 1, multiple.Equal(edwards25519.NewIdentityPoint()))
}
