package signer_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
)

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		require.NoError(t, err)
		return v
	}
}

func TestEd25519(t *testing.T) {
	t.Parallel()
	key, other := signer.GenerateSigningKey().Named("new"), signer.GenerateSigningKey().Named("old")
	body := []byte(specBody)
	sending := standard(t, key)
	r := signed(t, sending, "whk_1", time.Now(), body)
	require.Regexp(t, `^v1a,[A-Za-z0-9+/]{86}==$`, r.Header.Get("Webhook-Signature"))

	got, err := standard(t, key.VerifyingKey()).Verify(r, body)
	require.NoError(t, err)
	require.Equal(t, "new", got.Key)
	_, err = sending.Verify(r, body)
	require.NoError(t, err, "a signing key verifies as well")
	_, err = standard(t, other.VerifyingKey()).Verify(r, body)
	require.ErrorIs(t, err, signer.ErrNoMatch)
	_, err = standard(t, key.VerifyingKey()).Verify(r, []byte("other"))
	require.ErrorIs(t, err, signer.ErrNoMatch)

	// A scheme with only public keys cannot sign. It returns an error and does not
	// send an unsigned request.
	require.ErrorIs(t, standard(t, key.VerifyingKey()).Sign(t.Context(), request(body), "whk_1", time.Now(), body), signer.ErrNoActiveKey)
}

// A request has HMAC and Ed25519 signatures. Each receiver checks those for
// which it has a key.
func TestMixedKeys(t *testing.T) {
	t.Parallel()
	secret, key := signer.GenerateSecret().Named("shared"), signer.GenerateSigningKey().Named("pair")
	sending := standard(t, secret, signer.WithKey(key))
	body := []byte(specBody)
	r := signed(t, sending, "whk_1", time.Now(), body)
	require.Len(t, strings.Fields(r.Header.Get("Webhook-Signature")), 2)
	for name, v := range map[string]*signer.Standard{
		"shared": standard(t, secret), "pair": standard(t, key.VerifyingKey()),
	} {
		got, err := v.Verify(r, body)
		require.NoError(t, err)
		require.Equal(t, name, got.Key)
	}
	// The type of the key decides. A v1 entry is never checked with an Ed25519 key,
	// nor a v1a entry with a secret.
	swapped := strings.NewReplacer("v1a,", "v1,", "v1,", "v1a,").Replace(r.Header.Get("Webhook-Signature"))
	r.Header.Set("Webhook-Signature", swapped)
	_, err := standard(t, secret, signer.WithKey(key.VerifyingKey())).Verify(r, body)
	require.ErrorIs(t, err, signer.ErrNoMatch)
}

func TestParseEd25519Keys(t *testing.T) {
	t.Parallel()
	key := signer.GenerateSigningKey()
	raw := must[[]byte](t)(base64.StdEncoding.DecodeString(strings.TrimPrefix(key.Reveal(), "whsk_")))
	encode := base64.StdEncoding.EncodeToString
	require.Len(t, raw, ed25519.PrivateKeySize)
	for _, text := range []string{key.Reveal(), "whsk_" + encode(raw[:32])} {
		again := must[signer.SigningKey](t)(signer.ParseSigningKey(text))
		require.Equal(t, key.VerifyingKey().String(), again.VerifyingKey().String())
		require.Equal(t, key.Reveal(), again.Reveal())
	}
	public := must[signer.VerifyingKey](t)(signer.ParseVerifyingKey(key.VerifyingKey().String()))
	require.Equal(t, key.VerifyingKey().String(), public.String())

	mixed := append(append([]byte{}, raw[:32]...), make([]byte, 32)...)
	for text, says := range map[string]string{
		"":                                   "empty",
		"whsk_":                              "nothing follows",
		"whsk_" + encode(raw[:31]):           "31 bytes",
		"whsk_" + encode(mixed):              "does not belong",
		key.Reveal() + "\n":                  "white space",
		"whsk_" + key.Reveal():               "doubled",
		strings.TrimRight(key.Reveal(), "="): "padding",
		key.VerifyingKey().String():          "ParseVerifyingKey",
		specSecret:                           "ParseSecret",
		"sk_" + encode(raw):                  "lacks the whsk_ prefix",
	} {
		_, err := signer.ParseSigningKey(text)
		require.ErrorIs(t, err, signer.ErrInvalidSecret, says)
		require.ErrorContains(t, err, says)
	}
	for text, says := range map[string]string{
		key.Reveal():                "ParseSigningKey",
		"whpk_" + encode(raw):       "64 bytes",
		"whpk_" + encode(raw[1:32]): "31 bytes",
	} {
		_, err := signer.ParseVerifyingKey(text)
		require.ErrorIs(t, err, signer.ErrInvalidSecret)
		require.ErrorContains(t, err, says)
	}
}

