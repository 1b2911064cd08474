package signer_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/signer"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const (
	// The pair of the Standard Webhooks specification's own example.
	specSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	specID     = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	specTime   = 1614265330
	specBody   = `{"test": 2432232314}`

	literal = "a literal secret, its bytes are the key"
)

// at moves a synctest bubble's clock, which starts in the year 2000, to a Unix
// time.
func at(t *testing.T, unix int64) {
	t.Helper()
	wait := time.Until(time.Unix(unix, 0))
	require.GreaterOrEqual(t, wait, time.Duration(0))
	time.Sleep(wait) // fake time of the bubble
}

func secret(t testing.TB, text string) signer.Secret {
	t.Helper()
	s, err := signer.ParseSecret(text)
	require.NoError(t, err)
	return s
}

func literalSecret(t testing.TB, text string) signer.Secret {
	t.Helper()
	s, err := signer.NewLiteralSecret(text)
	require.NoError(t, err)
	return s
}

func standard(t testing.TB, key signer.Key, opts ...signer.Option) *signer.Standard {
	t.Helper()
	s, err := signer.NewStandard(key, opts...)
	require.NoError(t, err)
	return s
}

func timestamped(t testing.TB, key signer.Key, opts ...signer.Option) *signer.Timestamped {
	t.Helper()
	s, err := signer.NewTimestamped(key, opts...)
	require.NoError(t, err)
	return s
}

func request(body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "https://hooks.example.com/deploy", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

// signed returns a request that s signed.
func signed(t testing.TB, s signer.Signer, id string, at time.Time, body []byte) *http.Request {
	t.Helper()
	r := request(body)
	require.NoError(t, s.Sign(r.Context(), r, id, at, body))
	return r
}
