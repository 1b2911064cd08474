package httpsig_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
	"github.com/deployhook/deployhook/signer/httpsig"
)

// seeds is the number of committed seeds. With it, a lost seed is noticed.
const seeds = 12

func TestFuzzSeedsAreCommitted(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "fuzz", "FuzzHeaders", "*"))
	require.NoError(t, err)
	require.Len(t, files, seeds)
	for _, name := range files {
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.NotZero(t, info.Size())
	}
}

// FuzzHeaders passes arbitrary headers. Verify always returns, and accepts only
// the one spelling that was signed.
func FuzzHeaders(f *testing.F) {
	s := newScheme(f, newKey(f, "a", signer.GenerateSecret()), httpsig.WithKey(newKey(f, "b", signer.GenerateSigningKey())))
	sent := signedAt(f, s, time.Now())
	input, value, digest := sent.Header.Get("Signature-Input"), sent.Header.Get("Signature"), sent.Header.Get("Content-Digest")
	f.Add(input, value, digest, uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, fuzzInput, fuzzValue, fuzzDigest string, at uint16, change byte) {
		r := received(t, sent)
		r.Header["Signature-Input"], r.Header["Signature"], r.Header["Content-Digest"] = []string{fuzzInput}, []string{fuzzValue}, []string{fuzzDigest}
		verified, err := s.Verify(r, testBody)
		signed := fuzzInput == input && fuzzValue == value && fuzzDigest == digest
		if signed != (err == nil) {
			t.Fatalf("accepted=%v of %q %q %q", err == nil, fuzzInput, fuzzValue, fuzzDigest)
		}
		if err != nil {
			require.ErrorIs(t, err, signer.ErrUnverified)
			require.Zero(t, verified)
		}
		// One byte of the valid headers is changed, at any place, because a fuzzer
		// cannot make a valid signature itself.
		texts := []string{input, value, digest}
		i := int(at) % (len(input) + len(value) + len(digest))
		for n, name := range []string{"Signature-Input", "Signature", "Content-Digest"} {
			r.Header[name] = []string{texts[n]}
			if i >= 0 && i < len(texts[n]) {
				b := []byte(texts[n])
				b[i] ^= change
				r.Header[name] = []string{string(b)}
			}
			i -= len(texts[n])
		}
		// One valid signature is enough. The other one can look like a signature by an
		// unknown key.
		if _, err := s.Verify(r, testBody); change != 0 && err == nil && r.Header.Get("Content-Digest") != digest {
			t.Fatalf("accepted %v", r.Header)
		}
	})
}