// kms is a key that is kept elsewhere.
type kms struct {
	crypto.Signer
	err    error
	result []byte
}

func (k kms) Sign(random io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if k.err != nil || k.result != nil {
		return k.result, k.err
	}
	return k.Signer.Sign(random, message, opts)
}

func TestKeysKeptElsewhere(t *testing.T) {
	t.Parallel()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	key := must[signer.SigningKey](t)(signer.NewSigningKey(kms{Signer: private}))
	require.Empty(t, key.Reveal())
	body := []byte(specBody)
	_, err = standard(t, key.VerifyingKey()).Verify(signed(t, standard(t, key), "whk_1", time.Now(), body), body)
	require.NoError(t, err)

	outage := errors.New("kms: throttled")
	for _, bad := range []kms{{Signer: private, err: outage}, {Signer: private, result: []byte("short")}} {
		s := standard(t, must[signer.SigningKey](t)(signer.NewSigningKey(bad)), signer.WithKey(signer.GenerateSecret()))
		r := request(body)
		before := r.Header.Clone()
		err := s.Sign(r.Context(), r, "whk_1", time.Now(), body)
		require.Error(t, err, "a delivery that lacks one of its signatures is not sent")
		require.Equal(t, bad.err != nil, errors.Is(err, outage))
		require.Equal(t, before, r.Header)
	}

	_, err = signer.NewSigningKey(nil)
	require.ErrorIs(t, err, signer.ErrInvalidSecret)
	wrong, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	_, err = signer.NewSigningKey(wrong)
	require.ErrorContains(t, err, "ecdsa.PublicKey")
}

func TestStripe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		at(t, specTime)
		secret := literalSecret(t, literal)
		s := must[*signer.Stripe](t)(signer.NewStripe(secret))
		r := signed(t, s, "whk_1", time.Now(), []byte(specBody))
		// The same bytes are signed as in Timestamped's vector.
		const mac = "47b96387a4610ad264a45e314d2a188c38bd47a5ae04f8482f651a42f551d13e"
		require.Equal(t, "t=1614265330,v1="+mac, r.Header.Get("Stripe-Signature"))
		got, err := s.Verify(r, []byte(specBody))
		require.NoError(t, err)
		require.Equal(t, signer.Verified{Timestamp: time.Unix(specTime, 0), Key: "key-1"}, got)

		zeros := strings.Repeat("0", 64)
		for value, want := range map[string]error{
			"t=1614265330,v1=" + zeros + ",v1=" + mac:                        nil,
			"v1=" + mac + ",t=1614265330":                                    nil,
			"t=1614265330,v0=" + zeros + ",v1=" + mac + ",x=y":               nil,
			"t=1614265330" + strings.Repeat(",v1="+zeros, 15) + ",v1=" + mac: nil,
			"t=1614265330" + strings.Repeat(",v1="+zeros, 16) + ",v1=" + mac: signer.ErrMalformed,
			"t=1614265330" + strings.Repeat(",v0=x", 17) + ",v1=" + mac:      signer.ErrMalformed,
			"t=1614265330,t=1614265330,v1=" + mac:                            signer.ErrMalformed,
			"v1=" + mac:                                                      signer.ErrMalformed,
			"t=1614265330":                                                   signer.ErrNoMatch,
			"t=1614265330,v0=" + mac:                                         signer.ErrNoMatch,
			"t=1614265330,V1=" + mac:                                         signer.ErrNoMatch,
			"t=1614265330, v1=" + mac:                                        signer.ErrNoMatch,
			"t=1614265330,v1=" + mac + ", t=1614265330,v1=" + mac:            signer.ErrMalformed,
			"t=1614265330,v1=" + mac + ",\tx=y":                              nil,
			"t=1614265330,v1=" + strings.ToUpper(mac):                        signer.ErrNoMatch,
			"t=1614265330,v1=" + mac + ",v1=short":                           nil,
			"t=1614265330,v1=" + mac + ",":                                   nil,
			"t=+1614265330,v1=" + mac:                                        signer.ErrMalformed,
			"t=01614265330,v1=" + mac:                                        signer.ErrMalformed,
			"t=1614265331,v1=" + mac:                                         signer.ErrNoMatch,
			"t=1645801330,v1=" + mac:                                         signer.ErrTooNew,
			"t=1582729330,v1=" + mac:                                         signer.ErrTooOld,
			"":                                                               signer.ErrMalformed,
			"t=1614265330,v1=" + mac + ",x=" + strings.Repeat("x", 8<<10):    signer.ErrMalformed,
		} {
			r.Header["Stripe-Signature"] = []string{value}
			_, err := s.Verify(r, []byte(specBody))
			require.ErrorIs(t, err, want, value)
		}
		r.Header["Stripe-Signature"] = []string{"t=1614265330,v1=" + mac, "t=1614265330,v1=" + mac}
		_, err = s.Verify(r, []byte(specBody))
		require.ErrorIs(t, err, signer.ErrMalformed)

		// Two keys make two signatures, in another header.
		both := must[*signer.Stripe](t)(signer.NewStripe(signer.GenerateLiteralSecret(), signer.WithKey(secret), signer.WithHeader("x-deploy-signature")))
		r = signed(t, both, "whk_1", time.Now(), nil)
		require.Equal(t, 2, strings.Count(r.Header.Get("X-Deploy-Signature"), "v1="))
		one := must[*signer.Stripe](t)(signer.NewStripe(secret, signer.WithHeader("X-Deploy-Signature")))
		_, err = one.Verify(r, nil)
		require.NoError(t, err)
	})
}

