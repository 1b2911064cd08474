package sender_test

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// urlCases maps URLs to what the error must say, empty if they are fine. They
// are also the seeds of FuzzURL.
var urlCases = map[string]string{
	"https://example.com":                              "",
	"https://example.com/":                             "",
	"https://EXAMPLE.com:8443/a/b?c=d&e#":              "",
	"https://xn--bcher-kva.example/":                   "",
	"https://a_b-c.example./x%2Fy":                     "",
	"https://93.184.215.14/":                           "",
	"https://[2606:4700::1]:443/":                      "",
	"https://example.com:/":                            "",
	"http://example.com/":                              "InsecureHTTP",
	"":                                                 "empty",
	"/relative":                                        "https://",
	"//example.com/":                                   "https://",
	"example.com":                                      "https://",
	"ftp://example.com/":                               "https://",
	"file:///etc/passwd":                               "https://",
	"gopher://127.0.0.1:6379/_x":                       "https://",
	"unix:///var/run/docker.sock":                      "https://",
	"http+unix://%2Fvar%2Frun%2Fdocker.sock/":          "not a valid URL",
	"javascript:alert(1)":                              "https://",
	"https:example.com":                                "no host",
	"https://":                                         "no host",
	"https:///x":                                       "no host",
	"https://:443/":                                    "no host",
	"https://./":                                       "no host",
	"https://user@example.com/":                        "user name",
	"https://user:pass@example.com/":                   "user name",
	"https://@example.com/":                            "user name",
	"https://example.com@127.0.0.1/":                   "user name",
	"https://example.com/#fragment":                    "fragment",
	"https://example.com:0/":                           "port",
	"https://example.com:65536/":                       "port",
	"https://example.com:-1/":                          "not a valid URL",
	"https://example.com:http/":                        "not a valid URL",
	"https://exa mple.com/":                            "not a valid URL",
	" https://example.com/":                            "not a valid URL",
	"https://example.com/\r\nX: y":                     "not a valid URL",
	"https://example..com/":                            "empty label",
	"https://.example.com/":                            "empty label",
	"https://example.com../":                           "empty label",
	"https://bücher.example/":                          "xn--",
	"https://127。0。0。1/":                               "xn--",
	"https://①②⑦.⓪.⓪.①/":                               "xn--",
	"https://ex\u00adample.com/":                       "xn--",
	"https://127.1/":                                   "IPv4",
	"https://0x7f.1/":                                  "IPv4",
	"https://0x7f000001/":                              "IPv4",
	"https://0x/":                                      "IPv4",
	"https://0177.0.0.1/":                              "IPv4",
	"https://2130706433/":                              "IPv4",
	"https://0/":                                       "IPv4",
	"https://1.2.3.4.5/":                               "IPv4",
	"https://256.1.1.1/":                               "IPv4",
	"https://example.1/":                               "IPv4",
	"https://127.0.0.1/":                               "AllowNetworks",
	"https://127.0.0.1./":                              "AllowNetworks",
	"https://0.0.0.0/":                                 "AllowNetworks",
	"https://[::]/":                                    "AllowNetworks",
	"https://[::1]/":                                   "AllowNetworks",
	"https://[::ffff:7f00:1]/":                         "AllowNetworks",
	"https://[fe80::1%25lo]/":                          "zone",
	"https://[2606:4700::1%25eth0]/":                   "zone",
	"https://[::1/":                                    "not a valid URL",
	"https://[1.2.3.4]/":                               "not a valid URL",
	"https://exa'mple.com/":                            "character",
	"https://exa$mple.com/":                            "character",
	"https://example.com%00.evil/":                     "not a valid URL",
	"https://" + strings.Repeat("a", 64) + ".com/":     "label",
	"https://" + strings.Repeat("a.", 127) + "com/":    "253",
	"https://example.com/" + strings.Repeat("a", 8200): "8192",
}

