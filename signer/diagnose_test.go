package signer_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
)

// A hint considers the first four secrets. Ed25519 keys do not count.
func TestDiagnosis_TriesFourSecrets(t *testing.T) {
	t.Parallel()
	var secrets []signer.Key
	for range 6 {
		secrets = append(secrets, signer.GenerateSecret())
	}
	mixed := []signer.Key{signer.GenerateSigningKey(), secrets[0], secrets[1]}
	for _, c := range []struct {
		keys      []signer.Key
		sender    int
		explained bool
	}{
		{secrets, 0, true},
		{secrets, 3, true},
		{secrets, 4, false},
		{secrets, 5, false},
		{mixed, 1, true},
		{mixed, 2, true},
	} {
		var opts []signer.Option
		for _, key := range c.keys[1:] {
			opts = append(opts, signer.WithKey(key))
		}
		r := signed(t, standard(t, c.keys[c.sender]), "whk_1", time.Now(), []byte(`{"a":1}`))
		_, err := standard(t, c.keys[0], opts...).Verify(r, []byte(`{"a": 1}`))
		require.ErrorIs(t, err, signer.ErrNoMatch)
		if c.explained {
			require.ErrorContains(t, err, "compacted", c.sender)
		} else {
			require.NotContains(t, err.Error(), "compacted", c.sender)
		}
	}
}

// The first body was signed, and the second one arrives.
func TestDiagnosis_NamesTheReencoding(t *testing.T) {
	t.Parallel()
	const plain = `{"a":"façade 🚀","b":"x/y"}`
	const escaped = `{"a":"fa\u00e7ade \ud83d\ude80","b":"x/y"}`
	const spaced = `{"a": "fa\u00e7ade \ud83d\ude80", "b": "x/y"}`
	key := signer.GenerateSecret()
	for name, c := range map[string]struct{ signed, received, says string }{
		"escapes arrive":             {plain, escaped, `its JSON escapes (\u00e7) became characters`},
		"characters arrive":          {escaped, plain, `its JSON characters became escapes (\u00e7)`},
		"Python signed":              {spaced, plain, `blanks after commas and colons and its characters became escapes (\u00e7)`},
		"Python re-encoded":          {plain, spaced, `compacted and its escapes (\u00e7) became characters`},
		"PHP signed":                 {strings.ReplaceAll(escaped, "/", `\/`), plain, `slashes and characters became escapes (\/, \u00e7)`},
		"PHP re-encoded":             {plain, strings.ReplaceAll(escaped, "/", `\/`), `escapes (\u00e7) became characters`},
		"only slashes":               {`{"b":"x/y"}`, `{"b":"x\/y"}`, `escapes (\u00e7) became characters`},
		"a byte order mark arrives":  {plain, "\ufeff" + plain, "without the byte order mark"},
		"a byte order mark was lost": {"\ufeff" + plain, plain, "with a byte order mark"},
		"not JSON, byte order mark":  {"x", "\ufeffx", "without the byte order mark"},
		"a byte order mark and more": {plain, "\ufeff" + spaced, "compacted"},
		"consecutive escapes":        {`{"a":"çé"}`, `{"a":"\u00e7\u00e9"}`, `escapes (\u00e7) became characters`},
		"every bit of a character":   {`{"a":"\u0080\u0101\u0fff\uffee"}`, "{\"a\":\"\u0080\u0101\u0fff\uffee\"}", `characters became escapes (\u00e7)`},
		"not UTF-8":                  {"{\"a\":\"\\u00e7\xff\"}", "{\"a\":\"ç\xff\"}", `characters became escapes (\u00e7)`},
		"escapes that have to stay":  {`{"a":"\u0000\u001f\u0022\u005c\"\\\/\ud800\udc00\ud83d\n"}`, `{"a":"\u0000\u001f\u0022\u005c\"\\\/\ud800\udc00\ud83d\n" }`, "compacted"},
		"only some escapes go":       {`{"a":" \u0000\u001f\u0022\u005c\"\\/\ud83dç\ud83d"}`, `{"a":"\u0020\u0000\u001f\u0022\u005c\"\\\/\ud83d\u00e7\ud83d"}`, `escapes (\u00e7) became characters`},
		"a backslash before u":       {`{"a":"\\u00e7 ç"}`, `{"a":"\\u00e7 \u00e7"}`, `escapes (\u00e7) became characters`},
		"large numbers":              {`{"a":12345678901234567890,"b":1}`, `{"b":1,"a":12345678901234567890}`, "sorted keys"},
		"blanks around text":         {`{"a": "\"x,:\"", "b\\": ":\\\",", "c": "1:2,3"}`, `{"a":"\"x,:\"","b\\":":\\\",","c":"1:2,3"}`, "blanks after commas and colons"},
		"escapes that JSON needs":    {`{"a":"\u0000\"\u0022\\\ud800"}`, `{"a": "\u0000\"\u0022\\\ud800"}`, "compacted"},
	} {
		r := signed(t, standard(t, key), "whk_1", time.Now(), []byte(c.signed))
		_, err := standard(t, key).Verify(r, []byte(c.received))
		require.ErrorIs(t, err, signer.ErrNoMatch, name)
		require.ErrorContains(t, err, c.says, name)
	}
}

