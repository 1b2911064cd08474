package httpsig_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/signer"
	"github.com/deployhook/deployhook/signer/httpsig"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const (
	testURL = "https://hooks.example.com/deploy?env=prod&app=h%C3%A9"
	testID  = "whk_0198f2c4b1f07c3e9d5a6b7c8d9e0f10"
)

var testBody = []byte("{\"event\":\"deploy.live\", \"app\": \"h\u00e9\", \"n\": 1.0}\n")

func newKey(t testing.TB, id string, key signer.Key) httpsig.Key {
	t.Helper()
	k, err := httpsig.NewKey(id, key)
	require.NoError(t, err)
	return k
}

func newScheme(t testing.TB, key httpsig.Key, opts ...httpsig.Option) *httpsig.Scheme {
	t.Helper()
	s, err := httpsig.New(key, opts...)
	require.NoError(t, err)
	return s
}

// outgoing is a client's request.
func outgoing(t testing.TB, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(testBody))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	return r
}

// signedAt returns a client's request that s signed.
func signedAt(t testing.TB, s signer.Signer, at time.Time) *http.Request {
	t.Helper()
	r := outgoing(t, testURL)
	require.NoError(t, s.Sign(r.Context(), r, testID, at, testBody))
	return r
}

// received returns the request in the form in which a server gets it from a
// client.
func received(t testing.TB, sent *http.Request) *http.Request {
	t.Helper()
	host := sent.Host
	r := httptest.NewRequest(sent.Method, sent.URL.String(), nil)
	r.RequestURI = sent.URL.RequestURI()
	r.URL.Scheme, r.URL.Host, r.Host = "", "", host
	r.Header = sent.Header.Clone()
	return r
}