func TestURLs(t *testing.T) {
	t.Parallel()
	s, err := sender.New()
	require.NoError(t, err)
	defer s.Close()
	fake(s, statuses(200))
	for text, want := range urlCases {
		a := s.Attempt(t.Context(), sender.Endpoint{URL: sender.NewURL(text), Signer: standard(t)}, message())
		if want == "" {
			require.NoError(t, a.Err, "%.99q", text)
			continue
		}
		require.ErrorContains(t, a.Err, "Endpoint.URL", "%.99q", text)
		require.ErrorContains(t, a.Err, want, "%.99q", text)
		require.ErrorIs(t, a.Err, sender.ErrRefused, "%.99q", text)
		require.Equal(t, sender.Refused, a.Outcome)
		require.Equal(t, sender.ClassPolicy, a.Class)
	}
}

// TestCheckReportsEverything at once, as a form wants it.
func TestCheckReportsEverything(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	err := s.Check(t.Context(), sender.Endpoint{
		URL: sender.NewURL("ftp://x"), Events: []string{"Deploy.*"}, Header: sender.NewHeader(http.Header{"Host": {"x"}}), Timeout: -1,
	})
	joined, ok := err.(interface{ Unwrap() []error })
	require.True(t, ok)
	fields := map[string]bool{}
	for _, e := range joined.Unwrap() {
		var fault *sender.EndpointError
		require.ErrorAs(t, e, &fault)
		require.NotEmpty(t, fault.Reason)
		fields[fault.Field] = true
	}
	require.Equal(t, map[string]bool{"URL": true, "Signer": true, "Events": true, "Header": true, "Timeout": true}, fields)
	require.Len(t, joined.Unwrap(), 5)
	require.ErrorIs(t, err, sender.ErrUnsigned)

	require.NoError(t, s.Check(t.Context(), sender.Endpoint{
		URL: sender.NewURL("http://127.0.0.1:1"), Signer: standard(t), Events: []string{"deploy.*"}, Timeout: time.Second,
		Header: sender.NewHeader(http.Header{"Authorization": {"Bearer x"}, "X-Team": {"a", "b"}}),
	}))
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	calls := fake(s, statuses(200))
	refuse := func(h http.Header, want string) {
		t.Helper()
		a := s.Attempt(t.Context(), sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t), Header: sender.NewHeader(h)}, message())
		require.ErrorIs(t, a.Err, sender.ErrRefused, "%v", h)
		var fault *sender.EndpointError
		require.ErrorAs(t, a.Err, &fault)
		require.Equal(t, "Header", fault.Field)
		require.ErrorContains(t, a.Err, want)
	}
	for _, name := range strings.Fields(`Host Content-Type Content-Length Content-Encoding Content-Digest User-Agent Accept-Encoding
		Idempotency-Key X-Idempotency-Key idempotency-key X-IDEMPOTENCY-KEY Connection Keep-Alive TE Trailer Transfer-Encoding
		Upgrade Expect Proxy-Authorization Proxy-Connection Webhook-Id Webhook-Timestamp Webhook-Signature X-Webhook-Signature
		X-Webhook-Timestamp X-Hub-Signature-256 Stripe-Signature Signature Signature-Input x-temps-signature HTTP2-Settings`) {
		refuse(http.Header{name: {"x"}}, http.CanonicalHeaderKey(name))
	}
	refuse(http.Header{"": {"x"}}, "name")
	refuse(http.Header{"A B": {"x"}}, "name")
	refuse(http.Header{"A\r\nB": {"x"}}, "name")
	refuse(http.Header{"Ä": {"x"}}, "name")
	for _, v := range []string{"a\r\nb: c", "a\nb", "a\x00b", "\x7f"} {
		refuse(http.Header{"X-A": {"fine", v}}, "X-A")
	}
	refuse(http.Header{"x-a": {"1"}, "X-A": {"2"}}, "two spellings")
	refuse(http.Header{"X-A": {strings.Repeat("a", 8<<10)}}, "8192")
	many := http.Header{}
	for i := range 33 {
		many.Set("X-"+strconv.Itoa(i), "v")
	}
	refuse(many, "32")
	require.Zero(t, calls.n.Load())
}

