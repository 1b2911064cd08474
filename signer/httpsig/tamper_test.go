package httpsig_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
	"github.com/deployhook/deployhook/signer/httpsig"
)

// tampering changes a signed request on arrival, and returns the body. Every
// change must be refused.
var tampering = []struct {
	name string
	want error
	do   func(r *http.Request, body []byte) []byte
}{
	{"method", signer.ErrNoMatch, edit(func(r *http.Request) { r.Method = http.MethodPut })},
	{"path", signer.ErrNoMatch, edit(func(r *http.Request) { r.RequestURI = strings.Replace(r.RequestURI, "/deploy", "/Deploy", 1) })},
	{"path spelling", signer.ErrNoMatch, edit(func(r *http.Request) { r.RequestURI = strings.Replace(r.RequestURI, "/deploy", "/%64eploy", 1) })},
	{"query", signer.ErrNoMatch, edit(func(r *http.Request) { r.RequestURI = strings.Replace(r.RequestURI, "prod", "test", 1) })},
	{"query order", signer.ErrNoMatch, edit(func(r *http.Request) { r.RequestURI = "/deploy?app=h%C3%A9&env=prod" })},
	{"no query", signer.ErrNoMatch, edit(func(r *http.Request) { r.RequestURI = "/deploy" })},
	{"query in the path", signer.ErrNoMatch, edit(func(r *http.Request) { r.RequestURI = strings.Replace(r.RequestURI, "?", "%3F", 1) })},
	{"host", signer.ErrNoMatch, edit(func(r *http.Request) { r.Host = "hooks.example.org" })},
	{"port", signer.ErrNoMatch, edit(func(r *http.Request) { r.Host += ":8443" })},
	{"scheme", signer.ErrNoMatch, edit(func(r *http.Request) { r.TLS = nil })},
	{"scheme by absolute form", signer.ErrNoMatch, edit(func(r *http.Request) { r.TLS, r.RequestURI = nil, testURL })},
	{"no host", signer.ErrMalformed, edit(func(r *http.Request) { r.Host = "" })},
	{"asterisk", signer.ErrMalformed, edit(func(r *http.Request) { r.RequestURI = "*" })},
	{"body bit", signer.ErrNoMatch, func(_ *http.Request, body []byte) []byte { body[3] ^= 1; return body }},
	{"body end", signer.ErrNoMatch, func(_ *http.Request, body []byte) []byte { return body[:len(body)-1] }},
	{"body appended", signer.ErrNoMatch, func(_ *http.Request, body []byte) []byte { return append(body, ' ') }},
	{"no body", signer.ErrNoMatch, func(*http.Request, []byte) []byte { return nil }},
	{"digest of another body", signer.ErrNoMatch, func(r *http.Request, _ []byte) []byte {
		sum := sha256.Sum256([]byte("other"))
		r.Header.Set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":")
		return []byte("other")
	}},
	{"digest longer", signer.ErrNoMatch, edit(func(r *http.Request) {
		r.Header.Set("Content-Digest", r.Header.Get("Content-Digest")+", sha-512=:AA==:")
	})},
	{"content type", signer.ErrNoMatch, edit(func(r *http.Request) { r.Header.Set("Content-Type", "application/xml") })},
	{"content type parameter", signer.ErrNoMatch, edit(func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset=utf-7") })},
	{"content type with a line", signer.ErrMalformed, edit(func(r *http.Request) { r.Header["Content-Type"] = []string{"application/json\n"} })},
	{"content type not ASCII", signer.ErrMalformed, edit(func(r *http.Request) { r.Header["Content-Type"] = []string{"application/jsön"} })},
	{"ID", signer.ErrNoMatch, edit(func(r *http.Request) { r.Header.Set("Webhook-Id", testID+"x") })},
	{"ID with a dot", signer.ErrMalformed, edit(func(r *http.Request) { r.Header.Set("Webhook-Id", testID+".x") })},
	{"ID too long", signer.ErrMalformed, edit(func(r *http.Request) { r.Header.Set("Webhook-Id", strings.Repeat("x", 256)) })},
	{"created", signer.ErrNoMatch, edit(func(r *http.Request) {
		replace(r, "created="+created(r), "created="+strconv.FormatInt(time.Now().Unix()+2, 10))
	})},
	{"created with a plus", signer.ErrMalformed, edit(func(r *http.Request) { replace(r, "created=", "created=+") })},
	{"created with a zero", signer.ErrMalformed, edit(func(r *http.Request) { replace(r, "created=", "created=0") })},
	{"created negative", signer.ErrMalformed, edit(func(r *http.Request) { replace(r, "created=", "created=-") })},
	{"created in milliseconds", signer.ErrMalformed, edit(func(r *http.Request) { replace(r, "created="+created(r), "created="+created(r)+"000") })},
	{"created decimal", signer.ErrMalformed, edit(func(r *http.Request) { replace(r, "created="+created(r), "created="+created(r)+".0") })},
	{"created as a string", signer.ErrMalformed, edit(func(r *http.Request) { replace(r, "created="+created(r), `created="`+created(r)+`"`) })},
	{"created as a date", signer.ErrMalformed, edit(func(r *http.Request) { replace(r, "created=", "created=@") })},
	{"created is true", signer.ErrMalformed, edit(func(r *http.Request) { replace(r, "created="+created(r), "created") })},
	{"created twice", signer.ErrMalformed, edit(func(r *http.Request) { replace(r, ";created=", ";created=1;created=") })},
	{"no created", signer.ErrMalformed, edit(func(r *http.Request) { replace(r, ";created="+created(r), "") })},
	{"no keyid", signer.ErrNoMatch, edit(func(r *http.Request) { replace(r, `;keyid="a"`, ""); replace(r, `;keyid="b"`, "") })},
	{"unknown keyid", signer.ErrNoMatch, edit(func(r *http.Request) { replace(r, `"a"`, `"x"`); replace(r, `"b"`, `"y"`) })},
	{"another keyid", signer.ErrNoMatch, edit(func(r *http.Request) { replace(r, `"a"`, `"z"`); replace(r, `"b"`, `"a"`) })},
	{"keyid twice", signer.ErrMalformed, edit(func(r *http.Request) { replace(r, `;keyid="a"`, `;keyid="x";keyid="a"`) })},
	{"wrong alg", signer.ErrMalformed, edit(func(r *http.Request) { append1(r, `;alg="ed25519"`) })},
	{"unknown alg", signer.ErrMalformed, edit(func(r *http.Request) { append1(r, `;alg="none"`) })},
	{"right alg, not signed", signer.ErrNoMatch, edit(func(r *http.Request) { append1(r, `;alg="hmac-sha256"`) })},
	{"unknown parameter", signer.ErrMalformed, edit(func(r *http.Request) { append1(r, ";x=1") })},
	{"expires in the future, not signed", signer.ErrNoMatch, edit(func(r *http.Request) { append1(r, ";expires=99999999999") })},
	{"order of components", signer.ErrNoMatch, edit(func(r *http.Request) { replace(r, `"@method" "@target-uri"`, `"@target-uri" "@method"`) })},
	{"component left out", signer.ErrMalformed, edit(func(r *http.Request) { replace(r, ` "content-digest"`, "") })},
	{"component twice", signer.ErrMalformed, edit(func(r *http.Request) { replace(r, `"@method"`, `"@method" "@method"`) })},
	{"component with a parameter", signer.ErrMalformed, edit(func(r *http.Request) { replace(r, `"content-digest"`, `"content-digest";req`) })},
	{"component in capitals", signer.ErrMalformed, edit(func(r *http.Request) { replace(r, `"content-digest"`, `"Content-Digest"`) })},
	{"component no string", signer.ErrMalformed, edit(func(r *http.Request) { replace(r, `"content-digest"`, `content-digest`) })},
	{"component unknown", signer.ErrMalformed, edit(func(r *http.Request) { replace(r, `"webhook-id"`, `"webhook-id" "@request-target"`) })},
	{"component absent", signer.ErrMissingHeader, edit(func(r *http.Request) { replace(r, `"webhook-id"`, `"webhook-id" "x-none"`) })},
	{"33 components", signer.ErrMalformed, edit(func(r *http.Request) { replace(r, `"webhook-id"`, `"webhook-id"`+strings.Repeat(` "x"`, 28)) })},
	{"signature bit", signer.ErrNoMatch, edit(func(r *http.Request) { flip(r, 8) })},
	{"header of 8 KiB", signer.ErrNoMatch, edit(func(r *http.Request) {
		append1(r, `;nonce="`+strings.Repeat("x", 8<<10-len(r.Header.Get("Signature-Input"))-9)+`"`)
	})},
	{"signature spelling", signer.ErrMalformed, edit(func(r *http.Request) {
		r.Header.Set("Signature", strings.ReplaceAll(r.Header.Get("Signature"), "=:, ", "=:,"))
	})},
	{"signature without padding", signer.ErrMalformed, edit(func(r *http.Request) {
		r.Header.Set("Signature", strings.ReplaceAll(r.Header.Get("Signature"), "=:, ", ":, "))
	})},
	{"signature with a parameter", signer.ErrMalformed, edit(func(r *http.Request) { r.Header.Set("Signature", r.Header.Get("Signature")+";x") })},
	{"signature a string", signer.ErrMalformed, edit(func(r *http.Request) { r.Header.Set("Signature", `sig1="x", sig2="y"`) })},
	{"signature a list", signer.ErrMalformed, edit(func(r *http.Request) { r.Header.Set("Signature", `sig1=(:AA==:), sig2=:AA==:`) })},
	{"signature empty", signer.ErrNoMatch, edit(func(r *http.Request) { r.Header.Set("Signature", "sig1=::, sig2=::") })},
	{"input no list", signer.ErrMalformed, edit(func(r *http.Request) { r.Header.Set("Signature-Input", "sig1=1, sig2=2") })},
	{"inputs exchanged", signer.ErrNoMatch, edit(func(r *http.Request) {
		r.Header.Set("Signature", strings.NewReplacer("sig1=", "sig2=", "sig2=", "sig1=").Replace(r.Header.Get("Signature")))
	})},
	{"other labels", signer.ErrMalformed, edit(func(r *http.Request) {
		r.Header.Set("Signature", strings.ReplaceAll(r.Header.Get("Signature"), "sig", "gis"))
	})},
	{"label without input", signer.ErrMalformed, edit(func(r *http.Request) { r.Header.Set("Signature", r.Header.Get("Signature")+", x=:AA==:") })},
	{"label twice", signer.ErrMalformed, edit(func(r *http.Request) { r.Header.Set("Signature", "sig1=:AA==:, "+r.Header.Get("Signature")) })},
	{"17 signatures", signer.ErrMalformed, edit(func(r *http.Request) {
		for i := range 15 {
			r.Header.Set("Signature-Input", r.Header.Get("Signature-Input")+fmt.Sprintf(", x%d=()", i))
			r.Header.Set("Signature", r.Header.Get("Signature")+fmt.Sprintf(", x%d=:AA==:", i))
		}
	})},
	{"empty headers", signer.ErrMalformed, edit(func(r *http.Request) { r.Header["Signature"], r.Header["Signature-Input"] = []string{""}, []string{""} })},
	{"header of 8 KiB and one", signer.ErrMalformed, edit(func(r *http.Request) {
		append1(r, `;nonce="`+strings.Repeat("x", 8<<10-len(r.Header.Get("Signature-Input"))-8)+`"`)
	})},
}

func edit(change func(*http.Request)) func(*http.Request, []byte) []byte {
	return func(r *http.Request, body []byte) []byte { change(r); return body }
}

// replace changes Signature-Input, for both signatures.
func replace(r *http.Request, from, to string) {
	r.Header.Set("Signature-Input", strings.ReplaceAll(r.Header.Get("Signature-Input"), from, to))
}

// append1 adds a parameter to the first signature and takes the second one's ID
// away.
func append1(r *http.Request, parameter string) {
	replace(r, `;keyid="a"`, `;keyid="a"`+parameter)
	replace(r, `"b"`, `"?"`)
}

func created(r *http.Request) string {
	_, rest, _ := strings.Cut(r.Header.Get("Signature-Input"), "created=")
	digits, _, _ := strings.Cut(rest, ";")
	return digits
}

// flip changes a bit in each signature.
func flip(r *http.Request, at int) {
	parts := strings.Split(r.Header.Get("Signature"), ", ")
	for i, part := range parts {
		b := []byte(part)
		if b[at]++; !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", rune(b[at])) {
			b[at] = 'A'
		}
		parts[i] = string(b)
	}
	r.Header.Set("Signature", strings.Join(parts, ", "))
}

