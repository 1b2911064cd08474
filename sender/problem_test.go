package sender_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// private matches texts that no customer may see, which are identifiers of Go,
// types, addresses and internal names.
var private = regexp.MustCompile(`[a-z][A-Z]|\*[a-z]+\.|With[A-Z]|Insecure|Endpoint\.|Message\.|sender:|Err[A-Z]|127\.|10\.0\.|::1|` +
	`\d+\.\d+\.\d+\.\d+|\.test|proxy|AllowNetworks|DenyNetworks`)

func checkProblems(t *testing.T, err error, wants ...string) {
	t.Helper()
	require.Error(t, err)
	var codes []string
	for _, p := range sender.Problems(err) {
		codes = append(codes, p.Code)
		assert.NotEmpty(t, p.Text)
		assert.NotRegexp(t, private, p.Text, "%v", err)
		assert.True(t, strings.HasSuffix(p.Text, "."), p.Text)
	}
	assert.Equal(t, wants, codes, "%v", err)
}

// TestProblems_OfEndpoints covers each reason for which Check and Deliver
// refuse an endpoint.
func TestProblems_OfEndpoints(t *testing.T) {
	t.Parallel()
	dns := newNameServer(t)
	dns.set("inside.test", "10.0.0.1")
	dns.set("denied.test", "192.0.2.7")
	dns.set("public.test", "8.8.8.8")
	s, err := sender.New(sender.WithResolver(dns.resolver()), sender.AllowNetworks(netip.MustParsePrefix("127.0.0.1/32")),
		sender.DenyNetworks(netip.MustParsePrefix("192.0.2.0/24")), sender.WithPorts(443, 1), atOnce())
	require.NoError(t, err)
	defer s.Close()
	good := sender.Endpoint{URL: sender.NewURL("https://127.0.0.1"), Signer: standard(t)}
	require.NoError(t, s.Check(t.Context(), good))
	for text, code := range map[string]string{
		"": "url_invalid", "x": "url_invalid", "https://u:p@h.example": "url_invalid", "https://h.example/#f": "url_invalid", "https://": "url_invalid",
		"https://h.example:0": "url_invalid", "https://127.1": "url_invalid", "https://h.example/a b": "url_invalid", "https://é.example": "url_invalid",
		"http://8.8.8.8:1": "url_not_https", "http://public.test:1": "url_not_https", "https://127.0.0.1:22": "url_port",
		"https://10.0.0.1": "host_unreachable", "https://[::1]": "host_unreachable", "http://169.254.169.254:1/": "host_unreachable",
		"https://inside.test": "host_unreachable", "https://denied.test": "host_unreachable", "https://none.test": "host_unreachable",
	} {
		ep := good
		ep.URL = sender.NewURL(text)
		checkProblems(t, s.Check(t.Context(), ep), code)
		_, err := s.Deliver(t.Context(), ep, message())
		if !strings.HasSuffix(text, "none.test") {
			checkProblems(t, err, code)
		}
	}
	unknown, inside := good, good
	unknown.URL, inside.URL = sender.NewURL("https://none.test"), sender.NewURL("https://inside.test")
	require.Equal(t, sender.Problems(s.Check(t.Context(), unknown)), sender.Problems(s.Check(t.Context(), inside)), "one answer")
	require.Equal(t, s.Attempt(t.Context(), unknown, message()).Problem(), s.Attempt(t.Context(), inside, message()).Problem(), "one answer")

	for code, change := range map[string]func(*sender.Endpoint){
		"signer_invalid":  func(e *sender.Endpoint) { e.Signer = nil },
		"format_invalid":  func(e *sender.Endpoint) { e.BodyFormat = (*fixedFormat)(nil) },
		"events_invalid":  func(e *sender.Endpoint) { e.Events = []string{"deploy.success"} },
		"header_invalid":  func(e *sender.Endpoint) { e.Header = sender.NewHeader(http.Header{"Host": {"x"}}) },
		"timeout_invalid": func(e *sender.Endpoint) { e.Timeout = -1 },
	} {
		ep := good
		change(&ep)
		checkProblems(t, s.Check(t.Context(), ep), code)
	}
	checkProblems(t, s.Check(t.Context(), sender.Endpoint{Timeout: -1}), "url_invalid", "signer_invalid", "timeout_invalid")
	open, plain := newSender(t), good
	plain.URL, plain.ClientCertificate = sender.NewURL("http://127.0.0.1"), clientCertificate(t)
	checkProblems(t, open.Check(t.Context(), plain), "client_certificate_invalid")
}

