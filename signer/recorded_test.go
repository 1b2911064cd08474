package signer_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
)

// A request that was recorded long ago is judged at the time of its arrival,
// and so are the ends of keys.
func TestInsecureAt(t *testing.T) {
	t.Parallel()
	arrived := time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)
	body := []byte(`{"a":1}`)
	std, lit := signer.GenerateSecret(), signer.GenerateLiteralSecret()
	for name, build := range map[string]func(opts ...signer.Option) (signer.Verifier, error){
		"Standard": func(opts ...signer.Option) (signer.Verifier, error) {
			return signer.NewStandard(signer.GenerateSecret(), append(opts, signer.WithKey(std.NotAfter(arrived.Add(time.Minute))))...)
		},
		"Timestamped": func(opts ...signer.Option) (signer.Verifier, error) {
			return signer.NewTimestamped(signer.GenerateLiteralSecret(), append(opts, signer.WithKey(lit.NotAfter(arrived.Add(time.Minute))))...)
		},
		"Stripe": func(opts ...signer.Option) (signer.Verifier, error) {
			return signer.NewStripe(signer.GenerateLiteralSecret(), append(opts, signer.WithKey(lit.NotAfter(arrived.Add(time.Minute))))...)
		},
	} {
		sending := map[string]signer.Signer{
			"Standard": standard(t, std), "Timestamped": timestamped(t, lit), "Stripe": must[*signer.Stripe](t)(signer.NewStripe(lit)),
		}
		r := signed(t, sending[name], "whk_1", arrived, body)
		for _, c := range []struct {
			at   time.Time
			want error
		}{
			{arrived, nil},
			{arrived.Add(-6 * time.Minute), signer.ErrTooNew},
			{arrived.Add(6 * time.Minute), signer.ErrTooOld},
			{arrived.Add(2 * time.Minute), signer.ErrNoMatch}, // the key has ended
		} {
			v, err := build(signer.InsecureAt(c.at))
			require.NoError(t, err)
			_, err = v.Verify(r, body)
			require.ErrorIs(t, err, c.want, "%s %v", name, c.at)
		}
		v, err := build()
		require.NoError(t, err)
		_, err = v.Verify(r, body)
		require.ErrorIs(t, err, signer.ErrTooOld, name)
		_, err = build(signer.InsecureAt(time.Time{}))
		require.ErrorIs(t, err, signer.ErrConfig)
		require.ErrorContains(t, err, "InsecureAt: the time is zero")
	}
	// GitHub signs no time, but its keys end.
	hub, err := signer.NewGitHub(signer.GenerateLiteralSecret(), signer.WithKey(lit.NotAfter(arrived)), signer.InsecureAt(arrived))
	require.NoError(t, err)
	r := request(nil)
	r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(macOf(lit.Reveal(), string(body))))
	_, err = hub.Verify(r, body)
	require.NoError(t, err)
}

