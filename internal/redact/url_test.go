package redact_test

import (
	"encoding/json"
	"fmt"
	"html"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/redact"
)

func parse(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	require.NoError(t, err)
	return u
}

func TestURL_HidesEachPartInEachEncoding(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ url, in, want string }{
		{"https://h.example/services/T00000000/xyz", "no team T00000000!", "no team *********!"},
		{"https://h.example/services/T00000000/xyz", "no T00000000/xyz", "no *************"},
		{"https://h.example/hooks/hunterxy", "what is hunterxy?", "what is ********?"},
		{
			"https://h.example/hooks/s3cr%2Ft-key", `s3cr%2Ft-key s3cr/t-key s3cr\/t-key s3cr&#x2F;t-key s3cr%252ft-key`,
			"************ ********** *********** *************** **************",
		},
		{
			"https://h.example/a?x=abcd%2Befgh", "abcd+efgh abcd%2Befgh abcd%2befgh abcd&plus;efgh abcd efgh",
			"********* *********** *********** ************** *********",
		},
		{"https://h.example/a?token=abcd", `{"t":"abcd"}`, `{"t":"****"}`},
		{"https://h.example/a?SECRETKEY", "of secretkey", "of *********"},
		{"https://h.example/bot123456:AAFxyz1234/send", "token AAFxyz1234 of 123456", "token ********** of 123456"},
		{"https://h.example/ab/cd/ef/gh", "POST ab/cd/ef/gh", "POST ***********"},
		{"https://h.example/k/%C3%A9clair-9", `\u00e9clair-9 &eacute;clair-9 éclair-9`, "************* *************** *********"},
		{"https://h.example/k/%F0%9F%98%80-key-key", `\ud83d\ude00-key-key`, "********************"},
		{"https://h.example/k/quoted-%22-key", `"\u0071uoted-\"-key"`, `"******************"`},
		{"https://h.example/k/abcdefg9", "100%abcdefg9", "100%********"},

		// Common and short words stay.
		{"https://h.example/api/v1/hooks/webhooks", "the api v1 has no webhooks", "the api v1 has no webhooks"},
		{"https://h.example/incoming-webhook", "no incoming-webhook", "no incoming-webhook"},
		{"https://h.example/connection/deploy", "connection refused", "connection refused"},
		{"https://h.example", "a text", "a text"},
		{"https://h.example/hunterxy", "", ""},
	} {
		got := redact.NewURL(parse(t, test.url)).Text(test.in)
		assert.Equal(t, test.want, got, test.url)
		assert.Equal(t, got != test.in, redact.NewURL(parse(t, test.url)).In(redact.NewRoom(), test.in))
	}
}

