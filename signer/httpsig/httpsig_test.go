package httpsig_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
	"github.com/deployhook/deployhook/signer/httpsig"
)

// kinds returns a pair of keys of each kind, for the sender and the receiver.
func kinds(t testing.TB) map[string][2]httpsig.Key {
	t.Helper()
	secret, literal, signing := signer.GenerateSecret(), signer.GenerateLiteralSecret(), signer.GenerateSigningKey()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	remote, err := httpsig.NewRemoteKey("remote", kms{private})
	require.NoError(t, err)
	return map[string][2]httpsig.Key{
		"secret":  {newKey(t, "a", secret), newKey(t, "a", secret)},
		"literal": {newKey(t, "b", literal), newKey(t, "b", literal)},
		"ed25519": {newKey(t, "c", signing), newKey(t, "c", signing.VerifyingKey())},
		"remote":  {remote, remote},
	}
}

type kms struct{ key ed25519.PrivateKey }

func (k kms) Public() crypto.PublicKey { return k.key.Public() }

func (k kms) Sign(random io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.key.Sign(random, message, opts)
}

// The test uses a real client, connection and server for each kind of key, with
// and without TLS.
func TestRoundTripOverHTTP(t *testing.T) {
	t.Parallel()
	for name, pair := range kinds(t) {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/tls=%v", name, secure), func(t *testing.T) {
				t.Parallel()
				verifier := newScheme(t, pair[1], httpsig.WithPrincipal("acme"))
				type outcome struct {
					verified signer.Verified
					err      error
				}
				outcomes := make(chan outcome, 1)
				server := httptest.NewUnstartedServer(http.StripPrefix("/in", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					body, err := io.ReadAll(r.Body)
					if err == nil {
						var o outcome
						o.verified, o.err = verifier.Verify(r, body)
						outcomes <- o
					}
				})))
				if secure {
					server.EnableHTTP2 = true
					server.StartTLS()
				} else {
					server.Start()
				}
				defer server.Close()
				r := outgoing(t, server.URL+"/in/a%2Fb?x=%C3%A9&y")
				require.NoError(t, newScheme(t, pair[0]).Sign(r.Context(), r, testID, time.Now(), testBody))
				resp, err := server.Client().Do(r)
				require.NoError(t, err)
				resp.Body.Close()
				got := <-outcomes
				require.NoError(t, got.err)
				require.Equal(t, testID, got.verified.ID)
				require.Equal(t, "acme", got.verified.Principal)
				require.Equal(t, pair[1].ID(), got.verified.Key)
				require.WithinDuration(t, time.Now(), got.verified.Timestamp, time.Minute)
			})
		}
	}
}

// The sent headers have the documented form.
func TestSignedForm(t *testing.T) {
	t.Parallel()
	secret, err := signer.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	require.NoError(t, err)
	r := signedAt(t, newScheme(t, newKey(t, "2026-11", secret), httpsig.WithKey(newKey(t, "next", signer.GenerateSecret()))), time.Unix(1764000000, 999))
	components := `("@method" "@target-uri" "content-type" "content-digest" "webhook-id");created=1764000000;keyid=`
	require.Equal(t, []string{"sig1=" + components + `"2026-11", sig2=` + components + `"next"`}, r.Header["Signature-Input"])
	require.Regexp(t, `^sig1=:[A-Za-z0-9+/]{43}=:, sig2=:[A-Za-z0-9+/]{43}=:$`, r.Header.Get("Signature"))
	require.Regexp(t, `^sha-256=:[A-Za-z0-9+/]{43}=:$`, r.Header.Get("Content-Digest"))
	require.Equal(t, testID, r.Header.Get("Webhook-Id"))
}

