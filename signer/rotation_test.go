package signer_test

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
)

// rotation is a scheme with several keys in the given order. build names them.
type rotation struct {
	name string
	// list is true if signing adds a signature by every key. Other schemes use the
	// first key only.
	list    bool
	refusal error
	build   func(keys ...string) (signer.Signer, signer.Verifier)
}

func rotations(t *testing.T, cutover time.Time) []rotation {
	t.Helper()
	shared, texts, pairs := map[string]signer.Key{}, map[string]signer.Key{}, map[string]signer.Key{}
	for name, end := range map[string]time.Time{"old": cutover, "new": {}} {
		shared[name] = signer.GenerateSecret().Named(name).NotAfter(end)
		texts[name] = signer.GenerateLiteralSecret().Named(name).NotAfter(end)
		pairs[name] = signer.GenerateSigningKey().Named(name).NotAfter(end)
	}
	return []rotation{
		{"Standard, HMAC", true, signer.ErrNoMatch, symmetric(t, shared, signer.NewStandard)},
		{"Standard, Ed25519", true, signer.ErrNoMatch, asymmetric(t, pairs)},
		{"Standard, from HMAC to Ed25519", true, signer.ErrNoMatch, asymmetric(t, map[string]signer.Key{"old": shared["old"], "new": pairs["new"]})},
		{"Timestamped", false, signer.ErrNoMatch, symmetric(t, texts, signer.NewTimestamped)},
		{"Stripe", true, signer.ErrNoMatch, symmetric(t, texts, signer.NewStripe)},
		{"GitHub", false, signer.ErrNoMatch, byHand(t, texts, signer.NewGitHub, "X-Hub-Signature-256", sha256.New, sha256Hex)},
		{"Vercel", false, signer.ErrNoMatch, byHand(t, texts, bodyOnly(vercelOptions()), "X-Vercel-Signature", sha1.New, hex.EncodeToString)},
		{"Heroku", false, signer.ErrNoMatch, byHand(t, texts, bodyOnly(herokuOptions()), "Heroku-Webhook-Hmac-Sha256", sha256.New, base64.StdEncoding.EncodeToString)},
		{"APIKeys", false, signer.ErrInvalidAPIKey, apiKeyRotation(t, texts, cutover)},
	}
}

type signerVerifier interface {
	signer.Signer
	signer.Verifier
}

// further makes options of all keys but the first.
func further(keys map[string]signer.Key, names []string) []signer.Option {
	var opts []signer.Option
	for _, name := range names[1:] {
		opts = append(opts, signer.WithKey(keys[name]))
	}
	return opts
}

func symmetric[S signerVerifier](t *testing.T, keys map[string]signer.Key, build func(signer.Key, ...signer.Option) (S, error)) func(...string) (signer.Signer, signer.Verifier) {
	return func(names ...string) (signer.Signer, signer.Verifier) {
		s, err := build(keys[names[0]], further(keys, names)...)
		require.NoError(t, err)
		return s, s
	}
}

// asymmetric gives the verifying side nothing but public halves.
func asymmetric(t *testing.T, keys map[string]signer.Key) func(...string) (signer.Signer, signer.Verifier) {
	public := map[string]signer.Key{}
	for name, key := range keys {
		public[name] = key
		if pair, ok := key.(signer.SigningKey); ok {
			public[name] = pair.VerifyingKey()
		}
	}
	return func(names ...string) (signer.Signer, signer.Verifier) {
		return standard(t, keys[names[0]], further(keys, names)...), standard(t, public[names[0]], further(public, names)...)
	}
}

func byHand(t *testing.T, keys map[string]signer.Key, build func(signer.Key, ...signer.Option) (*signer.BodyOnly, error), header string, newHash func() hash.Hash, encode func([]byte) string) func(...string) (signer.Signer, signer.Verifier) {
	return func(names ...string) (signer.Signer, signer.Verifier) {
		v, err := build(keys[names[0]], further(keys, names)...)
		require.NoError(t, err)
		return handSigner{keys[names[0]].(signer.Secret), header, newHash, encode}, v
	}
}

