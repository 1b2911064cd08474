package signer_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
)

func TestAnyOf(t *testing.T) {
	t.Parallel()
	strong := standard(t, signer.GenerateSecret(), signer.WithTolerance(time.Minute))
	weak := timestamped(t, signer.GenerateLiteralSecret())
	any := must[*signer.Any](t)(signer.AnyOf(strong, weak))
	body := []byte(specBody)
	require.Equal(t, signer.DefaultTolerance, any.Tolerance())
	require.False(t, any.SignsID())

	for _, s := range []signer.Signer{strong, weak} {
		got, err := any.Verify(signed(t, s, "whk_1", time.Now(), body), body)
		require.NoError(t, err)
		require.Empty(t, got.ID, "an ID that a stripped copy would not have is no dedupe key")
	}
	_, err := any.Verify(request(body), body)
	require.ErrorIs(t, err, signer.ErrMissingHeader)

	// If the strong header is present, a valid weak one does not help, so there is
	// no downgrade.
	r := signed(t, weak, "whk_1", time.Now(), body)
	r.Header["Webhook-Signature"] = []string{"v1," + strings.Repeat("A", 43) + "="}
	_, err = any.Verify(r, body)
	require.ErrorIs(t, err, signer.ErrUnverified)
	r.Header["Webhook-Signature"] = []string{""}
	_, err = any.Verify(r, body)
	require.ErrorIs(t, err, signer.ErrUnverified)

	both := must[*signer.Any](t)(signer.AnyOf(strong, standard(t, signer.GenerateSecret())))
	got, err := both.Verify(signed(t, strong, "whk_1", time.Now(), body), body)
	require.NoError(t, err)
	require.Equal(t, "whk_1", got.ID)

	// The answer to the sender must not depend on which scheme was tried.
	keys := must[*signer.APIKeys](t)(signer.NewGitLabToken(literalSecret(t, "a-plain-gitlab-token"), "acme"))
	acme := standard(t, signer.GenerateSecret(), signer.WithPrincipal("acme"))
	mixed := must[*signer.Any](t)(signer.AnyOf(acme, keys))
	r = request(body)
	r.Header.Set("X-Gitlab-Token", "wrong")
	_, err = mixed.Verify(r, body)
	require.ErrorIs(t, err, signer.ErrUnverified)
	require.NotErrorIs(t, err, signer.ErrInvalidAPIKey)

	_, err = signer.AnyOf(strong)
	require.ErrorIs(t, err, signer.ErrConfig)
	_, err = signer.AnyOf(strong, nil)
	require.ErrorIs(t, err, signer.ErrConfig)
}

func TestAnyOfWantsOnePrincipal(t *testing.T) {
	t.Parallel()
	strong := standard(t, signer.GenerateSecret(), signer.WithPrincipal("acme"))
	_, err := signer.AnyOf(strong, timestamped(t, signer.GenerateLiteralSecret()))
	require.ErrorIs(t, err, signer.ErrConfig)
	require.ErrorContains(t, err, "WithPrincipal")
	_, err = signer.AnyOf(strong, timestamped(t, signer.GenerateLiteralSecret(), signer.WithPrincipal("acme")))
	require.NoError(t, err)
}
