package signer_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
)

// Ed25519 keys of RFC 8032, section 7.1.
const (
	pairText      = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
	otherPairText = "whsk_TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs="
)

// subject is a scheme under test with the facts about its headers that tests
// need.
type subject struct {
	name     string
	signer   signer.Signer
	verifier signer.Scheme
	fixed    []string                        // headers that have to stay as they were signed
	proof    string                          // the header with the signature or the credential
	same     func(mutated, base string) bool // whether a proof says the same as one that was signed
	sep      string                          // between the entries of a proof that is a list
	unsigned bool                            // the body is not covered
}

// headers are those that the verifier looks at.
func (s subject) headers() []string { return append([]string{s.proof}, s.fixed...) }

func equal(mutated, base string) bool { return mutated == base }

// everyScheme returns each scheme with one key, and with two keys if those take
// another code path. The keys are fixed. All schemes use the same literal
// secrets, because a signature by one scheme must not be valid for another even
// then.
func everyScheme(t testing.TB) []subject {
	t.Helper()
	lit := literalSecret(t, literal)
	return append(append(standardSubjects(t), timedSubjects(t, lit)...), append(bodySubjects(t, lit), keySubjects(t)...)...)
}

func standardSubjects(t testing.TB) []subject {
	t.Helper()
	shared, other := secret(t, specSecret), secret(t, "whsec_"+strings.Repeat("A", 32))
	pair, otherPair := must[signer.SigningKey](t)(signer.ParseSigningKey(pairText)), must[signer.SigningKey](t)(signer.ParseSigningKey(otherPairText))
	fixed := []string{"Webhook-Id", "Webhook-Timestamp"}
	make := func(name string, s signer.Signer, v signer.Scheme) subject {
		return subject{name: name, signer: s, verifier: v, fixed: fixed, proof: "Webhook-Signature", same: sameList, sep: " "}
	}
	two := standard(t, shared, signer.WithKey(other))
	mixed := standard(t, shared, signer.WithKey(pair))
	alone := standard(t, shared)
	return []subject{
		make("standard", alone, alone),
		make("standard-two-keys", two, two),
		make("standard-ed25519", standard(t, pair), standard(t, pair.VerifyingKey())),
		make("standard-ed25519-two-keys", standard(t, pair, signer.WithKey(otherPair)), standard(t, otherPair.VerifyingKey(), signer.WithKey(pair.VerifyingKey()))),
		make("standard-mixed", mixed, standard(t, shared, signer.WithKey(pair.VerifyingKey()))),
		make("any-of", alone, must[*signer.Any](t)(signer.AnyOf(alone, timestamped(t, literalSecret(t, literal)), must[*signer.BodyOnly](t)(signer.NewGitHub(literalSecret(t, literal)))))),
	}
}

// This is the form of a signature in a list, by its version.
var listForms = map[string]*regexp.Regexp{
	// The last character's bits beyond the data are zero.
	"v1,":  regexp.MustCompile(`^v1,[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$`),
	"v1a,": regexp.MustCompile(`^v1a,[A-Za-z0-9+/]{85}[AQgw]==$`),
	"v1=":  regexp.MustCompile(`^v1=[0-9a-f]{64}$`),
}

// sameList reports whether a list within the limits contains a whole signature
// that was made for this request. Entries that are not signatures are skipped,
// so such a list still says what was signed.
func sameList(mutated, base string) bool {
	made := strings.Split(base, " ")
	entries := strings.Split(mutated, " ")
	counted := append(distinct(entries, "v1,", len(entries)), distinct(entries, "v1a,", 2)...)
	return shares(counted, made) && len(entries) <= 16 && len(mutated) <= 8192
}

func shares(entries, made []string) bool {
	return slices.ContainsFunc(entries, func(e string) bool { return slices.Contains(made, e) })
}

// distinct returns the first well-formed entries of a version.
func distinct(entries []string, version string, most int) (out []string) {
	for _, entry := range entries {
		if listForms[version].MatchString(entry) && !slices.Contains(out, entry) && len(out) < most {
			out = append(out, entry)
		}
	}
	return out
}

func timedSubjects(t testing.TB, key signer.Secret) []subject {
	t.Helper()
	hexes := func(name, prefix string, opts ...signer.Option) subject {
		s := timestamped(t, key, opts...)
		return subject{
			name: name, signer: s, verifier: s, fixed: []string{prefix + "-Timestamp"}, proof: prefix + "-Signature",
			same: func(mutated, base string) bool {
				return strings.TrimPrefix(mutated, "sha256=") == strings.TrimPrefix(base, "sha256=")
			},
		}
	}
	stripe := func(name, header string, opts ...signer.Option) subject {
		s := must[*signer.Stripe](t)(signer.NewStripe(key, append(opts, signer.WithHeader(header))...))
		return subject{name: name, signer: s, verifier: s, proof: header, same: sameFields("t", "v1"), sep: ","}
	}
	return []subject{
		hexes("timestamped", "X-Webhook"),
		hexes("timestamped-temps", "X-Temps", signer.WithHeaderPrefix("X-Temps")),
		hexes("timestamped-sha256", "X-Webhook", signer.WithSignaturePrefix("sha256=")),
		stripe("stripe", "Stripe-Signature"),
		buildkite(t, key),
		stripe("stripe-two-keys", "X-Deploy-Signature", signer.WithKey(literalSecret(t, "another literal secret"))),
	}
}

// buildkite is Stripe's layout under other names.
func buildkite(t testing.TB, key signer.Secret) subject {
	t.Helper()
	s := must[*signer.Stripe](t)(signer.NewStripe(key, signer.WithHeader("X-Buildkite-Signature"), signer.WithFieldNames("timestamp", "signature")))
	return subject{name: "buildkite", signer: s, verifier: s, proof: "X-Buildkite-Signature", same: sameFields("timestamp", "signature"), sep: ","}
}