func TestTampering(t *testing.T) {
	t.Parallel()
	s := newScheme(t, newKey(t, "a", signer.GenerateSecret()), httpsig.WithKey(newKey(t, "b", signer.GenerateSigningKey())))
	sent := signedAt(t, s, time.Now())
	_, err := s.Verify(received(t, sent), testBody)
	require.NoError(t, err)
	for _, c := range tampering {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := received(t, sent)
			body := c.do(r, append([]byte(nil), testBody...))
			verified, err := s.Verify(r, body)
			require.ErrorIs(t, err, c.want)
			require.ErrorIs(t, err, signer.ErrUnverified)
			require.Zero(t, verified)
		})
	}
}

// Each header is needed, and needed once.
func TestEachHeaderExactlyOnce(t *testing.T) {
	t.Parallel()
	s := newScheme(t, newKey(t, "a", signer.GenerateSecret()))
	sent := signedAt(t, s, time.Now())
	for _, name := range []string{"Signature", "Signature-Input", "Content-Digest", "Content-Type", "Webhook-Id"} {
		r := received(t, sent)
		r.Header.Add(name, r.Header.Get(name))
		_, err := s.Verify(r, testBody)
		require.ErrorIs(t, err, signer.ErrMalformed, name)
		r = received(t, sent)
		r.Header.Del(name)
		_, err = s.Verify(r, testBody)
		require.ErrorIs(t, err, signer.ErrMissingHeader, name)
	}
}

