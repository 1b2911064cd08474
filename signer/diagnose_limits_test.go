package signer_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
)

// diagnosed returns the error for a request whose signature is over another
// body.
func diagnosed(t *testing.T, signedBody, received string) string {
	t.Helper()
	s := standard(t, signer.GenerateSecret())
	_, err := s.Verify(signed(t, s, "whk_1", time.Now(), []byte(signedBody)), []byte(received))
	require.ErrorIs(t, err, signer.ErrNoMatch)
	return err.Error()
}

// A body of 64 KiB is diagnosed, and a larger one is not.
func TestDiagnosis_LargestBody(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]bool{64 << 10: true, 64<<10 + 1: false} {
		body := strings.Repeat("x", size-1)
		require.Equal(t, want, strings.Contains(diagnosed(t, body, body+" "), "white space"), size)
	}
}

// The characters of a body of 16 KiB are spelled in other ways. Those of a
// larger one are not.
func TestDiagnosis_LargestBodyToSpell(t *testing.T) {
	t.Parallel()
	const escape = `\u00e7`
	for size, want := range map[int]bool{16 << 10: true, 16<<10 + 1: false} {
		body := `["` + strings.Repeat("x", size-len(escape)-4) + escape + `"]`
		require.Len(t, body, size)
		require.Equal(t, want, strings.Contains(diagnosed(t, strings.Replace(body, escape, "ç", 1), body), "became characters"), size)
	}
}

// nested returns arrays in each other, with commas at some depths. Re-encoding
// puts each bracket and each comma on a line with two blanks for each level.
func nested(depth int, commas map[int]int) string {
	var b strings.Builder
	for level := 1; level <= depth; level++ {
		b.WriteString("[" + strings.Repeat("1,", commas[level]))
	}
	b.WriteString("1" + strings.Repeat("]", depth))
	return b.String()
}

// A body is re-encoded if it has at most 4096 brackets and commas, and if they
// take at most 64 KiB of indentation.
func TestDiagnosis_LargestReencoding(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		want bool
	}{
		"4096 brackets and commas": {nested(1, map[int]int{1: 4094}), true},
		"4097 brackets and commas": {nested(1, map[int]int{1: 4095}), false},
		// The 31 levels take 1984 bytes. A comma takes 63 at the deepest level, 5
		// at the second and 3 at the first.
		"64 KiB":            {nested(31, map[int]int{31: 1008, 1: 16}), true},
		"64 KiB and a byte": {nested(31, map[int]int{31: 1008, 1: 13, 2: 2}), false},
		"64 KiB and a byte, with brackets in text": {`["]]",` + nested(31, map[int]int{31: 1008, 1: 14}) + "]", false},
	} {
		hint := diagnosed(t, c.body, strings.Replace(c.body, "[", "[ ", 1))
		require.Equal(t, c.want, strings.Contains(hint, "compacted"), name)
	}
}

// An expired key still matches. The hint says so, and looks for no other
// reason.
func TestDiagnosis_NamesAnExpiredKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old := signer.GenerateSecret().Named("old").NotAfter(time.Now().Add(time.Minute))
		r := signed(t, standard(t, old), "whk_1", time.Now(), []byte("{}"))
		s := standard(t, signer.GenerateSecret(), signer.WithKey(old))
		time.Sleep(time.Minute + 1)
		_, err := s.Verify(r, []byte("{}"))
		require.ErrorIs(t, err, signer.ErrNoMatch)
		require.ErrorContains(t, err, "; old matches, but it is past its NotAfter time")
	})
}

// An Ed25519 key is never tried as a secret, so that a signature with an empty
// key matches nothing.
func TestDiagnosis_SkipsEd25519Keys(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "\n", `""`} {
		s := standard(t, signer.GenerateSigningKey(), signer.WithKey(signer.GenerateSecret()))
		r := request(nil)
		hand(r, key, "whk_1.%d.", `{"a":1}`)
		_, err := s.Verify(r, []byte(`{"a": 1}`))
		require.ErrorIs(t, err, signer.ErrNoMatch)
		require.NotContains(t, err.Error(), "matches the body")
		require.NotContains(t, err.Error(), "matches when")
	}
}

// Without a signature of the scheme's own, the hint is the other scheme's
// header, if there is one.
func TestDiagnosis_WithoutASignature(t *testing.T) {
	t.Parallel()
	for other, says := range map[string]string{"X-Gogs-Signature": "; the request carries X-Gogs-Signature", "X-Unknown": ""} {
		s := standard(t, signer.GenerateSecret())
		r := signed(t, s, "whk_1", time.Now(), nil)
		r.Header.Set("Webhook-Signature", "v2,x")
		r.Header.Set(other, "x")
		_, err := s.Verify(r, nil)
		require.ErrorIs(t, err, signer.ErrNoMatch)
		require.ErrorContains(t, err, fmt.Sprintf("1 key(s) tried%s", says))
		require.Equal(t, says != "", strings.Contains(err.Error(), "carries"), other)
	}
}
