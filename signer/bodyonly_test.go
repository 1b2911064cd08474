package signer_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
)

func TestBodyOnlyOptions(t *testing.T) {
	t.Parallel()
	key := signer.GenerateLiteralSecret()
	header := signer.WithHeader("X-Signature")
	bodyOnly := func(opts ...signer.Option) error { _, err := signer.NewBodyOnly(key, opts...); return err }
	stripe := func(timestamp, signature string) error {
		_, err := signer.NewStripe(key, signer.WithFieldNames(timestamp, signature))
		return err
	}
	github := func(opts ...signer.Option) error { _, err := signer.NewGitHub(key, opts...); return err }
	for name, c := range map[string]struct {
		err  error
		says string
	}{
		"no header":          {bodyOnly(), "WithHeader"},
		"empty header":       {bodyOnly(signer.WithHeader("")), "WithHeader"},
		"reserved header":    {bodyOnly(signer.WithHeader("Content-Type")), "WithHeader"},
		"empty prefix":       {bodyOnly(header, signer.WithSignaturePrefix("")), "WithSignaturePrefix"},
		"long prefix":        {bodyOnly(header, signer.WithSignaturePrefix(strings.Repeat("x", 65))), "WithSignaturePrefix"},
		"line end in prefix": {bodyOnly(header, signer.WithSignaturePrefix("v1=\n")), "WithSignaturePrefix"},
		"prefix not ASCII":   {bodyOnly(header, signer.WithSignaturePrefix("é=")), "WithSignaturePrefix"},
		"tolerance":          {bodyOnly(header, signer.WithTolerance(time.Minute)), "WithTolerance"},
		"GitHub, prefix":     {github(signer.WithSignaturePrefix("v1=")), "WithSignaturePrefix"},
		"GitHub, SHA-1":      {github(signer.InsecureSHA1()), "InsecureSHA1"},
		"GitHub, base64":     {github(signer.WithBase64()), "WithBase64"},
		"no time field":      {stripe("", "v1"), "WithFieldNames"},
		"no signature field": {stripe("t", ""), "WithFieldNames"},
		"same fields":        {stripe("v1", "v1"), "WithFieldNames"},
		"a comma":            {stripe("t", "v,1"), "WithFieldNames"},
		"an equals sign":     {stripe("t=", "v1"), "WithFieldNames"},
		"a blank":            {stripe("t ", "v1"), "WithFieldNames"},
		"a long field":       {stripe("t", strings.Repeat("x", 33)), "WithFieldNames"},
	} {
		require.ErrorIs(t, c.err, signer.ErrConfig, name)
		require.ErrorContains(t, c.err, c.says, name)
	}
	require.NoError(t, bodyOnly(header, signer.WithSignaturePrefix(strings.Repeat("x", 64)), signer.WithBase64(), signer.InsecureSHA1()))
	require.NoError(t, stripe("time_stamp", "Signature-1"))
}

// Timestamped signs with its own prefix. It accepts signatures with that
// prefix, with sha256= or without any.
func TestTimestamped_TakesItsPrefix(t *testing.T) {
	t.Parallel()
	key := signer.GenerateLiteralSecret()
	s := timestamped(t, key, signer.WithSignaturePrefix("v0="))
	r := signed(t, s, "whk_1", time.Now(), nil)
	value := r.Header.Get("X-Webhook-Signature")
	require.Regexp(t, `^v0=[0-9a-f]{64}$`, value)
	for prefix, want := range map[string]error{"v0=": nil, "": nil, "sha256=": nil, "v1=": signer.ErrMalformed, "v0=v0=": signer.ErrMalformed, "v0=sha256=": signer.ErrMalformed} {
		r.Header.Set("X-Webhook-Signature", prefix+strings.TrimPrefix(value, "v0="))
		_, err := s.Verify(r, nil)
		require.ErrorIs(t, err, want, prefix)
	}
	_, err := signer.NewTimestamped(key, signer.WithSignaturePrefix(""))
	require.ErrorIs(t, err, signer.ErrConfig)
}

// CircleCI and PagerDuty sign with each secret that a webhook has.
func TestBodyOnly_SignatureList(t *testing.T) {
	body := []byte(`{"event":"incident.triggered"}`)
	sign := func(secret string) string {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		return "v1=" + hex.EncodeToString(mac.Sum(nil))
	}
	secret, err := signer.NewLiteralSecret("the secret that we have")
	require.NoError(t, err)
	scheme, err := signer.NewBodyOnly(secret, signer.WithHeader("X-PagerDuty-Signature"), signer.WithSignaturePrefix("v1="), signer.WithSignatureList())
	require.NoError(t, err)
	ours, other := sign("the secret that we have"), sign("the secret that is new here")
	for _, c := range []struct {
		header string
		want   error
	}{
		{ours, nil},
		{ours + "," + other, nil},
		{other + "," + ours, nil},
		{other + ", " + ours, nil},
		{"v2=abc," + ours, nil},
		{strings.Repeat(other+",", 15) + ours, nil},
		{strings.Repeat(other+",", 16) + ours, signer.ErrMalformed},
		{strings.Repeat("v2=x,", 16) + ours, signer.ErrMalformed},
		{other, signer.ErrNoMatch},
		{"v2=" + ours[3:], signer.ErrMalformed},
		{"", signer.ErrMalformed},
		{",", signer.ErrMalformed},
		{ours + ",v1=", signer.ErrMalformed},
		{strings.ToUpper(ours[3:]), signer.ErrMalformed},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Header.Set("X-PagerDuty-Signature", c.header)
		_, err := scheme.Verify(r, body)
		require.ErrorIs(t, err, c.want, c.header)
	}
	_, err = signer.NewBodyOnly(secret, signer.WithHeader("X-Signature"), signer.WithSignatureList())
	require.ErrorIs(t, err, signer.ErrConfig)
	require.ErrorContains(t, err, "WithSignaturePrefix")
}