// The signature has another encoding than the scheme prescribes.
func TestDiagnosis_NamesTheEncodingOfTheSignature(t *testing.T) {
	t.Parallel()
	key, lit := signer.GenerateSecret(), signer.GenerateLiteralSecret()
	mac := macOf("key", "body")
	digits := hex.EncodeToString(mac)
	text := base64.StdEncoding.EncodeToString(mac)
	hub := must[*signer.BodyOnly](t)(signer.NewGitHub(lit))
	for _, c := range []struct {
		verifier  signer.Verifier
		header    string
		signature string
		says      string
	}{
		{standard(t, key), "Webhook-Signature", "v1," + digits, "a v1 entry is hex, not padded base64"},
		{standard(t, key), "Webhook-Signature", "v1," + strings.TrimRight(text, "="), "a v1 entry is base64 without its padding"},
		{standard(t, key), "Webhook-Signature", text, "lacks the version v1 and a comma"},
		{standard(t, key), "Webhook-Signature", "v2," + text, "other versions than v1 and v1a"},
		{timestamped(t, lit), "X-Webhook-Signature", text, "it is base64"},
		{timestamped(t, lit), "X-Webhook-Signature", strings.ToUpper(digits), "it is upper-case hex"},
		{timestamped(t, lit), "X-Webhook-Signature", digits[:40], "it is hex of the length of HMAC-SHA1"},
		{timestamped(t, lit), "X-Webhook-Signature", digits + digits, "it is hex of the length of HMAC-SHA512"},
		{timestamped(t, lit), "X-Webhook-Signature", `"xyz"`, "quotation marks or blanks around it"},
		{hub, "X-Hub-Signature-256", text, "it is base64"},
		{hub, "X-Hub-Signature-256", "sha256=" + strings.ToUpper(digits), "it is upper-case hex"},
	} {
		r := request(nil)
		now := strconv.FormatInt(time.Now().Unix(), 10)
		r.Header = http.Header{"Webhook-Id": {"whk_1"}, "Webhook-Timestamp": {now}, "X-Webhook-Timestamp": {now}}
		r.Header.Set(c.header, c.signature)
		_, err := c.verifier.Verify(r, []byte("body"))
		require.ErrorIs(t, err, signer.ErrUnverified)
		require.ErrorContains(t, err, c.says)
		require.NotContains(t, err.Error(), digits)
		require.NotContains(t, err.Error(), text)
	}
	blind := standard(t, key, signer.WithoutDiagnosis())
	r := signed(t, standard(t, key), "whk_1", time.Now(), nil)
	r.Header.Set("Webhook-Signature", "v1,"+digits)
	_, err := blind.Verify(r, nil)
	require.NotContains(t, err.Error(), "hex")
}

// A gateway or a framework has put the body into another encoding.
func TestDiagnosis_NamesTheWrapping(t *testing.T) {
	t.Parallel()
	key := signer.GenerateSecret()
	lines := "{\n  \"a\": 1\n}"
	for name, c := range map[string]struct{ signed, received, says string }{
		"base64":      {lines, base64.StdEncoding.EncodeToString([]byte(lines)), "after it was decoded from base64"},
		"JSON twice":  {lines, strconv.Quote(lines), "inside the JSON string that arrived"},
		"form":        {lines, "payload=" + url.QueryEscape(lines), "of the form's field payload"},
		"form of two": {lines, "payload=" + url.QueryEscape(lines) + "&token=x", "of the form's field payload"},
		"bad form":    {lines, "payload=%zz", noHint},
		"CR LF":       {lines, strings.ReplaceAll(lines, "\n", "\r\n"), "with LF instead of CR LF"},
		"LF":          {strings.ReplaceAll(lines, "\n", "\r\n"), lines, "with CR LF instead of LF"},
		"not wrapped": {lines, `"unfinished`, noHint},
	} {
		r := signed(t, standard(t, key), "whk_1", time.Now(), []byte(c.signed))
		_, err := standard(t, key).Verify(r, []byte(c.received))
		require.ErrorIs(t, err, signer.ErrNoMatch, name)
		if c.says == noHint {
			require.True(t, strings.HasSuffix(err.Error(), "1 key(s) tried"), err)
			continue
		}
		require.ErrorContains(t, err, c.says, name)
	}
}

// noHint marks the case without a hint.
const noHint = ""

// The sender signs the body alone.
func TestDiagnosis_NamesABodyThatIsSignedAlone(t *testing.T) {
	t.Parallel()
	lit := signer.GenerateLiteralSecret()
	scheme := must[*signer.Stripe](t)(signer.NewStripe(lit))
	r := request(nil)
	r.Header.Set("Stripe-Signature", "t="+strconv.FormatInt(time.Now().Unix(), 10)+",v1="+hex.EncodeToString(macOf(lit.Reveal(), "{}")))
	_, err := scheme.Verify(r, []byte("{}"))
	require.ErrorContains(t, err, `only "body" is signed`)
}

func macOf(key, body string) []byte {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(body))
	return mac.Sum(nil)
}