func TestBodyOnlySchemes(t *testing.T) {
	t.Parallel()
	// The table has GitHub's own example. For the other schemes OpenSSL computed
	// signatures with the same key and body.
	key := literalSecret(t, "It's a Secret to Everybody")
	body := []byte("Hello, World!")
	for _, c := range []struct {
		name, header, good string
		scheme             *signer.BodyOnly
		bad                []string
	}{
		{
			"GitHub", "X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
			must[*signer.BodyOnly](t)(signer.NewGitHub(key)),
			[]string{"757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17", "sha1=757107ea0eb2509fc211221cce984b8a37570b6d", "SHA256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17", "sha256=757107EA0EB2509FC211221CCE984B8A37570B6D7586C22C46F4379C8B043E17"},
		},
		{
			"Bitbucket", "X-Hub-Signature", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
			must[*signer.BodyOnly](t)(signer.NewGitHub(key, signer.WithHeader("X-Hub-Signature"))), nil,
		},
		{
			"Vercel", "X-Vercel-Signature", opensslSHA1,
			must[*signer.BodyOnly](t)(signer.NewBodyOnly(key, vercelOptions()...)),
			[]string{"sha1=" + opensslSHA1, strings.ToUpper(opensslSHA1), opensslSHA1 + "00"},
		},
		{
			"Heroku", "Heroku-Webhook-Hmac-Sha256", "dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc=",
			must[*signer.BodyOnly](t)(signer.NewBodyOnly(key, herokuOptions()...)),
			[]string{"dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc", "dXEH6g6yUJ_CESIczphLijdXC211hsIsRvQ3nIsEPhc=", "dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhd="},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := request(body)
			_, err := c.scheme.Verify(r, body)
			require.ErrorIs(t, err, signer.ErrMissingHeader)
			require.False(t, c.scheme.Present(r.Header))
			r.Header[c.header] = []string{c.good}
			require.True(t, c.scheme.Present(r.Header))
			got, err := c.scheme.Verify(r, body)
			require.NoError(t, err)
			require.Equal(t, signer.Verified{Key: "key-1"}, got)
			_, err = c.scheme.Verify(r, []byte("Hello, World?"))
			require.ErrorIs(t, err, signer.ErrNoMatch)
			r.Header[c.header] = []string{c.good, c.good}
			_, err = c.scheme.Verify(r, body)
			require.ErrorIs(t, err, signer.ErrMalformed)
			for _, bad := range append(c.bad, "", " "+c.good, c.good+" ", c.good[:len(c.good)-2]) {
				r.Header[c.header] = []string{bad}
				_, err = c.scheme.Verify(r, body)
				require.ErrorIs(t, err, signer.ErrMalformed, bad)
			}
		})
	}
}