// The sender's key is the secret with extra text around it.
func TestDiagnosis_NamesWhatTheSenderKeyedWith(t *testing.T) {
	t.Parallel()
	text := "a-secret-that-is-given-to-both"
	ours := literalSecret(t, text)
	for theirs, says := range map[string]string{
		text + "\n": "a line end follows the secret", text + "\r\n": "a line end (CR LF) follows", `"` + text + `"`: "quotation marks", "\ufeff" + text: "byte order mark",
	} {
		r := request(nil)
		hand(r, theirs, "%d.", "{}")
		signature := must[[]byte](t)(base64.StdEncoding.DecodeString(strings.TrimPrefix(r.Header.Get("Webhook-Signature"), "v1,")))
		r.Header.Set("X-Webhook-Timestamp", r.Header.Get("Webhook-Timestamp"))
		r.Header.Set("X-Webhook-Signature", hex.EncodeToString(signature))
		_, err := timestamped(t, ours).Verify(r, []byte("{}"))
		require.ErrorIs(t, err, signer.ErrNoMatch)
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), text)
	}
	for theirs, says := range map[string]string{
		strings.TrimPrefix(specSecret, "whsec_"): "text after whsec_ is the key", string(must[[]byte](t)(base64.StdEncoding.DecodeString(strings.TrimPrefix(specSecret, "whsec_")))): "decoded from base64",
	} {
		s := must[*signer.Stripe](t)(signer.NewStripe(literalSecret(t, specSecret)))
		_, err := s.Verify(signed(t, stripeOf{theirs}, "whk_1", time.Now(), []byte("{}")), []byte("{}"))
		require.ErrorIs(t, err, signer.ErrNoMatch)
		require.ErrorContains(t, err, says)
	}
	for theirs, says := range map[string]string{
		specSecret + "\n": "a line end follows the secret", strings.TrimPrefix(specSecret, "whsec_") + "\n": "after whsec_ and a line end",
	} {
		r := request(nil)
		hand(r, theirs, "whk_1.%d.", "{}")
		_, err := standard(t, secret(t, specSecret)).Verify(r, []byte("{}"))
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), strings.TrimPrefix(specSecret, "whsec_"))
	}
}

// The benchmark measures one diagnosis of a body in which every character has
// another JSON spelling. A scheme makes at most one diagnosis a second.
func BenchmarkDiagnosis(b *testing.B) {
	for name, size := range map[string]int{"16KiB": 8 << 10, "64KiB": 60 << 10} {
		body := []byte(`["` + strings.Repeat("\u00e9", size/2) + `"]`)
		r := signed(b, standard(b, signer.GenerateSecret()), benchID, time.Now(), body)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				fresh := standard(b, signer.GenerateSecret()) // which has not diagnosed in this second
				_, _ = fresh.Verify(r, body)
			}
		})
	}
}

// The error tells the operator what would have matched. With WithoutDiagnosis
// nothing is computed.
func TestDiagnosis(t *testing.T) {
	t.Parallel()
	body := `{"b": 1, "a": "x,: \" y"}`
	std := secret(t, specSecret)
	for _, c := range []struct {
		name string
		sign func(r *http.Request, s *signer.Standard) // what the peer did
		says string
	}{
		{"compacted", func(r *http.Request, s *signer.Standard) {
			require.NoError(t, s.Sign(r.Context(), r, "whk_1", time.Now(), []byte(`{"b":1,"a":"x,: \" y"}`)))
		}, "compacted"},
		{"indented", func(r *http.Request, s *signer.Standard) {
			require.NoError(t, s.Sign(r.Context(), r, "whk_1", time.Now(), []byte("{\n  \"b\": 1,\n  \"a\": \"x,: \\\" y\"\n}")))
		}, "indented"},
		{"sorted", func(r *http.Request, s *signer.Standard) {
			require.NoError(t, s.Sign(r.Context(), r, "whk_1", time.Now(), []byte(`{"a":"x,: \" y","b":1}`)))
		}, "sorted keys"},
		{"line end", func(r *http.Request, s *signer.Standard) {
			require.NoError(t, s.Sign(r.Context(), r, "whk_1", time.Now(), []byte(body+"\n")))
		}, "line end"},
		{"secret not decoded", func(r *http.Request, _ *signer.Standard) {
			hand(r, specSecret, "whk_1.%d.", body)
		}, "not decoded from base64"},
		{"secret without prefix, not decoded", func(r *http.Request, _ *signer.Standard) {
			hand(r, strings.TrimPrefix(specSecret, "whsec_"), "whk_1.%d.", body)
		}, "not decoded from base64"},
		{"ID not signed", func(r *http.Request, s *signer.Standard) {
			raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(specSecret, "whsec_"))
			hand(r, string(raw), "%d.", body)
		}, `only "timestamp.body" is signed`},
		{"another scheme is there", func(r *http.Request, s *signer.Standard) {
			require.NoError(t, s.Sign(r.Context(), r, "whk_1", time.Now(), []byte("other")))
			r.Header.Set("Stripe-Signature", "t=1")
		}, "carries Stripe-Signature"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := standard(t, std)
			r := request([]byte(body))
			c.sign(r, s)
			_, err := s.Verify(r, []byte(body))
			require.ErrorIs(t, err, signer.ErrNoMatch)
			require.ErrorContains(t, err, c.says)
			require.NotContains(t, err.Error(), strings.TrimPrefix(specSecret, "whsec_"))

			blind := standard(t, std, signer.WithoutDiagnosis())
			_, err = blind.Verify(r, []byte(body))
			require.ErrorIs(t, err, signer.ErrNoMatch)
			require.NotContains(t, err.Error(), c.says)
		})
	}
}

