package signer_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/hidden/hiddentest"
	"github.com/deployhook/deployhook/signer"
)

// The secrets of this file are also valid base64, so each can be any kind of
// key.
const (
	canary     = "CANARYCANARYCANARYCANARYCANARYCA"
	canarySeed = "SEEDCANARYSEEDCANARYSEEDCANARYSEEDCANARYSEE="
	canaryKMS  = "KMSCANARYKMSCANARYKMSCANARYKMSCANARYKMSCANA="
)

// canaries are one key of each kind.
type canaries struct {
	std, lit signer.Secret
	pair     signer.SigningKey
	wrapped  signer.SigningKey // around a crypto.Signer that has its key in memory
}

func newCanaries(t *testing.T) canaries {
	t.Helper()
	seed := must[[]byte](t)(base64.StdEncoding.DecodeString(canaryKMS))
	return canaries{
		std: secret(t, "whsec_"+canary), lit: literalSecret(t, canary),
		pair:    must[signer.SigningKey](t)(signer.ParseSigningKey("whsk_" + canarySeed)),
		wrapped: must[signer.SigningKey](t)(signer.NewSigningKey(ed25519.NewKeyFromSeed(seed))),
	}
}

func requireNoLeak(t *testing.T, output string) {
	t.Helper()
	hiddentest.RequireAbsent(t, hiddentest.Traces(canary, canarySeed, canaryKMS), output)
}

// every value that has or holds a secret.
func (c canaries) values(t *testing.T) []any {
	t.Helper()
	hash := must[signer.APIKeyHash](t)(signer.HashAPIKey(canary))
	apiKey := signer.APIKey{Principal: "acme", Hash: hash, Name: "ci", NotAfter: time.Now().Add(time.Hour)}
	std := standard(t, c.std, signer.WithKey(c.pair), signer.WithKey(c.wrapped))
	hexes := timestamped(t, c.lit)
	stripe := must[*signer.Stripe](t)(signer.NewStripe(c.lit))
	github := must[*signer.BodyOnly](t)(signer.NewGitHub(c.lit))
	vercel := must[*signer.BodyOnly](t)(signer.NewBodyOnly(c.lit, vercelOptions()...))
	heroku := must[*signer.BodyOnly](t)(signer.NewBodyOnly(c.lit, herokuOptions()...))
	keys := must[*signer.APIKeys](t)(signer.NewAPIKeys([]signer.APIKey{apiKey}))
	gitlab := must[*signer.APIKeys](t)(signer.NewGitLabToken(c.lit, "acme"))
	bearer := must[*signer.Bearer](t)(signer.NewBearer(c.lit))
	anyOf := must[*signer.Any](t)(signer.AnyOf(std, hexes, stripe, github))

	// Package fmt prints unexported fields without calling the methods of their
	// types.
	type hidden struct {
		Exported   signer.Secret
		unexported signer.Secret
		pair       signer.SigningKey
		wrapped    signer.SigningKey
		std        signer.Standard
		hexes      signer.Timestamped
		stripe     signer.Stripe
		github     signer.BodyOnly
		keys       signer.APIKeys
		bearer     signer.Bearer
		any        signer.Any
		option     signer.Option
		key        signer.Key
	}
	all := hidden{c.std, c.lit, c.pair, c.wrapped, *std, *hexes, *stripe, *github, *keys, *bearer, *anyOf, signer.WithKey(c.std), c.pair}
	values := []any{
		c.std, c.lit, c.pair, c.wrapped, &c.std, &c.lit, &c.pair, &c.wrapped, c, &c,
		c.std.Named("n").NotAfter(time.Now()), c.pair.Named("n").NotAfter(time.Now()), c.pair.VerifyingKey(),
		all, &all,
		[]hidden{all},
		map[string]any{"all": all},
		[]signer.Secret{c.std, c.lit},
		map[string]signer.SigningKey{"a": c.pair},
		signer.Key(c.std), signer.Key(c.pair), signer.Key(c.wrapped), signer.WithKey(c.std), signer.WithKey(c.pair),
		hash, apiKey,
		[]signer.APIKey{apiKey},
		signer.Secret{},
		signer.SigningKey{},
	}
	for _, scheme := range []any{std, hexes, stripe, github, vercel, heroku, keys, gitlab, bearer, anyOf} {
		values = append(values, scheme, reflect.ValueOf(scheme).Elem().Interface(), []any{scheme}, struct{ s any }{scheme})
	}
	return values
}

// A canary goes through every way in which a value reaches a log. No output may
// contain it.
func TestSecretsAreRedactedEverywhere(t *testing.T) {
	t.Parallel()
	c := newCanaries(t)
	hiddentest.RequireHidden(t, []string{canary, canarySeed, canaryKMS}, c.values(t)...)
	require.Equal(t, "whsec_[redacted]", fmt.Sprint(c.std))
	require.Equal(t, "whsk_[redacted]", fmt.Sprint(c.pair))
}

