package signer

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The index of a stored key must not be computable outside the process, and a
// presented key must not stay in a pooled buffer. No request shows either.
func TestAPIKeys_KeepNothing(t *testing.T) {
	t.Parallel()
	token := strings.Repeat("0123456789abcdef", 8)
	hash, err := HashAPIKey(token)
	require.NoError(t, err)
	keys := []APIKey{{Principal: "acme", Hash: hash}}
	a, err := NewAPIKeys(keys)
	require.NoError(t, err)
	b, err := NewAPIKeys(keys)
	require.NoError(t, err)
	require.NotEqual(t, a.blinded(hash), b.blinded(hash))

	r := &http.Request{Header: http.Header{"Authorization": {"Bearer " + token}}}
	for range 20 { // the race detector makes a pool drop values at random
		_, err := a.Verify(r, nil)
		require.NoError(t, err)
		state := a.blind.get()
		require.False(t, bytes.Contains(state.prefix[:cap(state.prefix)], []byte(token[64:])))
		a.blind.put(state)
	}
}
