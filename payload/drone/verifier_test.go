package drone_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload/drone"
	"github.com/deployhook/deployhook/payload/internal/inbound/inboundtest"
	"github.com/deployhook/deployhook/signer"
)

// Drone's own client sent this delivery.
func TestVerify_Recorded(t *testing.T) {
	t.Parallel()
	body := inboundtest.Read(t, "success.json")
	text := append(inboundtest.Read(t, "signed/success.txt"), '\n')
	header, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(text))).ReadMIMEHeader()
	require.NoError(t, err)
	at, err := time.Parse(http.TimeFormat, header.Get("Date"))
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(at))
		verifier := newVerifier(t, signer.WithPrincipal("acme"))
		r := &http.Request{Header: http.Header(header)}
		verified, err := verifier.Verify(r, body)
		require.NoError(t, err)
		assert.Equal(t, signer.Verified{Timestamp: at, Principal: "acme", Key: "key-1"}, verified)
		_, err = verifier.Verify(r, append(body, '\n'))
		require.ErrorIs(t, err, signer.ErrNoMatch)
		for name := range header {
			changed := http.Header(header).Clone()
			changed[name] = []string{changed.Get(name) + "x"}
			_, err = verifier.Verify(&http.Request{Header: changed}, body)
			require.ErrorIs(t, err, signer.ErrUnverified, "%s is signed", name)
		}
		time.Sleep(signer.DefaultTolerance + time.Second)
		_, err = verifier.Verify(r, body)
		require.ErrorIs(t, err, signer.ErrTooOld)
	})
}

func TestVerify_Refused(t *testing.T) {
	t.Parallel()
	body := []byte(`{}`)
	good := http.Header{}
	sign(good, body)
	verifier := newVerifier(t)
	_, err := verifier.Verify(&http.Request{Header: good}, body)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		change func(h http.Header)
		want   error
	}{
		"no signature":        {func(h http.Header) { h.Del("Signature") }, signer.ErrMissingHeader},
		"no digest":           {func(h http.Header) { h.Del("Digest") }, signer.ErrMissingHeader},
		"no date":             {func(h http.Header) { h.Del("Date") }, signer.ErrMissingHeader},
		"two signatures":      {func(h http.Header) { h.Add("Signature", h.Get("Signature")) }, signer.ErrMalformed},
		"two dates":           {func(h http.Header) { h.Add("Date", h.Get("Date")) }, signer.ErrMalformed},
		"two digests":         {func(h http.Header) { h.Add("Digest", h.Get("Digest")) }, signer.ErrMalformed},
		"another key":         {func(h http.Header) { signAt(h, body, time.Now(), secretText+"x") }, signer.ErrNoMatch},
		"another body":        {func(h http.Header) { sign(h, []byte(`{"a":1}`)) }, signer.ErrNoMatch},
		"old":                 {func(h http.Header) { signAt(h, body, time.Now().Add(-time.Hour), secretText) }, signer.ErrTooOld},
		"in the future":       {func(h http.Header) { signAt(h, body, time.Now().Add(time.Hour), secretText) }, signer.ErrTooNew},
		"date of RFC 3339":    {func(h http.Header) { h.Set("Date", time.Now().Format(time.RFC3339)) }, signer.ErrMalformed},
		"hmac-sha1":           {replaced("hmac-sha256", "hmac-sha1"), signer.ErrMalformed},
		"no algorithm":        {replaced(`algorithm="hmac-sha256",`, ``), signer.ErrMalformed},
		"digest not covered":  {replaced(`"date digest"`, `"date"`), signer.ErrMalformed},
		"date not covered":    {replaced(`"date digest"`, `"digest"`), signer.ErrMalformed},
		"no headers":          {replaced(`,headers="date digest"`, ``), signer.ErrMalformed},
		"further header":      {replaced(`"date digest"`, `"date digest x-drone-event"`), signer.ErrMissingHeader},
		"request target":      {replaced(`"date digest"`, `"(request-target) date digest"`), signer.ErrMissingHeader},
		"twice":               {replaced(`"date digest"`, `"date digest date"`), signer.ErrMalformed},
		"upper case":          {replaced(`"date digest"`, `"date digest Date"`), signer.ErrMalformed},
		"another order":       {replaced(`"date digest"`, `"digest date"`), signer.ErrNoMatch},
		"too many headers":    {replaced(`"date digest"`, `"date digest`+strings.Repeat(" x", 20)+`"`), signer.ErrMalformed},
		"unknown parameter":   {replaced(`keyId=`, `created="1",keyId=`), signer.ErrMalformed},
		"parameter twice":     {replaced(`keyId=`, `algorithm="hmac-sha256",keyId=`), signer.ErrMalformed},
		"unquoted":            {replaced(`"hmac-key"`, `hmac-key`), signer.ErrMalformed},
		"no base64":           {replaced(`signature="`, `signature="-`), signer.ErrMalformed},
		"empty":               {func(h http.Header) { h.Set("Signature", "") }, signer.ErrMalformed},
		"too long":            {replaced(`hmac-key`, strings.Repeat("x", 5000)), signer.ErrMalformed},
		"SHA-512 digest":      {func(h http.Header) { h.Set("Digest", "SHA-512="+h.Get("Digest")) }, signer.ErrNoMatch},
		"a second hash after": {func(h http.Header) { h.Set("Digest", h.Get("Digest")+",MD5=x") }, signer.ErrNoMatch},
	} {
		h := good.Clone()
		c.change(h)
		verified, err := verifier.Verify(&http.Request{Header: h}, body)
		require.ErrorIs(t, err, c.want, name)
		require.ErrorIs(t, err, signer.ErrUnverified, name)
		assert.Equal(t, signer.Verified{}, verified, name)
	}
}