// printf 'Hello, World!' | openssl dgst -sha1 -hmac "It's a Secret to
// Everybody"
const opensslSHA1 = "01dc10d0c83e72ed246219cdd91669667fe2ca59"

func TestBodyOnlyRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old := literalSecret(t, "It's a Secret to Everybody").Named("old").NotAfter(time.Now().Add(time.Hour))
		s := must[*signer.BodyOnly](t)(signer.NewGitHub(signer.GenerateLiteralSecret(), signer.WithKey(old), signer.WithPrincipal("acme")))
		body := []byte("Hello, World!")
		r := request(body)
		r.Header.Set("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
		got, err := s.Verify(r, body)
		require.NoError(t, err)
		require.Equal(t, signer.Verified{Principal: "acme", Key: "old"}, got)
		time.Sleep(time.Hour + 1)
		_, err = s.Verify(r, body)
		require.ErrorIs(t, err, signer.ErrNoMatch)
	})
}

func TestAPIKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		acme := must[signer.Secret](t)(signer.GenerateAPIKey("acme"))
		zeta := must[signer.Secret](t)(signer.GenerateAPIKey("zeta"))
		require.Regexp(t, `^acme_[A-Z2-7]{52}$`, acme.Reveal())
		hash := func(s signer.Secret) signer.APIKeyHash {
			return must[signer.APIKeyHash](t)(signer.HashAPIKey(s.Reveal()))
		}
		require.Equal(t, hash(acme), must[signer.APIKeyHash](t)(signer.ParseAPIKeyHash(hash(acme).String())))
		s := must[*signer.APIKeys](t)(signer.NewAPIKeys([]signer.APIKey{
			{Principal: "acme", Hash: hash(acme), Name: "ci"},
			{Principal: "zeta", Hash: hash(zeta), NotAfter: time.Now().Add(time.Hour)},
		}))
		verify := func(values ...string) (signer.Verified, error) {
			r := request(nil)
			r.Header["Authorization"] = values
			return s.Verify(r, nil)
		}
		r := signed(t, must[*signer.Bearer](t)(signer.NewBearer(acme)), "whk_1", time.Now(), nil)
		got, err := s.Verify(r, nil)
		require.NoError(t, err)
		require.Equal(t, signer.Verified{Principal: "acme", Key: "ci"}, got)
		for _, blanks := range []string{"  ", "     "} { // RFC 9110, section 11.4
			got, err = verify("Bearer" + blanks + acme.Reveal())
			require.NoError(t, err)
			require.Equal(t, signer.Verified{Principal: "acme", Key: "ci"}, got)
		}
		got, err = verify("bearer " + zeta.Reveal())
		require.NoError(t, err)
		require.Equal(t, signer.Verified{Principal: "zeta", Key: "key-2"}, got)

		for _, values := range [][]string{
			nil,
			{""},
			{"Bearer"},
			{"Bearer "},
			{"Bearer   "},
			{"Bearer\t" + acme.Reveal()},
			{"Bearer \t" + acme.Reveal()},
			{" Bearer " + acme.Reveal()},
			{"Bearer " + acme.Reveal() + " "},
			{"Bearer " + acme.Reveal() + "\n"},
			{"Bearer " + strings.ToLower(acme.Reveal())},
			{"Bearer " + acme.Reveal()[:56]},
			{"Basic " + acme.Reveal()},
			{acme.Reveal()},
			{"Bearer " + acme.Reveal(), "Bearer " + acme.Reveal()},
			{"Bearer " + strings.Repeat("x", 4097)},
			{"Bearer " + hash(acme).String()},
		} {
			_, err := verify(values...)
			require.ErrorIs(t, err, signer.ErrInvalidAPIKey)
			require.ErrorIs(t, err, signer.ErrUnverified)
			require.NotContains(t, err.Error(), acme.Reveal()[:20])
		}
		time.Sleep(time.Hour + 1)
		_, err = verify("Bearer " + zeta.Reveal())
		require.ErrorContains(t, err, "NotAfter")
	})
}

