package sender_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

// retryCase is a row of the table "Retry or final" in the package's
// documentation.
type retryCase struct {
	opts    []sender.Option
	fake    transport // or the network
	guarded bool      // without access to all of loopback
	url     string
	signer  signer.Signer
	class   sender.Class
	outcome sender.Outcome
	final   bool
	unmade  bool // there is no attempt
}

func failing(err error) signer.Signer {
	return signFunc(func(context.Context, *http.Request, string, time.Time, []byte) error { return err })
}

func answers(status int, fields ...string) transport {
	return func(int, *http.Request) (*http.Response, error) { return answer(status, fields...) }
}

func fails(err error) transport {
	return func(int, *http.Request) (*http.Response, error) { return nil, err }
}

// retryCases are the rows by their first column.
func retryCases(t *testing.T) map[string][]retryCase {
	dns := newNameServer(t)
	dns.set("mixed.test", "127.0.0.2", "127.0.0.1")
	dns.set("inside.test", "127.0.0.2", "10.0.0.1")
	one := []sender.Option{sender.WithResolver(dns.resolver()), sender.AllowNetworks(netip.MustParsePrefix("127.0.0.1/32"))}
	wants, roots, _ := connections(t, false, &tls.Config{ClientAuth: tls.RequireAnyClientCert}, func(http.ResponseWriter, *http.Request) {})
	queue := []sender.Option{sender.WithSchedule(sender.Scaled(sender.Platform, 0))}
	strict := []sender.Option{sender.WithStopOnClientError()}
	controlled := []sender.Option{sender.WithDeliveryControl()}
	return map[string][]retryCase{
		"the signer fails or panics": {
			{signer: failing(errors.New("throttled")), class: sender.ClassSigner, outcome: sender.Failed},
			{signer: signFunc(func(context.Context, *http.Request, string, time.Time, []byte) error { panic("no") }), class: sender.ClassSigner, outcome: sender.Failed},
		},
		"the signer is misused": {
			{signer: failing(signer.ErrNoActiveKey), class: sender.ClassSigner, outcome: sender.Refused, final: true},
			{signer: failing(nil), class: sender.ClassSigner, outcome: sender.Refused, final: true}, // sets no header
		},
		"a bad endpoint or message": {{url: "https://h.example/#f", outcome: sender.Refused, final: true, unmade: true}},
		"a forbidden address":       {{opts: one, guarded: true, url: "https://inside.test:1", class: sender.ClassPolicy, outcome: sender.Refused, final: true}},
		"mixed addresses":           {{opts: one, guarded: true, url: "https://mixed.test:1", class: sender.ClassConnect, outcome: sender.Failed}},
		"DNS fails":                 {{opts: one, guarded: true, url: "https://none.test:1", class: sender.ClassDNS, outcome: sender.Failed}},
		"connection refused":        {{url: "https://127.0.0.1:1", class: sender.ClassConnect, outcome: sender.Failed}},
		"TLS fails": {
			{url: wants.URL, class: sender.ClassTLS, outcome: sender.Failed}, // unknown authority
			{url: wants.URL, opts: []sender.Option{sender.WithRootCAs(roots)}, class: sender.ClassTLS, outcome: sender.Failed},
			{fake: fails(x509.UnknownAuthorityError{}), class: sender.ClassTLS, outcome: sender.Failed},
		},
		"no answer in time":   {{fake: fails(os.ErrDeadlineExceeded), class: sender.ClassTimeout, outcome: sender.Failed}},
		"the connection ends": {{fake: fails(net.ErrClosed), class: sender.ClassReset, outcome: sender.Failed}},
		"410":                 {{fake: answers(410, "Retry-After", "0"), class: sender.ClassStatus, outcome: sender.Gone, final: true}},
		"abort-message": {
			{opts: controlled, fake: answers(400, "Webhook-Delivery", "abort-message"), class: sender.ClassAborted, outcome: sender.Aborted, final: true},
			{opts: controlled, fake: answers(503, "Webhook-Delivery", "abort-message", "Retry-After", "0"), class: sender.ClassAborted, outcome: sender.Aborted, final: true},
		},
		"disable":                {{opts: controlled, fake: answers(500, "Webhook-Delivery", "disable"), class: sender.ClassDisabled, outcome: sender.Gone, final: true}},
		"3xx, Pipeline schedule": {{fake: answers(301), class: sender.ClassStatus, outcome: sender.Rejected, final: true}},
		"3xx, other schedules":   {{opts: queue, fake: answers(301), class: sender.ClassStatus, outcome: sender.Failed}},
		"4xx":                    {{fake: answers(404), class: sender.ClassStatus, outcome: sender.Failed}},
		"4xx, stop on client error": {
			{opts: strict, fake: answers(404), class: sender.ClassStatus, outcome: sender.Rejected, final: true},
			{opts: strict, fake: answers(401, "Retry-After", "soon"), class: sender.ClassStatus, outcome: sender.Rejected, final: true},
		},
		"the same with Retry-After": {{opts: strict, fake: answers(404, "Retry-After", "0"), class: sender.ClassStatus, outcome: sender.Failed}},
		"408, 409, 425, 429": {
			{opts: strict, fake: answers(408), class: sender.ClassStatus, outcome: sender.Failed},
			{opts: strict, fake: answers(409), class: sender.ClassStatus, outcome: sender.Failed},
			{opts: strict, fake: answers(425), class: sender.ClassStatus, outcome: sender.Failed},
			{opts: strict, fake: answers(429, "Retry-After", "0"), class: sender.ClassStatus, outcome: sender.Failed},
		},
		"5xx": {
			{opts: strict, fake: answers(500), class: sender.ClassStatus, outcome: sender.Failed},
			{opts: strict, fake: answers(503, "Retry-After", "0"), class: sender.ClassStatus, outcome: sender.Failed},
		},
	}
}