// handmade signs as another implementation might, with its own choice of
// components and parameters and a correct MAC.
func handmade(t *testing.T, secret signer.Secret, components []string, params, digest string) *http.Request {
	t.Helper()
	r := outgoing(t, testURL)
	r.Header.Set("Webhook-Id", testID)
	r.Header.Set("Content-Digest", digest)
	r.Header.Set("Date", "Tue, 20 Apr 2021 02:07:55 GMT")
	for i := range 28 {
		r.Header.Set(fmt.Sprintf("X-%d", i), "x")
	}
	values := map[string]string{
		"@method": r.Method, "@target-uri": testURL, "@authority": "hooks.example.com", "@path": "/deploy",
		"@query": "?env=prod&app=h%C3%A9", "@scheme": "https",
	}
	var base, list strings.Builder
	for i, name := range components {
		value, derived := values[name]
		if !derived {
			value = r.Header.Get(name)
		}
		fmt.Fprintf(&base, "%q: %s\n", name, value)
		fmt.Fprintf(&list, "%s%q", " "[:min(i, 1)], name)
	}
	input := "(" + list.String() + ")" + params
	fmt.Fprintf(&base, "%q: %s", "@signature-params", input)
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret.Reveal(), "whsec_"))
	require.NoError(t, err)
	mac := hmac.New(sha256.New, raw)
	mac.Write([]byte(base.String()))
	r.Header.Set("Signature-Input", "other="+input)
	r.Header.Set("Signature", "other=:"+base64.StdEncoding.EncodeToString(mac.Sum(nil))+":")
	r = received(t, r)
	r.TLS = &tls.ConnectionState{}
	return r
}

