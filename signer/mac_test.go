package signer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
)

// The keys of RFC 4231 are too short or not text, so the public constructors
// refuse them. The test calls the MAC itself.
func TestRFC4231(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		key, data []byte
		want      string
	}{
		{"case 1", bytes.Repeat([]byte{0x0b}, 20), []byte("Hi There"), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
		{"case 2", []byte("Jefe"), []byte("what do ya want for nothing?"), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{"case 3", bytes.Repeat([]byte{0xaa}, 20), bytes.Repeat([]byte{0xdd}, 50), "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
		{"case 6, key longer than a block", bytes.Repeat([]byte{0xaa}, 131), []byte("Test Using Larger Than Block-Size Key - Hash Key First"), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			key := newMACKey(sha256.New, c.key)
			for range 3 { // a pooled state must give the same again
				state := key.get()
				state.prefix = append(state.prefix, c.data[:4]...)
				sum := state.compute(c.data[4:])
				require.Equal(t, c.want, hex.EncodeToString(sum))
				key.put(state)
			}
		})
	}
}