// patternCases maps patterns to what the error must say. They are also the
// seeds of FuzzFilter.
var patternCases = map[string]string{
	"*":                             "",
	"deploy.*":                      "",
	"deploy.failed":                 "",
	"health_check.*":                "",
	"a.b.c.*":                       "",
	"my_app.scaled_2":               "",
	"backup.done":                   "",
	"":                              "pattern",
	"deploy":                        `did you mean "deploy.*"`,
	".":                             "pattern",
	"deploy.":                       "pattern",
	".failed":                       "pattern",
	"deploy..failed":                "pattern",
	"*.failed":                      "pattern",
	"deploy.*.failed":               "pattern",
	"deploy.f*":                     "pattern",
	"deploy*":                       "pattern",
	".*":                            "pattern",
	"**":                            "pattern",
	"Deploy.Failed":                 "pattern",
	"deploy.failed ":                "pattern",
	"deploy-failed.x":               "pattern",
	"deploy.failed,build":           "pattern",
	"déploy.*":                      "pattern",
	"deploy.faild":                  `did you mean "deploy.failed"`,
	"deploy.fialed":                 `did you mean "deploy.failed"`,
	"deploy.failedd":                `did you mean "deploy.failed"`,
	"deploy.lives":                  `did you mean "deploy.live"`,
	"deplpy.failed":                 `did you mean "deploy.failed"`,
	"deply.*":                       `did you mean "deploy.*"`,
	"builds.*":                      `did you mean "build.*"`,
	"healthcheck.*":                 `did you mean "health_check.*"`,
	"deploy.rolledback":             `did you mean "deploy.rolled_back"`,
	"deploy.success":                "deploy.live, deploy.failed, deploy.rolled_back",
	"deploy.failure":                "deploy.live, deploy.failed, deploy.rolled_back",
	"deploy.rollback":               "deploy.live, deploy.failed, deploy.rolled_back",
	"deploy.canary.*":               "deploy.live, deploy.failed, deploy.rolled_back",
	"build.done":                    "build.completed",
	"deployments.*":                 "deploy.started",
	"deployment.done":               "deploy.started",
	"buildkite.finished":            "",
	strings.Repeat("a", 127) + ".b": "128",
}

func TestFilter(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	for p, want := range patternCases {
		_, err := sender.ParseFilter([]string{"deploy.live", p})
		ep := sender.Endpoint{URL: sender.NewURL("https://127.0.0.1"), Signer: standard(t), Events: []string{p}}
		checked := s.Check(t.Context(), ep)
		if want == "" {
			require.NoError(t, err, p)
			require.NoError(t, checked, p)
			continue
		}
		require.ErrorContains(t, err, want, p)
		require.ErrorContains(t, checked, "Endpoint.Events", p)
		require.ErrorIs(t, checked, sender.ErrRefused)
		if !strings.Contains(err.Error(), "matches no known type") {
			require.ErrorIs(t, attempt(t, s, ep).Err, sender.ErrRefused, p)
			require.False(t, ep.Accepts(payload.Type(p)), "%q matches nothing", p)
		}
	}
}

func TestFilterMatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		patterns string
		yes, no  string
	}{
		{"", "deploy.live my.own", ""},
		{"*", "deploy.live my.own.type", ""},
		{"deploy.*", "deploy.live deploy.canary.started", "build.completed deployx.live deploy deploy."},
		{"deploy.failed", "deploy.failed", "deploy.live deploy.failed.again deploy"},
		{"deploy.failed build.*", "deploy.failed build.completed", "deploy.live health_check.passed"},
	} {
		f, err := sender.ParseFilter(strings.Fields(c.patterns))
		require.NoError(t, err)
		require.Equal(t, len(strings.Fields(c.patterns)), len(f.Patterns()))
		for _, typ := range strings.Fields(c.yes) {
			require.True(t, f.Accepts(payload.Type(typ)), "%s takes %s", c.patterns, typ)
		}
		for _, typ := range strings.Fields(c.no) {
			require.False(t, f.Accepts(payload.Type(typ)), "%s does not take %s", c.patterns, typ)
		}
	}
}

