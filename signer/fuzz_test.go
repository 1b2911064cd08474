package signer_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/seeds"
	"github.com/deployhook/deployhook/signer"
)

// around returns a request with text before and after its signature. It reports
// whether the request still has the form that the scheme produces.
func around(t *testing.T, s subject, before, after string, body []byte) (r *http.Request, same bool) {
	r = signed(t, s.signer, "whk_1", time.Now(), body)
	good := r.Header.Get(s.proof)
	r.Header[s.proof] = []string{before + good + after}
	return r, s.same(before+good+after, good)
}

// requireVerdict requires that the scheme accepts the request exactly if want
// is true, and that a refusal has a reason.
func requireVerdict(t *testing.T, s subject, r *http.Request, body []byte, want bool) {
	t.Helper()
	_, err := s.verifier.Verify(r, body)
	if want {
		require.NoError(t, err, s.name)
		return
	}
	require.ErrorIs(t, err, signer.ErrUnverified, s.name)
}

func subjectsNamed(t testing.TB, names ...string) []subject {
	t.Helper()
	var out []subject
	for _, s := range everyScheme(t) {
		for _, name := range names {
			if s.name == name {
				out = append(out, s)
			}
		}
	}
	require.Len(t, out, len(names))
	return out
}

// The list has v1a and v1 entries with arbitrary text around them. It is
// accepted exactly if all of it is well formed.
func FuzzStandardList(f *testing.F) {
	seeds.Add(f, 22)
	subjects := subjectsNamed(f, "standard", "standard-ed25519", "standard-mixed")
	f.Fuzz(func(t *testing.T, before, after string, body []byte) {
		for _, s := range subjects {
			r, same := around(t, s, before, after, body)
			requireVerdict(t, s, r, body, same)
			r.Header[s.proof] = []string{before + after}
			requireVerdict(t, s, r, body, false)
		}
	})
}

func FuzzStripeHeader(f *testing.F) {
	seeds.Add(f, 22)
	subjects := subjectsNamed(f, "stripe", "stripe-two-keys", "buildkite")
	f.Fuzz(func(t *testing.T, before, after string, body []byte) {
		for _, s := range subjects {
			r, same := around(t, s, before, after, body)
			requireVerdict(t, s, r, body, same)
			r.Header[s.proof] = []string{before + after}
			requireVerdict(t, s, r, body, false)
		}
	})
}

// A signature of the body has one spelling.
func FuzzBodyOnlyHeaders(f *testing.F) {
	seeds.Add(f, 13)
	subjects := subjectsNamed(f, "github", "bitbucket", "vercel", "heroku", "circleci")
	f.Fuzz(func(t *testing.T, before, after string, body []byte) {
		for _, s := range subjects {
			r, same := around(t, s, before, after, body)
			requireVerdict(t, s, r, body, same)
			r.Header[s.proof] = []string{before + after}
			requireVerdict(t, s, r, body, false)
		}
	})
}

// A credential has one spelling, apart from the letter case of "Bearer".
func FuzzAPIKeysHeader(f *testing.F) {
	seeds.Add(f, 15)
	subjects := subjectsNamed(f, "api-keys", "api-keys-header", "gitlab-token")
	f.Fuzz(func(t *testing.T, value string) {
		for _, s := range subjects {
			good := signed(t, s.signer, "", time.Time{}, nil).Header.Get(s.proof)
			r := &http.Request{Header: http.Header{s.proof: {value}}}
			requireVerdict(t, s, r, nil, s.same(value, good))
			r.Header[s.proof] = []string{good + value}
			requireVerdict(t, s, r, nil, value == "")
		}
		// Bearer and APIKeys agree on which texts are keys.
		key, err := signer.NewLiteralSecret(value)
		if err != nil {
			return
		}
		hash, err := signer.HashAPIKey(value)
		bearer, bearerErr := signer.NewBearer(key)
		require.Equal(t, err == nil, bearerErr == nil)
		if err != nil {
			return
		}
		v := must[*signer.APIKeys](t)(signer.NewAPIKeys([]signer.APIKey{{Principal: "acme", Hash: hash}}))
		_, err = v.Verify(signed(t, bearer, "", time.Time{}, nil), nil)
		require.NoError(t, err)
	})
}

// A text that parses as a key is the only spelling of that key, and the key
// works.
func FuzzEd25519Keys(f *testing.F) {
	seeds.Add(f, 19)
	f.Fuzz(func(t *testing.T, text string) {
		private, err := signer.ParseSigningKey(text)
		if err == nil {
			raw := must[[]byte](t)(base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsk_")))
			require.Equal(t, text, "whsk_"+base64.StdEncoding.EncodeToString(raw))
			require.Contains(t, []int{32, 64}, len(raw))
			again := must[signer.SigningKey](t)(signer.ParseSigningKey(private.Reveal()))
			require.Equal(t, private.Reveal(), again.Reveal())
			public := must[signer.VerifyingKey](t)(signer.ParseVerifyingKey(private.VerifyingKey().String()))
			_, err = standard(t, public).Verify(signed(t, standard(t, private), "whk_1", time.Now(), nil), nil)
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, signer.ErrInvalidSecret)
			require.Empty(t, private.Reveal())
		}
		public, err := signer.ParseVerifyingKey(text)
		if err != nil {
			require.ErrorIs(t, err, signer.ErrInvalidSecret)
			require.Empty(t, public.String())
			return
		}
		require.Equal(t, text, public.String())
		_, err = standard(t, public).Verify(signed(t, standard(t, signer.GenerateSigningKey()), "whk_1", time.Now(), nil), nil)
		require.ErrorIs(t, err, signer.ErrNoMatch)
	})
}

func FuzzAPIKeyHash(f *testing.F) {
	seeds.Add(f, 13)
	f.Fuzz(func(t *testing.T, text string) {
		if hash, err := signer.ParseAPIKeyHash(text); err == nil {
			require.Equal(t, text, hash.String())
		} else {
			require.ErrorIs(t, err, signer.ErrInvalidSecret)
			require.Zero(t, hash)
		}
		hash, err := signer.HashAPIKey(text)
		if err != nil {
			require.ErrorIs(t, err, signer.ErrInvalidSecret)
			return
		}
		require.Equal(t, signer.APIKeyHash(sha256.Sum256([]byte(text))), hash)
		require.Equal(t, hash, must[signer.APIKeyHash](t)(signer.ParseAPIKeyHash(hash.String())))
	})
}
