package signer_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
)

// With a prefix, Standard writes and reads only the headers that begin with it,
// and its errors name them. AnyOf reads both kinds.
func TestStandard_HeaderPrefix(t *testing.T) {
	t.Parallel()
	secret, body := signer.GenerateSecret(), []byte(`{"a":1}`)
	plain, svix := standard(t, secret), standard(t, secret, signer.WithHeaderPrefix("svix"))
	signed := func(s signer.Signer) *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		require.NoError(t, s.Sign(t.Context(), r, "msg_1", time.Now(), body))
		require.Len(t, r.Header, 3)
		return r
	}
	r := signed(svix)
	require.NotEmpty(t, r.Header["Svix-Id"])
	require.NotEmpty(t, r.Header["Svix-Timestamp"])
	require.NotEmpty(t, r.Header["Svix-Signature"])
	require.True(t, svix.Present(r.Header))
	require.False(t, plain.Present(r.Header))
	verified, err := svix.Verify(r, body)
	require.NoError(t, err)
	require.Equal(t, "msg_1", verified.ID)

	_, err = plain.Verify(r, body)
	require.ErrorIs(t, err, signer.ErrMissingHeader)
	require.ErrorContains(t, err, "the request carries Svix-Signature")
	_, err = svix.Verify(signed(plain), body)
	require.ErrorIs(t, err, signer.ErrMissingHeader)
	require.ErrorContains(t, err, "Svix-Id")
	_, err = svix.Verify(r, []byte("{}"))
	require.ErrorIs(t, err, signer.ErrNoMatch)
	require.ErrorContains(t, err, "in Svix-Signature")

	both, err := signer.AnyOf(plain, svix)
	require.NoError(t, err)
	for _, s := range []signer.Signer{plain, svix} {
		verified, err := both.Verify(signed(s), body)
		require.NoError(t, err)
		require.Equal(t, "msg_1", verified.ID)
	}
}