func replaced(old, replacement string) func(h http.Header) {
	return func(h http.Header) { h.Set("Signature", strings.Replace(h.Get("Signature"), old, replacement, 1)) }
}

func TestVerify_Rotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old, err := signer.NewLiteralSecret(secretText)
		require.NoError(t, err)
		verifier, err := drone.NewVerifier(signer.GenerateLiteralSecret(), signer.WithKey(old.Named("old").NotAfter(time.Now().Add(time.Minute))))
		require.NoError(t, err)
		h := http.Header{}
		sign(h, nil)
		verified, err := verifier.Verify(&http.Request{Header: h}, nil)
		require.NoError(t, err)
		assert.Equal(t, "old", verified.Key)
		assert.Equal(t, []string{""}, verifier.Principals())
		assert.Equal(t, signer.DefaultTolerance, verifier.Tolerance())
		assert.False(t, verifier.SignsID())
		assert.True(t, verifier.Present(h))
		assert.False(t, verifier.Present(http.Header{}))
		time.Sleep(time.Minute + time.Second)
		_, err = verifier.Verify(&http.Request{Header: h}, nil)
		require.ErrorIs(t, err, signer.ErrNoMatch)
	})
}

func TestVerify_NotMade(t *testing.T) {
	t.Parallel()
	for _, s := range []*drone.Signature{nil, {}} {
		_, err := s.Verify(&http.Request{}, nil)
		require.ErrorIs(t, err, signer.ErrConfig)
		require.NotErrorIs(t, err, signer.ErrUnverified, "the request may be authentic")
		assert.Empty(t, s.Principals())
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		assert.Equal(t, "drone.Signature", fmt.Sprintf(verb, newVerifier(t)))
	}
}

// Nothing but a MAC of this date and body by this secret verifies, and no input
// panics.
func FuzzVerify(f *testing.F) {
	body := []byte(`{}`)
	good := http.Header{}
	sign(good, body)
	verifier := newVerifier(f)
	_, rest, _ := strings.Cut(good.Get("Signature"), `signature="`)
	mac, _, _ := strings.Cut(rest, `"`)
	for _, seed := range []string{
		good.Get("Signature"),
		strings.Replace(good.Get("Signature"), "date digest", "digest date", 1),
		strings.Replace(good.Get("Signature"), "date digest", "(request-target) date digest", 1),
		`keyId="k",algorithm="hmac-sha256",signature="",headers="date digest"`,
		`keyId="k",algorithm="none",signature="` + mac + `"`,
		`,,=,"`,
		"",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, signature string) {
		h := good.Clone()
		h.Set("Signature", signature)
		if _, err := verifier.Verify(&http.Request{Header: h}, body); err == nil {
			require.Contains(t, signature, `signature="`+mac+`"`)
			require.Contains(t, signature, `headers="date digest"`)
		} else {
			require.ErrorIs(t, err, signer.ErrUnverified)
		}
	})
}