func TestOwnEventTypes(t *testing.T) {
	t.Parallel()
	_, err := sender.ParseFilter([]string{"deploy.alive"})
	require.ErrorContains(t, err, "WithEventTypes")
	_, err = sender.ParseFilter([]string{"*", "deploy.*", "deploy.alive"}, "deploy.alive")
	require.NoError(t, err)

	s := newSender(t, sender.WithEventTypes("deploy.alive", "scale.out"))
	ep := sender.Endpoint{URL: sender.NewURL("https://127.0.0.1"), Signer: standard(t), Events: []string{"deploy.alive", "scale.*"}}
	require.NoError(t, s.Check(t.Context(), ep))
	ep.Events = []string{"scale.oot"}
	require.ErrorContains(t, s.Check(t.Context(), ep), `did you mean "scale.out"? The types are deploy.alive, scale.out`)
	for _, p := range []string{"deploy.live", "deployments.*", "backup.done"} {
		ep.Events = []string{"*", p}
		require.ErrorContains(t, s.Check(t.Context(), ep), "The types are deploy.alive, scale.out", "declared types replace the others")
	}
}

func TestOptionMistakes(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]sender.Option{
		"nil Option":                    nil,
		"WithSchedule":                  sender.WithSchedule(nil),
		"WithTimeout(0)":                sender.WithTimeout(0),
		"WithTimeout":                   sender.WithTimeout(-1),
		"WithTimeout: 11m":              sender.WithTimeout(11 * time.Minute),
		"WithMaxRetryAfter":             sender.WithMaxRetryAfter(-1),
		"MaxRetryAfter: 19":             sender.WithMaxRetryAfter(8 * 24 * time.Hour),
		"WithObserver":                  sender.WithObserver(nil),
		"WithEventTypes":                sender.WithEventTypes(),
		"1 and 65535":                   sender.WithProxy(&url.URL{Scheme: "http", Host: "proxy.example:99999"}),
		"WithProxy: the URL has a port": sender.WithProxy(&url.URL{Scheme: "http", Host: "proxy.example:0"}),
		"DenyNetworks":                  sender.DenyNetworks(),
		"0.0.0.0/0":                     sender.DenyNetworks(netip.MustParsePrefix("::ffff:0.0.0.0/90")),
		"WithNAT64: names":              sender.WithNAT64(),
		"96 bits":                       sender.WithNAT64(netip.MustParsePrefix("64:ff9b::/95")),
		"10.0.0.0/32: want an IPv6":     sender.WithNAT64(netip.MustParsePrefix("10.0.0.0/32")),
		"::ffff:0.0.0.0/96: want an":    sender.WithNAT64(netip.MustParsePrefix("::ffff:0.0.0.0/96")),
		"Nope":                          sender.WithEventTypes("Nope"),
		"AllowNetworks":                 sender.AllowNetworks(),
		"AllowNetworks: in":             sender.AllowNetworks(badPrefix()),
		"mixes":                         sender.AllowNetworks(mixedPrefix()),
		"WithPorts":                     sender.WithPorts(),
		"port 0":                        sender.WithPorts(443, 0),
		"WithResolver":                  sender.WithResolver(nil),
		"WithRootCAs":                   sender.WithRootCAs(nil),
	} {
		s, err := sender.New(sender.InsecureHTTP(), o)
		require.Nil(t, s)
		require.ErrorIs(t, err, sender.ErrConfig)
		want, _, _ = strings.Cut(want, "(")
		require.ErrorContains(t, err, want)
	}
	_, err := sender.New(sender.WithPorts(), sender.WithTimeout(0))
	require.ErrorContains(t, err, "WithPorts")
	require.ErrorContains(t, err, "WithTimeout", "all at once")
	require.False(t, errors.Is(err, sender.ErrRefused))
}
