package chat_test

import (
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/internal/chat"
	"github.com/deployhook/deployhook/sender/internal/formattest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func amp(_, r rune) string {
	if r == '&' {
		return "&amp;"
	}
	return ""
}

func TestCut(t *testing.T) {
	t.Parallel()
	family, flag, thumb := "👩‍👩‍👧‍👦", "🇩🇪", "👍🏽"
	for _, c := range []struct {
		text string
		max  int
		want string
	}{
		{"", 5, ""},
		{"abc", 0, ""},
		{"abc", -1, ""},
		{"abcde", 5, "abcde"},
		{"abcdef", 5, "abcd…"},
		{"abc def", 5, "abc…"}, // no blank before the ellipsis
		{"a&b", 7, "a&amp;b"},
		{"a&b", 6, "a…"}, // not inside the escape
		{"&&", 10, "&amp;&amp;"},
		{"&&", 9, "&amp;…"},
		{"ab👍", 4, "ab👍"},
		{"abc👍", 4, "abc…"}, // not inside a surrogate pair
		{"e\u0301e\u0301e\u0301", 5, "e\u0301e\u0301…"},
		{"e\u0301e\u0301e\u0301", 4, "e\u0301…"}, // not between letter and accent
		{family + "x", 11, "…"},
		{family + "xx", 12, family + "…"},
		{flag + flag, 5, flag + "…"},
		{flag + flag, 8, flag + flag},
		{thumb + thumb, 5, thumb + "…"},
		{thumb + thumb, 4, "…"},
		{" a\r\nb\rc\u2028d\t", 20, "a\nb\nc\nd"},
		{"x\u202ey\u2066z\x00\x1b", 20, "xyz"},
		{"a\xffb", 20, "a\uFFFDb"},
		{"abc", 1, "…"},
		{"\r\n\r\nx", 1, "x"},
		{strings.Repeat("\u0336", 200), 3, "…"},
		{"x" + strings.Repeat("\x00", 1000), 5, "x…"}, // what is too long to look at counts as cut
	} {
		require.Equal(t, c.want, chat.Cut(c.text, c.max, amp), "%q to %d", c.text, c.max)
	}
}

// For any text the result is valid, within the limit by every way of counting,
// and ends with an ellipsis if it is shorter.
func TestCutHostile(t *testing.T) {
	t.Parallel()
	for name, text := range formattest.Hostile() {
		for _, limit := range []int{1, 2, 3, 7, 75, 150, 3000} {
			got := chat.Cut(text, limit, amp)
			require.True(t, utf8.ValidString(got), name)
			require.LessOrEqual(t, len(utf16.Encode([]rune(got))), limit, name)
			whole := chat.Cut(text, 1<<30, amp)
			if got != whole {
				require.True(t, strings.HasSuffix(got, "…"), name)
				require.True(t, strings.HasPrefix(whole, strings.TrimSuffix(got, "…")), name)
			}
		}
	}
}

// An escape learns where a number begins a line, which makes it a list in
// Markdown.
func TestAfterNumber(t *testing.T) {
	t.Parallel()
	mark := func(before, r rune) string {
		if before == chat.AfterNumber {
			return "<" + string(r) + ">"
		}
		return ""
	}
	for text, want := range map[string]string{
		"7. a\n12) b":      "7<.> a\n12<)> b",
		"a\n  3. b":        "a\n  3<.> b",
		"a 7. b\nv2. 3. c": "a 7. b\nv2. 3. c",
		"2.1.0":            "2.1.0",
		"7.\nx\n7.":        "7<.>\nx\n7<.>",
		"7\n.":             "7\n.",
	} {
		require.Equal(t, want, chat.Cut(text, 100, mark), text)
	}
}

// The password of an address that is shown as a text stays out, too.
func TestHealthCheckShowsNoPassword(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://probe:hunter2@10.0.0.1/health?x=1": "https://10.0.0.1/health?x=1",
		"https://10.0.0.1/health":                   "https://10.0.0.1/health",
		"/health":                                   "/health",
		"tcp://db:5432 or so":                       "tcp://db:5432 or so",
	} {
		e := formattest.Events()["health_check_passed"]
		e.HealthCheck = &payload.HealthCheck{URL: raw}
		facts := chat.Facts(e, nil)
		require.Contains(t, facts, chat.Fact{Label: "Health check", Value: want})
	}
}

func TestLink(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://shop.example/a?b=c&d=e#f":                 "https://shop.example/a?b=c&d=e#f",
		"http://shop.example":                              "http://shop.example",
		"https://user:secret@shop.example/":                "https://shop.example/",
		"https://good.example@evil.example":                "https://evil.example",
		"https://shop.example/ä b":                         "https://shop.example/%C3%A4%20b",
		"https://shop.example/?q=<x>":                      "",
		"https://bücher.example/":                          "",
		"javascript:alert(1)":                              "",
		"JavaScript://shop.example/%0aa()":                 "",
		"data:text/html,x":                                 "",
		"slack://open":                                     "",
		"//shop.example/":                                  "",
		"/path":                                            "",
		"https:///path":                                    "",
		"https://:443/":                                    "",
		"https://shop.example:70000/":                      "",
		"https://shop.example:0/":                          "",
		"https://shop.example:8443/":                       "https://shop.example:8443/",
		"https://shop..example/":                           "",
		"https://./":                                       "",
		"https://shop$x.example/":                          "",
		"https://shop_x.example./":                         "https://shop_x.example./",
		"http://localhost:8080/":                           "http://localhost:8080/",
		"http://10.0.0.1/":                                 "http://10.0.0.1/",
		"http://[2001:db8::1]:80/":                         "http://[2001:db8::1]:80/",
		"http://[fe80::1%25eth0]/":                         "",
		"https://" + strings.Repeat("x", 64) + ".example/": "",
		"": "",
		"https://shop.example/" + strings.Repeat("x", 3000): "",
	} {
		require.Equal(t, want, chat.Link(raw, 2048), raw)
	}
}

// A health check's address may be any text. Its password is never shown, even
// if the rest is no URL.
func TestHealthCheckThatIsNoURLShowsNoPassword(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"https://u:c4n4ry@shop.example/health", "https://u:c4n4ry@[::1", "http://u:c4n4ry@shop.example:port/%zz", "u:c4n4ry@shop.example",
		"GET https://shop.example, then https://c4n4ry@shop.example", "https://shop.example/health?token=c4n4ry",
	} {
		facts := chat.Facts(&payload.Event{HealthCheck: &payload.HealthCheck{URL: address}}, nil)
		require.Len(t, facts, 1)
		require.NotContains(t, facts[0].Value, "c4n4ry")
		require.NotEmpty(t, facts[0].Value)
	}
}
