package signer_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/seeds"
	"github.com/deployhook/deployhook/signer"
)

func TestTimestampedSignsLowerCaseHexAndTheIDUnsigned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		at(t, specTime)
		scheme := timestamped(t, literalSecret(t, literal))
		r := signed(t, scheme, "whk_1", time.Now(), []byte(specBody))
		require.Equal(t, []string{"1614265330"}, r.Header["X-Webhook-Timestamp"])
		// printf '%s' '1614265330.{"test": 2432232314}' | openssl dgst
		// -sha256 -hmac 'a literal secret, its bytes are the key'
		require.Equal(t, []string{"47b96387a4610ad264a45e314d2a188c38bd47a5ae04f8482f651a42f551d13e"}, r.Header["X-Webhook-Signature"])
		require.Equal(t, []string{"whk_1"}, r.Header["X-Webhook-Id"])

		got, err := scheme.Verify(r, []byte(specBody))
		require.NoError(t, err)
		require.Equal(t, signer.Verified{Timestamp: time.Unix(specTime, 0), Key: "key-1"}, got, "an unsigned ID is no ID")

		r.Header.Set("X-Webhook-Id", "whk_forged")
		got, err = scheme.Verify(r, []byte(specBody))
		require.NoError(t, err)
		require.Empty(t, got.ID)
	})
}

func TestTimestampedHeaderPrefix(t *testing.T) {
	t.Parallel()
	secret := signer.GenerateLiteralSecret()
	scheme := timestamped(t, secret, signer.WithHeaderPrefix("x-temps"))
	r := signed(t, scheme, "whk_1", time.Now(), nil)
	require.Len(t, r.Header["X-Temps-Signature"], 1)
	require.Len(t, r.Header["X-Temps-Timestamp"], 1)
	require.Len(t, r.Header["X-Temps-Id"], 1)
	_, err := scheme.Verify(r, nil)
	require.NoError(t, err)
	_, err = timestamped(t, secret).Verify(r, nil)
	require.ErrorIs(t, err, signer.ErrMissingHeader)
}

func TestTimestampedSignatureForms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(good string) []string
		want   error
	}{
		{"as signed", func(good string) []string { return []string{good} }, nil},
		{"with sha256=", func(good string) []string { return []string{"sha256=" + good} }, nil},
		{"none", func(string) []string { return nil }, signer.ErrMissingHeader},
		{"twice", func(good string) []string { return []string{good, good} }, signer.ErrMalformed},
		{"empty", func(string) []string { return []string{""} }, signer.ErrMalformed},
		{"sha256= alone", func(string) []string { return []string{"sha256="} }, signer.ErrMalformed},
		{"sha256= doubled", func(good string) []string { return []string{"sha256=sha256=" + good} }, signer.ErrMalformed},
		{"upper case", func(good string) []string { return []string{strings.ToUpper(good)} }, signer.ErrMalformed},
		{"SHA256=", func(good string) []string { return []string{"SHA256=" + good} }, signer.ErrMalformed},
		{"sha1=", func(good string) []string { return []string{"sha1=" + good} }, signer.ErrMalformed},
		{"cut", func(good string) []string { return []string{good[:62]} }, signer.ErrMalformed},
		{"longer", func(good string) []string { return []string{good + "00"} }, signer.ErrMalformed},
		{"not hex", func(good string) []string { return []string{"g" + good[1:]} }, signer.ErrMalformed},
		{"blank before", func(good string) []string { return []string{" " + good} }, signer.ErrMalformed},
		{"list", func(good string) []string { return []string{good + "," + good} }, signer.ErrMalformed},
		{"another", func(good string) []string { return []string{strings.Repeat("0", 64)} }, signer.ErrNoMatch},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			scheme := timestamped(t, literalSecret(t, literal))
			r := signed(t, scheme, "whk_1", time.Now(), []byte(specBody))
			r.Header["X-Webhook-Signature"] = c.change(r.Header.Get("X-Webhook-Signature"))
			_, err := scheme.Verify(r, []byte(specBody))
			require.ErrorIs(t, err, c.want)
		})
	}
}

func TestTimestampedRefusesChangedBodyAndTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		at(t, specTime)
		scheme := timestamped(t, literalSecret(t, literal))
		r := signed(t, scheme, "whk_1", time.Now(), []byte(specBody))
		_, err := scheme.Verify(r, []byte(specBody+" "))
		require.ErrorIs(t, err, signer.ErrNoMatch)
		r.Header.Set("X-Webhook-Timestamp", "1614265331")
		_, err = scheme.Verify(r, []byte(specBody))
		require.ErrorIs(t, err, signer.ErrNoMatch)
		r.Header["X-Webhook-Timestamp"] = []string{"1614265330", "1614265330"}
		_, err = scheme.Verify(r, []byte(specBody))
		require.ErrorIs(t, err, signer.ErrMalformed)
	})
}

func FuzzTimestampedHeaders(f *testing.F) {
	seeds.Add(f, 9)
	scheme := timestamped(f, literalSecret(f, literal))
	f.Fuzz(func(t *testing.T, timestamp, signature string, body []byte) {
		r := &http.Request{Header: http.Header{"X-Webhook-Timestamp": {timestamp}, "X-Webhook-Signature": {signature}}}
		_, err := scheme.Verify(r, body)
		require.ErrorIs(t, err, signer.ErrUnverified)
	})
}