func TestAPIKeyConfigurationErrors(t *testing.T) {
	t.Parallel()
	hash := must[signer.APIKeyHash](t)(signer.HashAPIKey("0123456789abcdef"))
	for name, keys := range map[string][]signer.APIKey{
		"no key":       nil,
		"no Principal": {{Hash: hash}},
		"no Hash":      {{Principal: "acme"}},
		"same Hash":    {{Principal: "acme", Hash: hash}, {Principal: "zeta", Hash: hash}},
	} {
		_, err := signer.NewAPIKeys(keys)
		require.ErrorIs(t, err, signer.ErrConfig)
		require.ErrorContains(t, err, name)
	}
	for _, header := range []string{"", "X Api", "X-Api:", "X-Api\r\n"} {
		_, err := signer.NewAPIKeys([]signer.APIKey{{Principal: "acme", Hash: hash}}, signer.WithHeader(header))
		require.ErrorIs(t, err, signer.ErrConfig, header)
	}
	for _, key := range []string{"", "short", "0123456789 abcdef", "0123456789abcdef\n", strings.Repeat("é", 20), strings.Repeat("x", 4097)} {
		_, err := signer.HashAPIKey(key)
		require.ErrorIs(t, err, signer.ErrInvalidSecret)
	}
	for _, text := range []string{"", "sha256:", hash.String()[7:], strings.ToUpper(hash.String())} {
		_, err := signer.ParseAPIKeyHash(text)
		require.ErrorIs(t, err, signer.ErrInvalidSecret)
	}
	for _, prefix := range []string{"", "a", "Acme", "1a", "acme_", strings.Repeat("a", 17)} {
		_, err := signer.GenerateAPIKey(prefix)
		require.ErrorIs(t, err, signer.ErrConfig)
	}
	_, err := signer.NewBearer(signer.GenerateSecret())
	require.ErrorIs(t, err, signer.ErrConfig)
	_, err = signer.NewBearer(literalSecret(t, "a key with blanks in it"))
	require.ErrorIs(t, err, signer.ErrConfig)
}

func TestGitLabToken(t *testing.T) {
	t.Parallel()
	secret := literalSecret(t, "a-plain-gitlab-token")
	s := must[*signer.APIKeys](t)(signer.NewGitLabToken(secret.Named("gitlab"), "acme"))
	r := request(nil)
	r.Header.Set("X-Gitlab-Token", secret.Reveal())
	got, err := s.Verify(r, nil)
	require.NoError(t, err)
	require.Equal(t, signer.Verified{Principal: "acme", Key: "gitlab"}, got)
	r.Header.Set("X-Gitlab-Token", secret.Reveal()+"x")
	_, err = s.Verify(r, nil)
	require.ErrorIs(t, err, signer.ErrInvalidAPIKey)
	_, err = signer.NewGitLabToken(signer.GenerateSecret(), "acme")
	require.ErrorContains(t, err, "NewStandard")
	_, err = signer.NewGitLabToken(secret, "")
	require.ErrorContains(t, err, "Principal")
}

func TestTempsForms(t *testing.T) {
	t.Parallel()
	secret := literalSecret(t, specSecret) // Temps shows whsec_ texts and keys with the whole of them
	for _, s := range []*signer.Timestamped{
		timestamped(t, secret, signer.WithSignaturePrefix("sha256=")),
		timestamped(t, secret, signer.WithHeaderPrefix("X-Temps")),
	} {
		_, err := s.Verify(signed(t, s, "whk_1", time.Now(), nil), nil)
		require.NoError(t, err)
	}
	r := signed(t, timestamped(t, secret, signer.WithSignaturePrefix("sha256=")), "whk_1", time.Now(), nil)
	require.Regexp(t, `^sha256=[0-9a-f]{64}$`, r.Header.Get("X-Webhook-Signature"))
	_, err := timestamped(t, secret).Verify(r, nil)
	require.NoError(t, err)
}

// net/http drops or overwrites these headers, and with them the credential.
func TestWithHeaderRefusesTheConnectionsOwn(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Host", "content-length", "Transfer-Encoding", "Trailer", "Connection", "User-Agent", "Content-Type", "Proxy-Authorization", "Idempotency-Key"} {
		_, err := signer.NewBearer(signer.GenerateLiteralSecret(), signer.WithHeader(name))
		require.ErrorIs(t, err, signer.ErrConfig, name)
		require.ErrorContains(t, err, "WithHeader", name)
	}
}