// The tolerance is inclusive in both directions, and the end of a key is exact.
func TestTimes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		secret := signer.GenerateSecret()
		s := newScheme(t, newKey(t, "a", secret), httpsig.WithTolerance(time.Minute))
		require.Equal(t, time.Minute, s.Tolerance())
		now := time.Now() // a whole second in a bubble
		for offset, want := range map[time.Duration]error{
			-time.Minute: nil, time.Minute: nil, 0: nil,
			-time.Minute - time.Second: signer.ErrTooOld, time.Minute + time.Second: signer.ErrTooNew,
			365 * 24 * time.Hour: signer.ErrTooNew, -365 * 24 * time.Hour: signer.ErrTooOld,
		} {
			_, err := s.Verify(received(t, signedAt(t, s, now.Add(offset))), testBody)
			require.ErrorIs(t, err, want, offset)
		}
		// Further away than a Duration reaches, on either side.
		for seconds, want := range map[int64]error{99_999_999_999: signer.ErrTooNew, now.Unix() + 10_000_000_000: signer.ErrTooNew, 1: signer.ErrTooOld} {
			_, err := s.Verify(received(t, signedAt(t, s, time.Unix(seconds, 0))), testBody)
			require.ErrorIs(t, err, want, seconds)
		}
		ending := newScheme(t, newKey(t, "a", secret).NotAfter(now.Add(time.Second)))
		r := received(t, signedAt(t, ending, now))
		time.Sleep(time.Second)
		_, err := ending.Verify(r, testBody)
		require.NoError(t, err)
		time.Sleep(time.Nanosecond)
		_, err = ending.Verify(r, testBody)
		require.ErrorIs(t, err, signer.ErrNoMatch)
		require.ErrorIs(t, ending.Sign(t.Context(), outgoing(t, testURL), testID, time.Now(), testBody), signer.ErrNoActiveKey)
		_, err = httpsig.New(newKey(t, "a", secret).NotAfter(now))
		require.ErrorIs(t, err, signer.ErrConfig)

		// A key of package signer keeps its end when it becomes a Key.
		pair := signer.GenerateSigningKey().NotAfter(now)
		for _, ended := range []signer.Key{secret.NotAfter(now), pair, pair.VerifyingKey()} {
			_, err = httpsig.New(newKey(t, "a", ended))
			require.ErrorIs(t, err, signer.ErrConfig)
			require.ErrorContains(t, err, "NotAfter")
		}
	})
}

// Sender and receiver each have the old key, the new one or both. A signature
// verifies if they share a key, and the result names that key.
func TestRotationMatrix(t *testing.T) {
	t.Parallel()
	pairs := kinds(t)
	for name, keys := range map[string][2][2]httpsig.Key{
		"secret to secret":  {pairs["secret"], pairs["literal"]},
		"secret to ed25519": {pairs["secret"], pairs["ed25519"]},
		"ed25519 to remote": {pairs["ed25519"], pairs["remote"]},
	} {
		old, next := keys[0], keys[1]
		side := func(i int) map[string]*httpsig.Scheme {
			return map[string]*httpsig.Scheme{
				"old": newScheme(t, old[i]), "new": newScheme(t, next[i]), "both": newScheme(t, next[i], httpsig.WithKey(old[i])),
			}
		}
		matched := map[string]string{
			"old/old": old[1].ID(), "old/both": old[1].ID(), "new/new": next[1].ID(), "new/both": next[1].ID(),
			"both/old": old[1].ID(), "both/new": next[1].ID(), "both/both": next[1].ID(), "old/new": "", "new/old": "",
		}
		for signing, s := range side(0) {
			for verifying, v := range side(1) {
				t.Run(name+"/"+signing+"/"+verifying, func(t *testing.T) {
					t.Parallel()
					verified, err := v.Verify(received(t, signedAt(t, s, time.Now())), testBody)
					want := matched[signing+"/"+verifying]
					if want == "" {
						require.ErrorIs(t, err, signer.ErrNoMatch)
						return
					}
					require.NoError(t, err)
					require.Equal(t, want, verified.Key)
				})
			}
		}
	}
}

