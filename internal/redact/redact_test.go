package redact_test

import (
	"flag"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/redact"
	"github.com/deployhook/deployhook/internal/seeds"
)

func TestText(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, want string }{
		{"https://user:secret@host.example/x", "https://host.example/x"},
		{"https://secret@host.example", "https://host.example"},
		{"https://a@b:secret@host.example/x", "https://host.example/x"},
		{"https://user:sec/ret@host.example/x", "https://host.example/x"},
		{"https://user:se,cr;et@host.example/x", "https://host.example/x"},
		{"see https://u:secret@host.example/x, and so on", "see https://host.example/x, and so on"},
		{"https://h.example/?next=https://u:secret@host.example/", "https://h.example/?next=https://host.example/"},
		{"[a](https://a.example)(https://u:secret@host.example)", "[a](https://a.example)(https://host.example)"},
		{"https://a.example,https://u:secret@b.example", "https://a.example,https://b.example"},
		{"https%3A%2F%2Fu%3Asecret%40host.example", "https%3A%2F%2Fhost.example"},
		{"?to=https%253A%252F%252Fu%253Asecret%2540host.example", "?to=https%253A%252F%252Fhost.example"},
		{`{"url":"https:\/\/u:secret@host.example\/x"}`, `{"url":"https:\/\/host.example\/x"}`},
		{"ssh://git:secret@host.example:22/acme/shop.git", "ssh://host.example:22/acme/shop.git"},
		{"git:secret@host.example:acme/shop.git", "host.example:acme/shop.git"},
		{"git:sec@ret@host.example:acme/shop.git", "host.example:acme/shop.git"},
		{"clone user:s@cr@t@host.example/acme/shop", "clone host.example/acme/shop"},
		{"https://user:se/cr@e@t@host.example/x", "https://host.example/x"},
		{"docker login user:secret@registry.example", "docker login registry.example"},

		{"https://h.example/?token=secret&a=1", "https://h.example/?a=1"},
		{"https://h.example/?a=1&pass=secret#access_token=secret", "https://h.example/?a=1"},
		{"https://h.example/?pw=secret", "https://h.example/"},
		{"https://h.example/?pw=secret&token=secret&a=1&sig=secret&b=2", "https://h.example/?a=1&b=2"},
		{"https://h.example/?pw=secret&&a=1", "https://h.example/?&a=1"},
		{"https://h.example/?pw=secret&token=secret", "https://h.example/"},
		{"https://h.example/?pw=secret& more", "https://h.example/? more"},
		{"https://h.example/?to%6Ben=secret&b=2", "https://h.example/?b=2"},
		{"https://h.example/?to%256Ben=secret", "https://h.example/"},
		{"https://h.example/?next=https%3A%2F%2Fi.example%2F%3Ftoken%3Dsecret", "https://h.example/?next=https%3A%2F%2Fi.example%2F"},

		// A text without a credential does not change.
		{"", ""},
		{"Fix {api}: rename {id} to 100%", "Fix {api}: rename {id} to 100%"},
		{"feat:@scope/pkg", "feat:@scope/pkg"},
		{"mail ann@example.com at 10:30", "mail ann@example.com at 10:30"},
		{"https://x.example.com:8080/@a/1", "https://x.example.com:8080/@a/1"},
		{"https://x.example.com/a?page=2&q=a@b", "https://x.example.com/a?page=2&q=a@b"},
		{"git@github.com:acme/shop.git", "git@github.com:acme/shop.git"},
		{"x?a=1&token=kept where there is no URL", "x?a=1&token=kept where there is no URL"},
	} {
		got := redact.Text(test.in)
		assert.Equal(t, test.want, got)
		assert.Equal(t, got, redact.Text(got), "a second time changes nothing")
	}
}

var cases = flag.Int("redact.cases", 20_000, "how many texts TestCanary makes")

// TestCanary puts a secret into every place of a URL that can hold one, encodes
// the URL in every way, and puts it between other text.
func TestCanary(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	for range *cases {
		canary := "c4n4ry" + pick("", "x", "-1", "%2B", "%3D", "+", ".", "!", "$", "~", "*", "'") + "q7"
		host := pick("h.example", "h.example:8443", "[::1]", "[::1]:8080", "user.h.example")
		user := pick("u:", "", "x-token:", "a%40b:", "oauth2:") + canary
		path := pick("", "/", "/a/b", "/@a", "/a;b=c", "/a%20b")
		query := pick("", "?a=1", "?a=1&b=2", "?q=x@y")
		name := pick("token", "access_token", "private-token", "api_key", "X-Amz-Signature", "pass", "pw", "PASSWORD", "client_secret",
			"to%6Ben", "%74oken", "auth", "jwt", "sig", "db_pass")
		var link string
		scheme := pick("https", "http", "HTTPS", "ssh", "git+ssh", "postgres", "redis", "amqp")
		if r.IntN(2) == 0 {
			link = scheme + "://" + user + "@" + host + path + query + pick("", "#f")
		} else {
			link = scheme + "://" + host + path + pick(query+"&", "?", "#", "?x=1&") + name + "=" + canary + pick("", "&z=1", "#f", ";y=2")
		}
		switch r.IntN(6) {
		case 0:
			link = url.QueryEscape(link)
		case 1:
			link = url.QueryEscape(url.QueryEscape(link))
		case 2:
			link = strings.ReplaceAll(link, "/", `\/`)
		case 3:
			link = "https://outer.example/?next=" + link
		case 4:
			link = "https://outer.example/?next=" + url.QueryEscape(link)
		}
		text := pick("", "see ", "(", "](", "<", `"`, "a=", "https://first.example)(", "https://first.example,", "\n\t") + link +
			pick("", " and so on", ")", ">", `"`, "\nnext", ", then https://last.example/x")
		got := redact.Text(text)
		require.NotContains(t, got, "c4n4ry", "%q became %q", text, got)
		require.Equal(t, got, redact.Text(got), "a second time changes nothing")
	}
}

func FuzzText(f *testing.F) {
	seeds.Add(f, 11)
	f.Fuzz(func(t *testing.T, text string) {
		got := redact.Text(text)
		require.LessOrEqual(t, len(got), len(text))
		require.NotContains(t, redact.Text("https://u:c4n4ry@h.example/ "+text), "c4n4ry")
		if !strings.ContainsAny(text, "@%=") {
			require.Equal(t, text, got)
		}
	})
}