// The test collects errors of every constructor and of parsing keys, for texts
// that contain the secret.
func TestErrorsOfConstructorsDoNotRepeatSecrets(t *testing.T) {
	t.Parallel()
	c := newCanaries(t)
	var failed []error
	fail := func(_ any, err error) { failed = append(failed, err) }
	for _, text := range []string{canary, canarySeed, canaryKMS} {
		for _, form := range []string{"%s\n", " %s", "whsec_whsec_%s", "whsk_whsk_%s", "whpk_whpk_%s", "%s=", "%s-_", "whsec_%s%[1]s%[1]s%[1]s", "whsec_%.6s", "whsk_%s%[1]s", "whpk_%s%[1]s", "sha256:%s", "Bearer\t%s", "é%s\x00"} {
			bad := fmt.Sprintf(form, text)
			for _, parse := range []func(string) error{
				func(s string) error { _, err := signer.ParseSecret(s); return err },
				func(s string) error { _, err := signer.NewLiteralSecret(s); return err },
				func(s string) error { _, err := signer.ParseSigningKey(s); return err },
				func(s string) error { _, err := signer.ParseVerifyingKey(s); return err },
				func(s string) error { _, err := signer.HashAPIKey(s); return err },
				func(s string) error { _, err := signer.ParseAPIKeyHash(s); return err },
				func(s string) error { _, err := signer.GenerateAPIKey(s); return err },
			} {
				if err := parse(bad); err != nil {
					failed = append(failed, err)
				}
			}
		}
	}
	mistakes := []signer.Option{signer.WithKey(c.std), signer.WithKey(c.lit), signer.WithKey(c.pair), signer.WithKey(nil), signer.WithTolerance(0), signer.WithHeaderPrefix(""), signer.WithHeader("")}
	for _, key := range []signer.Key{c.std, c.lit, c.pair, c.wrapped, c.pair.VerifyingKey(), c.std.NotAfter(time.Unix(1, 0)), c.lit.NotAfter(time.Unix(1, 0))} {
		for _, scheme := range []string{"Standard", "Timestamped", "Stripe", "GitHub", "BodyOnly"} {
			for _, mistake := range mistakes {
				if _, err := newVerifier(scheme, key, mistake); err != nil {
					failed = append(failed, err)
				}
			}
		}
	}
	fail(signer.NewBearer(c.std))
	fail(signer.NewBearer(c.lit, signer.WithHeader("")))
	fail(signer.NewBearer(literalSecret(t, canary+" "+canary)))
	fail(signer.NewGitLabToken(c.std, "acme"))
	fail(signer.NewGitLabToken(c.lit, ""))
	fail(signer.NewGitLabToken(literalSecret(t, canary+" "+canary), "acme"))
	require.Greater(t, len(failed), 300)
	for _, err := range failed {
		require.Error(t, err)
		requireNoLeak(t, err.Error()+fmt.Sprintf("%+v %#v %q", err, err, err))
	}
}

// Errors of Verify and Sign contain neither a secret nor any part of the
// signature that was sent.
func TestErrorsOfSchemesDoNotRepeatSecrets(t *testing.T) {
	t.Parallel()
	c := newCanaries(t)
	std := standard(t, c.std, signer.WithKey(c.pair))
	keys := must[*signer.APIKeys](t)(signer.NewAPIKeys([]signer.APIKey{{Principal: "acme", Hash: must[signer.APIKeyHash](t)(signer.HashAPIKey(canary))}}))
	bearer := must[*signer.Bearer](t)(signer.NewBearer(c.lit))
	subjects := []subject{
		{name: "standard", signer: std, verifier: std, proof: "Webhook-Signature"},
		{name: "api keys", signer: bearer, verifier: keys, proof: "Authorization"},
		{name: "gitlab", signer: must[*signer.Bearer](t)(signer.NewBearer(c.lit, signer.WithHeader("X-Gitlab-Token"))), verifier: must[*signer.APIKeys](t)(signer.NewGitLabToken(c.lit, "acme")), proof: "X-Gitlab-Token"},
	}
	subjects = append(append(subjects, timedSubjects(t, c.lit)...), bodySubjects(t, c.lit)...)
	for _, s := range subjects {
		good := signed(t, s.signer, "whk_1", time.Now(), []byte(`{"a": 1}`))
		proof := good.Header.Get(s.proof)
		for _, bad := range []string{"", canary, "v1," + canary, "v1a," + canarySeed, "t=" + canary, "t=1,v1=" + canary, "sha256=" + canary, proof + "x", proof[1:], strings.ToUpper(proof), proof, "Bearer " + canary + "x", "Basic " + canary} {
			for _, body := range []string{`{"a":1}`, canary} { // the first is one that diagnosis explains
				for _, values := range [][]string{{bad}, {bad, bad}} {
					r := &http.Request{Header: good.Header.Clone()}
					r.Header[s.proof] = values
					if _, err := s.verifier.Verify(r, []byte(body)); err != nil {
						output := fmt.Sprintf("%v %+v %#v %q", err, err, err, err)
						requireNoLeak(t, output)
						require.NotContains(t, output, proof[len(proof)/2:], s.name)
					}
				}
			}
		}
		if err := s.signer.Sign(t.Context(), request(nil), canary+".", time.Now(), nil); err != nil {
			requireNoLeak(t, err.Error())
		}
	}
}