// sameFields is [sameList] for Stripe's layout, whose only time must be the
// signed one.
func sameFields(timestamp, signature string) func(mutated, base string) bool {
	return func(mutated, base string) bool {
		made := strings.Split(base, ",")
		entries := strings.Split(mutated, ",")
		var times, signatures []string
		for _, e := range entries {
			name, value, _ := strings.Cut(e, "=")
			if strings.Trim(name, " \t") == timestamp {
				times = append(times, e)
			} else if name == signature && listForms["v1="].MatchString("v1="+value) {
				signatures = append(signatures, e)
			}
		}
		return slices.Equal(times, made[:1]) && shares(signatures, made[1:]) && len(entries) <= 17 && len(mutated) <= 8192
	}
}

func bodySubjects(t testing.TB, key signer.Secret) []subject {
	t.Helper()
	build := func(name, header string, v *signer.BodyOnly, err error, newHash func() hash.Hash, encode func([]byte) string) subject {
		require.NoError(t, err)
		return subject{name: name, signer: handSigner{key, header, newHash, encode}, verifier: v, proof: header, same: equal}
	}
	github, err := signer.NewGitHub(key)
	subjects := []subject{build("github", "X-Hub-Signature-256", github, err, sha256.New, sha256Hex)}
	bitbucket, err := signer.NewGitHub(key, signer.WithHeader("X-Hub-Signature"))
	subjects = append(subjects, build("bitbucket", "X-Hub-Signature", bitbucket, err, sha256.New, sha256Hex))
	vercel, err := signer.NewBodyOnly(key, vercelOptions()...)
	subjects = append(subjects, build("vercel", "X-Vercel-Signature", vercel, err, sha1.New, hex.EncodeToString))
	circleCI, err := signer.NewBodyOnly(key, circleCIOptions()...)
	subjects = append(subjects, build("circleci", "Circleci-Signature", circleCI, err, sha256.New, func(mac []byte) string { return "v1=" + hex.EncodeToString(mac) }))
	heroku, err := signer.NewBodyOnly(key, herokuOptions()...)
	return append(subjects, build("heroku", "Heroku-Webhook-Hmac-Sha256", heroku, err, sha256.New, base64.StdEncoding.EncodeToString))
}

func vercelOptions() []signer.Option {
	return []signer.Option{signer.WithHeader("X-Vercel-Signature"), signer.InsecureSHA1()}
}

func herokuOptions() []signer.Option {
	return []signer.Option{signer.WithHeader("Heroku-Webhook-Hmac-Sha256"), signer.WithBase64()}
}

func circleCIOptions() []signer.Option {
	return []signer.Option{signer.WithHeader("Circleci-Signature"), signer.WithSignaturePrefix("v1=")}
}

// bodyOnly is NewBodyOnly with options that come first.
func bodyOnly(first []signer.Option) func(signer.Key, ...signer.Option) (*signer.BodyOnly, error) {
	return func(key signer.Key, opts ...signer.Option) (*signer.BodyOnly, error) {
		return signer.NewBodyOnly(key, append(first, opts...)...)
	}
}

func sha256Hex(mac []byte) string { return "sha256=" + hex.EncodeToString(mac) }

// handSigner is the sender for a scheme that this package only verifies.
type handSigner struct {
	key     signer.Secret
	header  string
	newHash func() hash.Hash
	encode  func(mac []byte) string
}

func (s handSigner) Sign(_ context.Context, r *http.Request, _ string, _ time.Time, body []byte) error {
	mac := hmac.New(s.newHash, []byte(s.key.Reveal()))
	mac.Write(body)
	r.Header[s.header] = []string{s.encode(mac.Sum(nil))}
	return nil
}

func keySubjects(t testing.TB) []subject {
	t.Helper()
	key := literalSecret(t, "acme_ABCDEFGHIJKLMNOPQRSTUVWXYZ234567ABCDEFGHIJKLMNOPQRST")
	accepted := []signer.APIKey{
		{Principal: "acme", Hash: must[signer.APIKeyHash](t)(signer.HashAPIKey(key.Reveal()))},
		{Principal: "zeta", Hash: must[signer.APIKeyHash](t)(signer.HashAPIKey("zeta_ABCDEFGHIJKLMNOPQRSTUVWXYZ234567ABCDEFGHIJKLMNOPQRST"))},
	}
	build := func(name, header string, v *signer.APIKeys, err error) subject {
		require.NoError(t, err)
		s := must[*signer.Bearer](t)(signer.NewBearer(key, signer.WithHeader(header)))
		return subject{name: name, signer: s, verifier: v, proof: header, same: equal, unsigned: true}
	}
	bearer, err := signer.NewAPIKeys(accepted)
	subjects := []subject{build("api-keys", "Authorization", bearer, err)}
	subjects[0].same = func(mutated, base string) bool { // RFC 9110: neither the case of "Bearer" matters, nor how many blanks follow
		const n = len("Bearer ")
		return len(mutated) > n && strings.EqualFold(mutated[:n], base[:n]) && strings.TrimLeft(mutated[n:], " ") == base[n:]
	}
	header, err := signer.NewAPIKeys(accepted, signer.WithHeader("X-Api-Key"))
	subjects = append(subjects, build("api-keys-header", "X-Api-Key", header, err))
	gitlab, err := signer.NewGitLabToken(key, "acme")
	return append(subjects, build("gitlab-token", "X-Gitlab-Token", gitlab, err))
}