// Behind a proxy that ends TLS, rewrites the Host and removes a prefix, only
// the external URL makes a signature verify, and X-Forwarded headers change
// nothing.
func TestExternalURL(t *testing.T) {
	t.Parallel()
	key := newKey(t, "a", signer.GenerateSecret())
	sent := outgoing(t, "https://hooks.example.com/public/deploy?env=prod")
	require.NoError(t, newScheme(t, key, httpsig.WithExternalURL("http://elsewhere")).Sign(sent.Context(), sent, testID, time.Now(), testBody))
	behind := func() *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/deploy?env=prod", nil)
		r.Host, r.Header = "10.0.0.7:8080", sent.Header.Clone()
		r.Header.Set("X-Forwarded-Proto", "https")
		r.Header.Set("X-Forwarded-Host", "hooks.example.com")
		return r
	}
	_, err := newScheme(t, key).Verify(behind(), testBody)
	require.ErrorIs(t, err, signer.ErrNoMatch)
	require.ErrorContains(t, err, `"http://10.0.0.7:8080"`, "the operator sees what was taken for the target")
	require.NotContains(t, err.Error(), "env=prod", "queries can be secret")
	for base, ok := range map[string]bool{
		"https://hooks.example.com/public": true, "https://HOOKS.example.com:443/public/": true,
		"https://hooks.example.com": false, "http://hooks.example.com/public": false, "https://hooks.example.org/public": false,
	} {
		_, err := newScheme(t, key, httpsig.WithExternalURL(base)).Verify(behind(), testBody)
		require.Equal(t, ok, err == nil, base)
	}
}

func TestConfigErrors(t *testing.T) {
	t.Parallel()
	secret, signing := signer.GenerateSecret(), signer.GenerateSigningKey()
	good := newKey(t, "a", secret)
	elsewhere, err := signer.NewSigningKey(kms{ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))})
	require.NoError(t, err)
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	end := time.Now().Add(time.Hour)
	key := func(k httpsig.Key, err error) error { return err }
	scheme := func(k httpsig.Key, opts ...httpsig.Option) error { _, err := httpsig.New(k, opts...); return err }
	many := make([]httpsig.Option, 16)
	for i := range many {
		many[i] = httpsig.WithKey(newKey(t, fmt.Sprint(i), signer.GenerateSecret()))
	}
	for name, err := range map[string]error{
		"no principal":            scheme(good, httpsig.WithPrincipal("")),
		"no key":                  key(httpsig.NewKey("a", nil)),
		"zero secret":             key(httpsig.NewKey("a", signer.Secret{})),
		"zero signing key":        key(httpsig.NewKey("a", signer.SigningKey{})),
		"zero verifying key":      key(httpsig.NewKey("a", signer.VerifyingKey{})),
		"signing key elsewhere":   key(httpsig.NewKey("a", elsewhere)),
		"no ID":                   key(httpsig.NewKey("", secret)),
		"ID with a blank":         key(httpsig.NewKey("a b", secret)),
		"ID with a quote":         key(httpsig.NewKey(`a"b`, secret)),
		"ID with a backslash":     key(httpsig.NewKey(`a\b`, secret)),
		"ID not ASCII":            key(httpsig.NewKey("é", secret)),
		"long ID":                 key(httpsig.NewKey(strings.Repeat("a", 129), secret)),
		"nil remote":              key(httpsig.NewRemoteKey("a", nil)),
		"nil remote key":          key(httpsig.NewRemoteKey("a", ed25519.PrivateKey(nil))),
		"pointer to a secret":     key(httpsig.NewKey("a", (*signer.Secret)(nil))),
		"remote without ID":       key(httpsig.NewRemoteKey("", kms{})),
		"remote RSA":              key(httpsig.NewRemoteKey("a", weak)),
		"zero key":                scheme(httpsig.Key{}),
		"zero further key":        scheme(good, httpsig.WithKey(httpsig.Key{})),
		"same ID":                 scheme(good, httpsig.WithKey(newKey(t, "a", signing))),
		"same secret":             scheme(good, httpsig.WithKey(newKey(t, "b", secret))),
		"same public key":         scheme(newKey(t, "b", signing), httpsig.WithKey(newKey(t, "c", signing.VerifyingKey()))),
		"17 keys":                 scheme(good, many...),
		"nil option":              scheme(good, nil),
		"no tolerance":            scheme(good, httpsig.WithTolerance(0)),
		"short tolerance":         scheme(good, httpsig.WithTolerance(time.Second-1)),
		"long tolerance":          scheme(good, httpsig.WithTolerance(24*time.Hour+1)),
		"empty URL":               scheme(good, httpsig.WithExternalURL("")),
		"URL without scheme":      scheme(good, httpsig.WithExternalURL("hooks.example.com")),
		"URL of a file":           scheme(good, httpsig.WithExternalURL("file://x/y")),
		"URL with a user":         scheme(good, httpsig.WithExternalURL("https://u:canary@x")),
		"URL with a query":        scheme(good, httpsig.WithExternalURL("https://x/?")),
		"URL with a fragment":     scheme(good, httpsig.WithExternalURL("https://x/#")),
		"URL not ASCII":           scheme(good, httpsig.WithExternalURL("https://é.example")),
		"URL that does not parse": scheme(good, httpsig.WithExternalURL("https://canary:%zz")),
	} {
		require.ErrorIs(t, err, signer.ErrConfig, name)
		require.NotContains(t, err.Error(), "canary", name)
	}
	_, err = httpsig.New(good, httpsig.WithTolerance(24*time.Hour), httpsig.WithKey(newKey(t, "b", secret.Named("named").NotAfter(time.Time{})).NotAfter(end)))
	require.ErrorIs(t, err, signer.ErrConfig, "the same secret, whatever its name")
}

