package signer_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
)

// The error of a scheme that its constructor did not make says so. The request
// is not the reason, so the error does not ask the sender for a better
// signature.
func TestNilAndZeroSchemesAreErrors(t *testing.T) {
	t.Parallel()
	for _, s := range []signer.Verifier{
		(*signer.Standard)(nil), (*signer.Timestamped)(nil), (*signer.Stripe)(nil), (*signer.BodyOnly)(nil), (*signer.APIKeys)(nil), (*signer.Basic)(nil), (*signer.Any)(nil),
		&signer.Standard{}, &signer.Timestamped{}, &signer.Stripe{}, &signer.BodyOnly{}, &signer.APIKeys{}, &signer.Basic{}, &signer.Any{},
	} {
		name := fmt.Sprintf("%T %v", s, s)
		_, err := s.Verify(request(nil), nil)
		require.ErrorIs(t, err, signer.ErrConfig, name)
		require.NotErrorIs(t, err, signer.ErrUnverified, name)
		if _, ok := s.(fmt.Formatter); ok {
			require.Equal(t, strings.TrimPrefix(fmt.Sprintf("%T", s), "*"), fmt.Sprint(s))
		}
		require.ErrorContains(t, err, "make one with", name)
		scheme := s.(signer.Scheme)
		require.False(t, scheme.Present(http.Header{"X": {"x"}}), name)
		require.Empty(t, scheme.Principals(), name)
		_ = scheme.SignsID()
		if timed, ok := s.(interface{ Tolerance() time.Duration }); ok {
			require.Zero(t, timed.Tolerance(), name)
		}
		_, err = signer.AnyOf(scheme, scheme)
		require.ErrorIs(t, err, signer.ErrConfig, name)
		require.ErrorContains(t, err, "constructor", name)
	}
	for _, s := range []signer.Signer{
		(*signer.Standard)(nil), (*signer.Timestamped)(nil), (*signer.Stripe)(nil), (*signer.Bearer)(nil),
		&signer.Standard{}, &signer.Timestamped{}, &signer.Stripe{}, &signer.Bearer{},
	} {
		r := request(nil)
		before := r.Header.Clone()
		err := s.Sign(r.Context(), r, "whk_1", time.Now(), nil)
		require.ErrorIs(t, err, signer.ErrConfig, "%T", s)
		require.ErrorContains(t, err, "make one with", "%T", s)
		require.Equal(t, before, r.Header)
	}
	_, err := signer.NewStandard((*signer.Secret)(nil))
	require.ErrorIs(t, err, signer.ErrConfig)
	require.ErrorContains(t, err, "key-1 is nil")
}

func apiKeys(t *testing.T, principals ...string) *signer.APIKeys {
	t.Helper()
	var keys []signer.APIKey
	for _, p := range principals {
		keys = append(keys, signer.APIKey{Principal: p, Hash: must[signer.APIKeyHash](t)(signer.HashAPIKey("0123456789abcdef" + fmt.Sprint(len(keys))))})
	}
	return must[*signer.APIKeys](t)(signer.NewAPIKeys(keys))
}

// Deduplication depends on the principal. A copy of a request without its
// strong signature must not get another principal, no matter which scheme
// accepts it.
func TestAnyOf_EverySchemeHasTheSamePrincipal(t *testing.T) {
	t.Parallel()
	acme := standard(t, signer.GenerateSecret(), signer.WithPrincipal("acme"))
	bare := timestamped(t, signer.GenerateLiteralSecret())
	nested := must[*signer.Any](t)(signer.AnyOf(standard(t, signer.GenerateSecret()), bare))
	for name, c := range map[string]struct {
		schemes []signer.Scheme
		says    string
	}{
		"another one":          {[]signer.Scheme{acme, bare}, "scheme 2"},
		"nested":               {[]signer.Scheme{acme, nested}, "scheme 2"},
		"nested first":         {[]signer.Scheme{nested, acme}, "scheme 2"},
		"API keys":             {[]signer.Scheme{bare, apiKeys(t, "acme")}, "scheme 2"},
		"API keys of two":      {[]signer.Scheme{acme, apiKeys(t, "acme", "zeta")}, "scheme 2 has 2 principals"},
		"of another package":   {[]signer.Scheme{acme, foreign{declared: "zeta"}}, "scheme 2"},
		"third in line":        {[]signer.Scheme{acme, apiKeys(t, "acme", "acme"), foreign{}}, "scheme 3"},
		"no principal at all":  {[]signer.Scheme{acme, foreign{none: true}}, "scheme 2"},
		"typed nil":            {[]signer.Scheme{acme, (*signer.Stripe)(nil)}, "scheme 2 is nil"},
		"nil of another":       {[]signer.Scheme{acme, (*foreign)(nil)}, "scheme 2 is nil"},
		"two keys of one name": {[]signer.Scheme{apiKeys(t, "zeta", "acme"), acme}, "2 principals"},
	} {
		_, err := signer.AnyOf(c.schemes...)
		require.ErrorIs(t, err, signer.ErrConfig, name)
		require.ErrorContains(t, err, c.says, name)
	}
	for _, schemes := range [][]signer.Scheme{
		{acme, apiKeys(t, "acme", "acme")}, {bare, nested}, {acme, foreign{declared: "acme"}},
	} {
		a, err := signer.AnyOf(schemes...)
		require.NoError(t, err)
		require.Equal(t, schemes[0].Principals(), a.Principals())
	}
}

// foreign is a scheme of another package.
type foreign struct {
	declared, vouched string
	none              bool
}

func (f foreign) Verify(*http.Request, []byte) (signer.Verified, error) {
	return signer.Verified{Principal: f.vouched}, nil
}
func (f foreign) Present(h http.Header) bool { return len(h["X-Foreign"]) > 0 }
func (f foreign) SignsID() bool              { return false }
func (f foreign) Principals() []string {
	if f.none {
		return nil
	}
	return []string{f.declared}
}

// A scheme of another package that returns a principal which its Principals
// method does not list is refused.
func TestAnyOf_ChecksTheVouchedPrincipal(t *testing.T) {
	t.Parallel()
	acme := standard(t, signer.GenerateSecret(), signer.WithPrincipal("acme"))
	for vouched, want := range map[string]error{"acme": nil, "zeta": signer.ErrConfig, "": signer.ErrConfig} {
		a := must[*signer.Any](t)(signer.AnyOf(acme, foreign{declared: "acme", vouched: vouched}))
		r := request(nil)
		r.Header.Set("X-Foreign", "x")
		got, err := a.Verify(r, nil)
		require.ErrorIs(t, err, want)
		require.NotErrorIs(t, err, signer.ErrUnverified)
		if want != nil {
			require.Zero(t, got)
		}
	}
}