// TestProblems_OfMessages covers the problems of events, formats and messages.
func TestProblems_OfMessages(t *testing.T) {
	t.Parallel()
	s := newSender(t, sender.WithMaxBody(100))
	ep := sender.Endpoint{URL: sender.NewURL("https://127.0.0.1"), Signer: standard(t)}
	for code, msg := range map[string]sender.Message{
		"message_id_invalid":   {Body: []byte("{}")},
		"body_invalid":         {ID: "a"},
		"content_type_invalid": {ID: "a", Body: []byte("{}"), ContentType: "a\n"},
	} {
		a := s.Attempt(t.Context(), ep, msg)
		checkProblems(t, a.Err, code)
		require.Equal(t, code, a.Problem().Code)
	}
	_, err := s.Deliver(t.Context(), ep, sender.Message{ID: "a", Body: make([]byte, 101)})
	checkProblems(t, err, "body_invalid")
	_, err = s.Send(t.Context(), ep, &payload.Event{Type: "demo.event", DeploymentID: "d"})
	checkProblems(t, err, "event_invalid")
	require.Equal(t, "timestamp", sender.Problems(err)[0].Field)
	for code, cause := range map[string]error{"format_invalid": errors.New("can't"), "format_no_message": sender.ErrNoMessage} {
		ep.BodyFormat = &fixedFormat{cause}
		_, err = s.Message(t.Context(), ep, event())
		checkProblems(t, err, code)
	}
	checkProblems(t, errors.New("sender: 10.0.0.1"), "internal")
	require.Nil(t, sender.Problems(nil))
}

type fixedFormat struct{ err error }

func (f *fixedFormat) Encode(context.Context, *payload.Event) (string, []byte, error) {
	return "", nil, f.err
}

// TestProblems_OfAttempts covers each class, and the statuses.
func TestProblems_OfAttempts(t *testing.T) {
	t.Parallel()
	op := func(op string) error { return &net.OpError{Op: op, Net: "tcp", Err: errors.New("connect: 10.0.0.1")} }
	for _, c := range []struct {
		code string
		fake transport
	}{
		{"redirected", answers(301, "Location", "http://10.0.0.1/")},
		{"gone", answers(410)},
		{"throttled", answers(429)},
		{"client_error", answers(404)},
		{"server_error", answers(503)},
		{"status_unexpected", answers(600)},
		{"host_unreachable", fails(&net.DNSError{Err: "no such host", Name: "a.test"})},
		{"connection_failed", fails(op("dial"))},
		{"tls_failed", fails(op("remote error"))},
		{"tls_failed", fails(tls.RecordHeaderError{})},
		{"timeout", fails(os.ErrDeadlineExceeded)},
		{"connection_closed", fails(io.EOF)},
		{"connection_closed", fails(errors.New("sender: garbage"))},
	} {
		s := newSender(t)
		fake(s, c.fake)
		ep := sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t)}
		a := attempt(t, s, ep)
		checkProblems(t, a.Err, c.code)
		require.Equal(t, c.code, a.Problem().Code)
		require.Equal(t, c.code, sender.ProblemOf(a.Class, a.Status).Code)
	}
	s := newSender(t)
	ep := sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: failing(errors.New("KMS at 10.0.0.1"))}
	checkProblems(t, attempt(t, s, ep).Err, "not_signed")
	fake(s, answers(200))
	ep.Signer = standard(t)
	require.Zero(t, attempt(t, s, ep).Problem())
	s.Close()
	checkProblems(t, attempt(t, s, ep).Err, "interrupted")

	for _, class := range []sender.Class{
		sender.ClassStatus, sender.ClassDNS, sender.ClassConnect, sender.ClassProxy, sender.ClassTLS, sender.ClassTimeout, sender.ClassReset,
		sender.ClassProtocol, sender.ClassCanceled, sender.ClassPolicy, sender.ClassSigner,
		sender.ClassAborted, sender.ClassDisabled,
	} {
		p := sender.ProblemOf(class, 0)
		require.NotEqual(t, "internal", p.Code, class)
		require.NotRegexp(t, private, p.Text)
	}
}

// The documentation lists each code.
func TestProblems_Documentation(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("problem.go")
	require.NoError(t, err)
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	_, table, ok := strings.Cut(string(doc), "# Codes for customers\n")
	require.True(t, ok)
	codes := regexp.MustCompile(`(?m)^\t"([a-z_]+)":`).FindAllStringSubmatch(string(source), -1)
	require.Greater(t, len(codes), 25)
	for _, code := range codes {
		require.Regexp(t, `\n//\t`+code[1]+` +\w`, table)
	}
}
