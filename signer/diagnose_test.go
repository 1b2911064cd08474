package signer_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
)

// A failure is explained with the first four shared keys, however many there
// are and whatever stands between them.
func TestDiagnosis_TriesFourKeys(t *testing.T) {
	t.Parallel()
	for sender, want := range map[int]bool{0: true, 3: true, 4: false, 5: false} {
		keys := []signer.Key{signer.GenerateSigningKey()}
		for range 6 {
			keys = append(keys, signer.GenerateSecret())
		}
		var opts []signer.Option
		for _, key := range keys[1:] {
			opts = append(opts, signer.WithKey(key))
		}
		r := signed(t, standard(t, keys[1+sender]), "whk_1", time.Now(), []byte(`{"a":1}`))
		_, err := standard(t, keys[0], opts...).Verify(r, []byte(`{"a": 1}`))
		require.ErrorIs(t, err, signer.ErrNoMatch)
		if want {
			require.ErrorContains(t, err, "compacted", sender)
		} else {
			require.NotContains(t, err.Error(), "compacted", sender)
		}
	}
}