func TestDiagnosisOfAMissingHeaderNamesTheOtherScheme(t *testing.T) {
	t.Parallel()
	r := request(nil)
	r.Header.Set("X-Hub-Signature-256", "sha256=00")
	_, err := standard(t, signer.GenerateSecret()).Verify(r, nil)
	require.ErrorIs(t, err, signer.ErrMissingHeader)
	require.ErrorContains(t, err, "X-Hub-Signature-256")
}

// A flood of forgeries is diagnosed once a second, and large bodies never.
func TestDiagnosisIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := standard(t, signer.GenerateSecret())
		r := signed(t, s, "whk_1", time.Now(), []byte(`{"a":1}`))
		hinted := func(body string) bool {
			_, err := s.Verify(r, []byte(body))
			require.ErrorIs(t, err, signer.ErrNoMatch)
			return strings.Contains(err.Error(), "compacted")
		}
		require.True(t, hinted(`{"a": 1}`))
		require.False(t, hinted(`{"a": 1}`))
		time.Sleep(time.Second)
		require.False(t, hinted(`{"a": 1`+strings.Repeat(" ", 64<<10)+`}`))
		require.True(t, hinted(`{"a": 1}`))
	})
}

// hand signs as a sender does that has the wrong secret or content. form
// contains %d for the time.
func hand(r *http.Request, key, form, body string) {
	now := time.Now().Unix()
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, form, now)
	io.WriteString(mac, body)
	r.Header.Set("Webhook-Id", "whk_1")
	r.Header.Set("Webhook-Timestamp", strconv.FormatInt(now, 10))
	r.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// An attacker can send a body whose re-encoding is large or slow. Such a body
// is not re-encoded, for whatever reason it is expensive.
func TestDiagnosis_OfAnExpensiveBodyIsCheap(t *testing.T) {
	var members strings.Builder
	for i := range 6000 {
		fmt.Fprintf(&members, `"%x":1,`, i*7919%10007)
	}
	for name, body := range map[string]string{
		"deep":           strings.Repeat("[", 9999) + "1" + strings.Repeat(",1", 20_000) + strings.Repeat("]", 9999),
		"31 levels":      strings.Repeat("[", 31) + "1" + strings.Repeat(",1", 30_000) + strings.Repeat("]", 31),
		"deep and short": strings.Repeat("[", 1000) + "1" + strings.Repeat("]", 1000),
		"small objects":  "[" + strings.Repeat("{},", 21_000) + "{}]",
		"many members":   "{" + members.String() + `"z":1}`,
	} {
		s := standard(t, signer.GenerateSecret())
		compacted := signed(t, s, "whk_1", time.Now(), []byte(body))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := s.Verify(compacted, []byte(body+" "))
		runtime.ReadMemStats(&after)
		require.ErrorIs(t, err, signer.ErrNoMatch, name)
		require.NotContains(t, err.Error(), "JSON", name)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20), name)
	}
}

// A large webhook is still re-encoded.
func TestDiagnosis_OfALargeBody(t *testing.T) {
	t.Parallel()
	entry := `{"id":1234567890,"name":"build","url":"https://ci.example/acme/shop/-/jobs/1234567890","started_at":"2026-03-12T14:25:02Z","tags":["linux","docker"]}`
	body := "[" + strings.Repeat(entry+",", 400) + entry + "]"
	s := standard(t, signer.GenerateSecret())
	r := signed(t, s, "whk_1", time.Now(), []byte(body))
	_, err := s.Verify(r, []byte("["+strings.Repeat(entry+", ", 400)+entry+"]"))
	require.ErrorIs(t, err, signer.ErrNoMatch)
	require.ErrorContains(t, err, "compacted")
}

// stripeOf is a sender that has another key than the receiver.
type stripeOf struct{ key string }

func (s stripeOf) Sign(_ context.Context, r *http.Request, _ string, at time.Time, body []byte) error {
	mac := hmac.New(sha256.New, []byte(s.key))
	fmt.Fprintf(mac, "%d.%s", at.Unix(), body)
	r.Header.Set("Stripe-Signature", fmt.Sprintf("t=%d,v1=%x", at.Unix(), mac.Sum(nil)))
	return nil
}