// A text may end in the middle of a secret, and in the middle of an escape.
func TestURL_HidesTheBeginningAtACutEnd(t *testing.T) {
	t.Parallel()
	hides := redact.NewURL(parse(t, "https://h.example/hooks/s3cr%2Ft-key"))
	for in, want := range map[string]string{
		"got s3cr":         "got ****",
		"got s3cr%":        "got *****",
		"got s3cr%2":       "got ******",
		`got s3cr\u00`:     "got ********",
		"got s3cr&#x2":     "got ********",
		"got s3cr%25252":   "got **********",
		`got s3cr\`:        "got *****",
		"got s3cr%2Ft-ke":  "got ***********",
		"got s3":           "got s3",
		"got s3cr and":     "got s3cr and",
		"got 100%":         "got 100%",
		"POST /hooks/s3cr": "POST ***********",
	} {
		text := []byte(in)
		hides.Hide(redact.NewRoom(), text, true)
		assert.Equal(t, want, string(text), in)
		text = []byte(in)
		hides.Hide(redact.NewRoom(), text, false)
		if strings.Contains(in, "t-key") {
			continue
		}
		assert.Equal(t, in, string(text), "it is whole")
	}
}

// encoders encode a text in every way in which an answer may repeat it. Each
// may escape any character.
var encoders = []func(r *rand.Rand, s string) string{
	func(_ *rand.Rand, s string) string { return s },
	func(_ *rand.Rand, s string) string { return url.QueryEscape(s) },
	func(_ *rand.Rand, s string) string { return url.PathEscape(s) },
	func(_ *rand.Rand, s string) string { return html.EscapeString(s) },
	func(_ *rand.Rand, s string) string { return strings.ReplaceAll(s, "/", `\/`) },
	func(_ *rand.Rand, s string) string {
		text, _ := json.Marshal(s) // a string can be marshalled
		return string(text[1 : len(text)-1])
	},
	func(r *rand.Rand, s string) string { return each(r, s, "%%%02x") },
	func(r *rand.Rand, s string) string { return each(r, s, "%%%02X") },
	func(r *rand.Rand, s string) string { return each(r, s, `\u%04x`) },
	func(r *rand.Rand, s string) string { return each(r, s, `\x%02X`) },
	func(r *rand.Rand, s string) string { return each(r, s, "&#%d;") },
	func(r *rand.Rand, s string) string { return each(r, s, "&#X%x;") },
	func(_ *rand.Rand, s string) string {
		return strings.Map(func(r rune) rune {
			if 'a' <= r && r <= 'z' {
				r += 'A' - 'a'
			}
			return r
		}, s)
	},
}

// each escapes some of the ASCII characters, and the character that begins such
// an escape. Like real encoders it treats equal characters alike. No real
// encoder escapes a JSON string with escapes of the same kind.
func each(r *rand.Rand, s, format string) string {
	if format[0] == '\\' && strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	chosen := r.Uint64() & r.Uint64()
	for i := range len(s) {
		if s[i] == format[0] || s[i] < 0x80 && chosen>>(s[i]%64)&1 == 1 {
			fmt.Fprintf(&b, format, s[i])
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// TestURL_Canary puts a canary into every place of a URL. An answer then
// repeats each part in every encoding, as a whole and cut.
func TestURL_Canary(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	room := redact.NewRoom()
	for range *cases {
		canary := "c4n4ry" + pick("-7q", "%2F7q", "%2B7q", "%25q7", "%3D7q", "+7q", ".7q", "%227q", "~7q", "%C3%A97q", "%267q")
		path := pick("", "/a", "/api/v1", "/services") + pick("/", "/T0000/", "/bot1:") + canary + pick("", "/", "/send", "/x/y")
		query := ""
		if r.IntN(2) == 0 {
			path, query = pick("/", "/a", "/deploy/hook"), pick("?", "?a=1&", "?x=")
			query += pick("", "token=", "k=", "a;b=") + canary + pick("", "&z=1", ";z")
		}
		u := parse(t, "https://h.example"+path+query)
		part := pick(canary, u.EscapedPath()+"?"+u.RawQuery, u.String(), strings.TrimPrefix(u.RequestURI(), "/"))
		if raw, err := url.PathUnescape(part); err == nil && r.IntN(2) == 0 {
			part = raw
		}
		for range r.IntN(4) {
			part = encoders[r.IntN(len(encoders))](r, part)
		}
		before := pick("", "got ", `{"path":"`, "<b>", "x=", "\n", "é", "//")
		text := []byte(before + part + pick("", " there", `"}`, "</b>", "&b", "\n"))
		whole := string(text)
		redact.NewURL(u).Hide(room, text, false)
		require.Len(t, text, len(whole))
		require.Regexp(t, `\*{8}`, string(text), "%s: %q", u, whole)
		requireNoCanary(t, u, whole, string(text))

		end := len(before) + r.IntN(len(part)+1)
		text = []byte(whole[:end])
		redact.NewURL(u).Hide(room, text, true)
		requireNoCanary(t, u, whole[:end], string(text))
	}
}

// requireNoCanary looks for the canary with decoders other than those of the
// package.
func requireNoCanary(t *testing.T, u *url.URL, in, text string) {
	t.Helper()
	for level := text; ; {
		require.NotContains(t, strings.ToLower(level), "c4n4", "%s: %q became %q", u, in, text)
		next := html.UnescapeString(level)
		if unescaped, err := url.PathUnescape(next); err == nil {
			next = unescaped
		}
		next = strings.NewReplacer(`\u00`, "%", `\x`, "%").Replace(next)
		if next == level {
			return
		}
		level = next
	}
}

// Other secrets are hidden in the same encodings, and the Room forgets them.
func TestURL_OtherSecrets(t *testing.T) {
	t.Parallel()
	hides, room := redact.NewURL(parse(t, "https://h.example/")), redact.NewRoom()
	text := []byte(`key+of/them key\u002bof\/them KEY%2Bof%2fthem`)
	hides.Hide(room, text, false, "key+of/them")
	assert.Equal(t, "*********** ***************** ***************", string(text))
	assert.True(t, hides.In(room, "key%20of/them", "key of/them"))
	assert.False(t, hides.In(room, "key+of/them"), "of the call before")
}

// A text without an escape costs no allocation.
func TestURL_AllocatesNothing(t *testing.T) {
	hides, room := redact.NewURL(parse(t, "https://h.example/hooks/abcdefgh1")), redact.NewRoom()
	text := []byte(`{"received":true}`)
	assert.Zero(t, testing.AllocsPerRun(100, func() { hides.Hide(room, text, false, "Some-Api-Key") }))
	assert.Zero(t, testing.AllocsPerRun(100, func() { hides.In(room, "Thu, 12 Mar 2026 14:22:01 GMT", "Some-Api-Key") }))
}

func FuzzURL(f *testing.F) {
	for _, seed := range []string{"", "%", "%25", `\u`, `\ud83d\u`, "&", "&#", "&#x;", "+%u", "%2525", "&amp;#47;", `\\/`, "&#1114112;"} {
		f.Add("https://h.example/hooks/c4n4ry-7q?token=c4n4ry", seed)
	}
	f.Fuzz(func(t *testing.T, link, text string) {
		u, err := url.Parse(link)
		if err != nil {
			return
		}
		hides, room := redact.NewURL(u), redact.NewRoom()
		for _, cut := range []bool{false, true} {
			hidden := []byte(text)
			hides.Hide(room, hidden, cut)
			require.Len(t, hidden, len(text))
			require.True(t, cut || string(hidden) == text || hides.In(room, text))
		}
	})
}