// Sign refuses a request that no verifier would accept, and leaves it
// unchanged.
func TestSignErrors(t *testing.T) {
	t.Parallel()
	secret, signing := signer.GenerateSecret(), signer.GenerateSigningKey()
	s := newScheme(t, newKey(t, "a", secret))
	broken, err := httpsig.NewRemoteKey("kms", brokenKMS{kms{ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}})
	require.NoError(t, err)
	short, err := httpsig.NewRemoteKey("kms", shortKMS{kms{ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}})
	require.NoError(t, err)
	now := time.Now()
	for name, c := range map[string]struct {
		scheme *httpsig.Scheme
		id     string
		at     time.Time
		url    string
		header http.Header
		want   error
	}{
		"no ID":            {want: signer.ErrInvalidMessage, at: now},
		"ID with a dot":    {id: "a.b", want: signer.ErrInvalidMessage, at: now},
		"ID with a line":   {id: "a\nb", want: signer.ErrInvalidMessage, at: now},
		"year 0":           {id: "a", want: signer.ErrInvalidMessage},
		"relative URL":     {id: "a", at: now, url: "/deploy", want: signer.ErrInvalidMessage},
		"ftp":              {id: "a", at: now, url: "ftp://h/x", want: signer.ErrInvalidMessage},
		"foreign name":     {id: "a", at: now, url: "https://é.example/x", want: signer.ErrInvalidMessage},
		"no content type":  {id: "a", at: now, header: http.Header{}, want: signer.ErrInvalidMessage},
		"two types":        {id: "a", at: now, header: http.Header{"Content-Type": {"a/b", "c/d"}}, want: signer.ErrInvalidMessage},
		"type with a line": {id: "a", at: now, header: http.Header{"Content-Type": {"a/b\n\"webhook-id\": x"}}, want: signer.ErrInvalidMessage},
		"only public keys": {scheme: newScheme(t, newKey(t, "a", signing.VerifyingKey())), id: "a", at: now, want: signer.ErrNoActiveKey},
		"KMS is down":      {scheme: newScheme(t, broken), id: "a", at: now, want: errKMS},
		"KMS with RSA":     {scheme: newScheme(t, short), id: "a", at: now, want: nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.scheme == nil {
				c.scheme = s
			}
			r := outgoing(t, testURL)
			if c.url != "" {
				r = outgoing(t, c.url)
			}
			if c.header != nil {
				r.Header = c.header
			}
			before := r.Header.Clone()
			err := c.scheme.Sign(r.Context(), r, c.id, c.at, testBody)
			require.Error(t, err)
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
			}
			require.Equal(t, before, r.Header)
		})
	}
}

var errKMS = errors.New("kms: out of reach")

type brokenKMS struct{ kms }

func (brokenKMS) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, errKMS }

type shortKMS struct{ kms }