func TestRetryOrFinal(t *testing.T) {
	t.Parallel()
	for name, cases := range retryCases(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, c := range cases {
				opts := append([]sender.Option{atOnce()}, c.opts...)
				if !c.guarded {
					opts = append(opts, loopback())
				}
				s, err := sender.New(opts...)
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, s.Close()) })
				if c.fake != nil {
					fake(s, c.fake)
				}
				ep := sender.Endpoint{URL: sender.NewURL(cmp.Or(c.url, "https://a.example")), Signer: c.signer}
				if c.signer == nil {
					ep.Signer = standard(t)
				}
				r, err := s.Deliver(t.Context(), ep, message())
				require.Error(t, err)
				assert.Equal(t, c.outcome, r.Outcome, "%d: %v", i, err)
				switch {
				case c.unmade:
					assert.Empty(t, r.Attempts)
					continue
				case c.final:
					assert.Len(t, r.Attempts, 1, "%d: %v", i, err)
				default:
					assert.Greater(t, len(r.Attempts), 1, "%d: %v", i, err)
				}
				for _, a := range r.Attempts {
					assert.Equal(t, c.class, a.Class, "%d: %v", i, err)
				}
			}
		})
	}
}

// The table in the documentation has the rows of the test, and no others.
func TestRetryOrFinal_Documentation(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	_, table, ok := strings.Cut(string(source), "# Retry or final\n")
	require.True(t, ok)
	table, _, ok = strings.Cut(table, "\n//\n// #")
	require.True(t, ok)
	rows := map[string]string{}
	for line := range strings.Lines(table) {
		if row, ok := strings.CutPrefix(line, "//\t"); ok {
			name, verdict, _ := strings.Cut(row, "  ")
			rows[name] = strings.TrimSpace(verdict)
		}
	}
	cases := retryCases(t)
	for name, c := range cases {
		want := "retried"
		if c[0].final {
			want = "final"
		}
		assert.Truef(t, strings.HasPrefix(rows[name], want), "%q: want %s, the table has %q", name, want, rows[name])
		assert.Contains(t, rows[name], string(c[0].outcome), name)
	}
	assert.Len(t, rows, len(cases))
}