// Differences that the standard permits to other senders verify. A signature
// without a required part is refused although its MAC is correct.
func TestOtherSenders(t *testing.T) {
	t.Parallel()
	secret := signer.GenerateSecret()
	s := newScheme(t, newKey(t, "a", secret))
	sum, sum512 := sha256.Sum256(testBody), sha512.Sum512(testBody)
	digest := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	digest512 := "sha-512=:" + base64.StdEncoding.EncodeToString(sum512[:]) + ":"
	now := time.Now().Unix()
	params := fmt.Sprintf(`;created=%d;keyid="a"`, now)
	all := []string{"webhook-id", "content-digest", "content-type", "@target-uri", "@method"}
	without := func(name string) []string {
		var rest []string
		for _, c := range all {
			if c != name {
				rest = append(rest, c)
			}
		}
		return append(rest, "date")
	}
	more := append([]string(nil), all...)
	for i := range 28 {
		more = append(more, fmt.Sprintf("x-%d", i))
	}
	for name, c := range map[string]struct {
		components     []string
		params, digest string
		want           error
	}{
		"another order":          {all, params, digest, nil},
		"more components":        {append([]string{"@authority", "@path", "@query", "@scheme", "date"}, all...), params, digest, nil},
		"32 components":          {more[:32], params, digest, nil},
		"33 components":          {more, params, digest, signer.ErrMalformed},
		"a name in capitals":     {append([]string{"DATE"}, all...), params, digest, signer.ErrMalformed},
		"all parameters":         {all, fmt.Sprintf(`;keyid="a";tag="t";nonce="n";alg="hmac-sha256";expires=%d;created=%d`, now+60, now), digest, nil},
		"two digests":            {all, params, digest512 + ", " + digest, nil},
		"without @method":        {without("@method"), params, digest, signer.ErrMalformed},
		"without @target-uri":    {without("@target-uri"), params, digest, signer.ErrMalformed},
		"without content-type":   {without("content-type"), params, digest, signer.ErrMalformed},
		"without content-digest": {without("content-digest"), params, digest, signer.ErrMalformed},
		"without webhook-id":     {without("webhook-id"), params, digest, signer.ErrMalformed},
		"nothing covered":        {nil, params, digest, signer.ErrMalformed},
		"expired":                {all, fmt.Sprintf(`;created=%d;expires=%d;keyid="a"`, now-60, now-2), digest, signer.ErrTooOld},
		"expires of no kind":     {all, params + `;expires="never"`, digest, signer.ErrMalformed},
		"alg of another kind":    {all, params + `;alg="ed25519"`, digest, signer.ErrMalformed},
		"alg as a token":         {all, params + `;alg=hmac-sha256`, digest, signer.ErrMalformed},
		"no created":             {all, `;keyid="a"`, digest, signer.ErrMalformed},
		"no keyid":               {all, fmt.Sprintf(`;created=%d`, now), digest, signer.ErrNoMatch},
		"only sha-512":           {all, params, digest512, signer.ErrMalformed},
		"digest short":           {all, params, "sha-256=:AAAA:", signer.ErrMalformed},
		"digest a string":        {all, params, `sha-256="x"`, signer.ErrMalformed},
		"digest with parameter":  {all, params, digest + ";x", signer.ErrMalformed},
		"digest twice":           {all, params, digest + ", " + digest, signer.ErrMalformed},
		"digest of another body": {all, params, "sha-256=:" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + ":", signer.ErrNoMatch},
		"digest no dictionary":   {all, params, "?", signer.ErrMalformed},
		"unknown parameter":      {all, params + ";x=1", digest, signer.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			verified, err := s.Verify(handmade(t, secret, c.components, c.params, c.digest), testBody)
			require.ErrorIs(t, err, c.want)
			if c.want == nil {
				require.Equal(t, signer.Verified{ID: testID, Timestamp: time.Unix(now, 0), Key: "a"}, verified)
			}
		})
	}
}