func apiKeyRotation(t *testing.T, keys map[string]signer.Key, cutover time.Time) func(...string) (signer.Signer, signer.Verifier) {
	return func(names ...string) (signer.Signer, signer.Verifier) {
		accepted := make([]signer.APIKey, len(names))
		for i, name := range names {
			hash := must[signer.APIKeyHash](t)(signer.HashAPIKey(keys[name].(signer.Secret).Reveal()))
			accepted[i] = signer.APIKey{Principal: "acme", Name: name, Hash: hash}
			if name == "old" {
				accepted[i].NotAfter = cutover
			}
		}
		return must[*signer.Bearer](t)(signer.NewBearer(keys[names[0]].(signer.Secret))), must[*signer.APIKeys](t)(signer.NewAPIKeys(accepted))
	}
}

// The table combines the keys of the sender with those of the receiver, before
// the old key's end, at it, and after it.
func TestRotationMatrix(t *testing.T) {
	t.Parallel()
	hands := map[string][]string{"old": {"old"}, "new": {"new"}, "both": {"new", "old"}}
	// "" means refused. A list has both signatures, and any other scheme has the
	// one of its first key.
	matrix := []struct{ signs, verifies, list, single string }{
		{"old", "old", "old", "old"},
		{"old", "new", "", ""},
		{"old", "both", "old", "old"},
		{"new", "old", "", ""},
		{"new", "new", "new", "new"},
		{"new", "both", "new", "new"},
		{"both", "old", "old", ""},
		{"both", "new", "new", "new"},
		{"both", "both", "new", "new"},
	}
	synctest.Test(t, func(t *testing.T) {
		cutover := time.Now().Add(time.Hour)
		for _, scheme := range rotations(t, cutover) {
			type side struct {
				signer.Signer
				signer.Verifier
			}
			sides := map[string]side{}
			for name, keys := range hands {
				s, v := scheme.build(keys...)
				sides[name] = side{s, v}
			}
			for _, c := range matrix {
				want := c.single
				if scheme.list {
					want = c.list
				}
				if scheme.name == "Standard, from HMAC to Ed25519" && c.signs == "both" && c.verifies == "both" {
					want = "old" // both match; shared secrets are tried first, at a fiftieth of the cost
				}
				r := signed(t, sides[c.signs], "whk_1", time.Now(), []byte(specBody))
				got, err := sides[c.verifies].Verify(r, []byte(specBody))
				require.Equal(t, want, got.Key, "%s: %s signs, %s verifies", scheme.name, c.signs, c.verifies)
				if want == "" {
					require.ErrorIs(t, err, scheme.refusal)
				} else {
					require.NoError(t, err)
				}
			}
		}
	})
}

// A key is valid up to and including its end, and invalid a nanosecond later,
// in every scheme.
func TestRotationEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cutover := time.Now().Add(time.Hour)
		schemes := rotations(t, cutover)
		type party struct {
			older  signer.Signer
			newer  signer.Signer
			both   signer.Verifier
			scheme rotation
		}
		parties := make([]party, len(schemes))
		for i, scheme := range schemes {
			older, _ := scheme.build("old")
			newer, both := scheme.build("new", "old")
			parties[i] = party{older, newer, both, scheme}
		}
		time.Sleep(time.Hour)
		requests := make([]*http.Request, len(parties))
		for i, p := range parties {
			requests[i] = signed(t, p.older, "whk_1", time.Now(), nil)
			got, err := p.both.Verify(requests[i], nil)
			require.NoError(t, err, p.scheme.name)
			require.Equal(t, "old", got.Key, p.scheme.name)
		}
		time.Sleep(time.Nanosecond)
		for i, p := range parties {
			_, err := p.both.Verify(requests[i], nil)
			require.ErrorIs(t, err, p.scheme.refusal, p.scheme.name)
			got, err := p.both.Verify(signed(t, p.newer, "whk_1", time.Now(), nil), nil)
			require.NoError(t, err, p.scheme.name)
			require.Equal(t, "new", got.Key, p.scheme.name)
		}
	})
}
