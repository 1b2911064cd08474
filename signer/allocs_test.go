package signer_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
)

// Signing allocates the header's text and its values, also with four keys, the
// longest names and the longest time.
func TestSign_AllocatesTwiceWithFourKeys(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	var std, lit []signer.Option
	for range 3 {
		std = append(std, signer.WithKey(signer.GenerateSecret()))
		lit = append(lit, signer.WithKey(signer.GenerateLiteralSecret()))
	}
	lit = append(lit, signer.WithFieldNames(strings.Repeat("t", 32), "v1"))
	latest := time.Unix(99_999_999_999, 0)
	for name, s := range map[string]signer.Signer{
		"Standard":    standard(t, signer.GenerateSecret(), std...),
		"Stripe":      must[*signer.Stripe](t)(signer.NewStripe(signer.GenerateLiteralSecret(), lit...)),
		"Timestamped": timestamped(t, signer.GenerateLiteralSecret(), signer.WithSignaturePrefix(strings.Repeat("x", 64))),
	} {
		r := signed(t, s, "whk_1", latest, nil)
		require.LessOrEqual(t, testing.AllocsPerRun(200, func() { _ = s.Sign(r.Context(), r, "whk_1", latest, nil) }), 2.0, name)
	}
}