// Everyone knows a public key, so it must not work as an HMAC key.
func TestKeyConfusion(t *testing.T) {
	t.Parallel()
	signing := signer.GenerateSigningKey()
	public := strings.TrimPrefix(signing.VerifyingKey().String(), "whpk_")
	confused, err := signer.ParseSecret("whsec_" + public)
	require.NoError(t, err)
	s := newScheme(t, newKey(t, "a", signing.VerifyingKey()))
	_, err = s.Verify(received(t, signedAt(t, newScheme(t, newKey(t, "a", confused)), time.Now())), testBody)
	require.ErrorIs(t, err, signer.ErrNoMatch)
}

// A text can be read as a literal secret or as base64. These are two different
// keys, as in package signer.
func TestLiteralAndStandardSecretDiffer(t *testing.T) {
	t.Parallel()
	standard := signer.GenerateSecret()
	literal, err := signer.NewLiteralSecret(standard.Reveal())
	require.NoError(t, err)
	r := received(t, signedAt(t, newScheme(t, newKey(t, "a", literal)), time.Now()))
	_, err = newScheme(t, newKey(t, "a", standard)).Verify(r, testBody)
	require.ErrorIs(t, err, signer.ErrNoMatch)
	_, err = newScheme(t, newKey(t, "a", literal)).Verify(r, testBody)
	require.NoError(t, err)
}