func (shortKMS) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return make([]byte, 63), nil
}

// The scheme can be combined with others. If either of its headers is present,
// it alone decides.
func TestAnyOf(t *testing.T) {
	t.Parallel()
	secret := signer.GenerateSecret()
	s := newScheme(t, newKey(t, "a", secret))
	standard, err := signer.NewStandard(secret)
	require.NoError(t, err)
	any, err := signer.AnyOf(s, standard)
	require.NoError(t, err)
	require.True(t, any.SignsID())
	require.Equal(t, signer.DefaultTolerance, any.Tolerance())
	r := signedAt(t, s, time.Now())
	require.NoError(t, standard.Sign(r.Context(), r, testID, time.Now(), testBody))
	verified, err := any.Verify(received(t, r), testBody)
	require.NoError(t, err)
	require.Equal(t, "a", verified.Key)
	for _, name := range []string{"Signature", "Signature-Input"} {
		half := received(t, r)
		half.Header.Del(name)
		_, err = any.Verify(half, testBody)
		require.ErrorIs(t, err, signer.ErrMissingHeader, "no downgrade")
	}
	weak := received(t, r)
	weak.Header.Del("Signature")
	weak.Header.Del("Signature-Input")
	_, err = any.Verify(weak, testBody)
	require.NoError(t, err)

	acme := newScheme(t, newKey(t, "a", secret), httpsig.WithPrincipal("acme"))
	_, err = signer.AnyOf(acme, standard)
	require.ErrorIs(t, err, signer.ErrConfig, "a stripped copy would be another principal's new delivery")
	_, err = signer.AnyOf(standard, acme)
	require.ErrorIs(t, err, signer.ErrConfig)
}

// The error of a scheme that New did not make says so, and does not blame the
// request.
func TestNilAndZeroSchemesAreErrors(t *testing.T) {
	t.Parallel()
	for _, s := range []*httpsig.Scheme{nil, {}} {
		r := outgoing(t, testURL)
		before := r.Header.Clone()
		require.ErrorIs(t, s.Sign(r.Context(), r, testID, time.Now(), testBody), signer.ErrConfig)
		require.Equal(t, before, r.Header)
		_, err := s.Verify(received(t, r), testBody)
		require.ErrorIs(t, err, signer.ErrConfig)
		require.NotErrorIs(t, err, signer.ErrUnverified)
		require.Empty(t, s.Principals())
		require.Zero(t, s.Tolerance())
		_, err = signer.AnyOf(s, s)
		require.ErrorIs(t, err, signer.ErrConfig)
	}
}

// No key appears in an error, a printed key or scheme, JSON or a log.
func TestCanaryStaysInside(t *testing.T) {
	t.Parallel()
	const canary = "canary-8b1d-canary-8b1d-canary"
	literal, err := signer.NewLiteralSecret(canary)
	require.NoError(t, err)
	signing := signer.GenerateSigningKey()
	key, private := newKey(t, "a", literal), newKey(t, "b", signing)
	s := newScheme(t, key, httpsig.WithKey(private))
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb+verb, key, &key, s, *s)
		fmt.Fprintf(&out, verb, struct {
			K httpsig.Key
			S *httpsig.Scheme
		}{key, s})
	}
	for _, v := range []any{key, private, s} {
		encoded, err := json.Marshal(v)
		require.NoError(t, err)
		out.Write(encoded)
		for _, handler := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
			slog.New(handler).Info("x", "v", v)
		}
	}
	sent := signedAt(t, s, time.Now())
	for _, change := range tampering {
		r, body := received(t, sent), bytes.Clone(testBody)
		body = change.do(r, body)
		_, err := s.Verify(r, body)
		require.Error(t, err)
		fmt.Fprintln(&out, err)
	}
	require.NotContains(t, out.String(), canary)
	require.NotContains(t, out.String(), fmt.Sprintf("%x", canary))
	require.NotContains(t, out.String(), strings.TrimPrefix(signing.Reveal(), "whsk_")[:40])
	require.NotContains(t, out.String(), fmt.Sprint([]byte(canary))[1:20])
}
