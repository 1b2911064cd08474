package sender_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// TestOnTheWire checks the request that an endpoint gets.
func TestOnTheWire(t *testing.T) {
	t.Parallel()
	scheme := standard(t)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.Equal(t, message().Body, body)
		require.EqualValues(t, len(body), r.ContentLength)
		require.Empty(t, r.TransferEncoding)
		require.Equal(t, http.MethodPost, r.Method)
		require.Equal(t, "/hook?a=b", r.RequestURI)
		_, err = scheme.Verify(r, body)
		require.NoError(t, err)
		for _, name := range []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
			require.Len(t, r.Header[name], 1)
			delete(r.Header, name)
		}
		require.Regexp(t, `^deployhook/[0-9A-Za-z.+-]+$`, r.Header.Get("User-Agent"))
		delete(r.Header, "User-Agent")
		delete(r.Header, "Content-Length")
		require.Equal(t, http.Header{"Content-Type": {"application/json"}, "X-Key": {"a", "b"}}, r.Header, "nothing else is sent")
		w.Header().Set("X-Answer", "yes")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "stored")
	})
	s := newSender(t)
	ep := sender.Endpoint{URL: sender.NewURL(server.URL + "/hook?a=b"), Signer: scheme, Header: sender.NewHeader(http.Header{"x-key": {"a", "b"}})}
	for i := range 2 {
		a := attempt(t, s, ep)
		require.NoError(t, a.Err)
		require.Equal(t, 1, a.Number)
		require.Equal(t, message().ID, a.ID)
		require.Equal(t, 202, a.Status)
		require.Equal(t, "stored", string(a.Body))
		require.False(t, a.Truncated)
		require.Equal(t, "yes", a.ResponseHeader.Get("X-Answer"))
		require.Equal(t, netip.MustParseAddrPort(server.Listener.Addr().String()), a.Addr)
		require.Equal(t, i == 1, a.Reused)
		require.Equal(t, i == 0, a.Timings.Connect > 0, "only a new connection takes time to make")
		require.Positive(t, a.Timings.FirstByte)
		require.GreaterOrEqual(t, a.Timings.Total, a.Timings.FirstByte)
		require.WithinDuration(t, time.Now(), a.Start, time.Minute)
	}
	msg := message()
	msg.ContentType = "application/cloudevents+json"
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Join(r.Header["Content-Type"], "|"))
	})
	require.Equal(t, "application/cloudevents+json", string(s.Attempt(t.Context(), ep, msg).Body))
}

func TestTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.StartTLS()
	defer server.Close()
	ep := sender.Endpoint{URL: sender.NewURL(server.URL), Signer: standard(t)}

	a := attempt(t, newSender(t), ep)
	require.Equal(t, sender.ClassTLS, a.Class, "an unknown authority")
	require.ErrorContains(t, a.Err, "WithRootCAs")
	var unknown x509.UnknownAuthorityError
	require.ErrorAs(t, a.Err, &unknown)

	a = attempt(t, newSender(t, sender.WithRootCAs(roots(server))), ep)
	require.NoError(t, a.Err)
	require.Equal(t, "HTTP/2.0", string(a.Body))
	require.Positive(t, a.Timings.TLS)

	plain := serve(t, func(http.ResponseWriter, *http.Request) {})
	a = attempt(t, newSender(t), sender.Endpoint{URL: sender.NewURL("https" + strings.TrimPrefix(plain.URL, "http")), Signer: standard(t)})
	require.Equal(t, sender.ClassTLS, a.Class)
	require.ErrorContains(t, a.Err, "is it http?")
}

// TestOldTLS checks that the sender refuses TLS 1.1, and so does its server.
func TestOldTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.StartTLS()
	defer server.Close()
	server.TLS.MinVersion, server.TLS.MaxVersion = 0x0301, 0x0302
	a := attempt(t, newSender(t, sender.WithRootCAs(roots(server))), sender.Endpoint{URL: sender.NewURL(server.URL), Signer: standard(t)})
	require.Equal(t, sender.ClassTLS, a.Class, "%v", a.Err)
	for _, tr := range sender.Transports(newSender(t)) {
		require.EqualValues(t, 0x0303, tr.TLSClientConfig.MinVersion)
		require.False(t, tr.TLSClientConfig.InsecureSkipVerify)
	}
}

func roots(server *httptest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return pool
}

func TestNetworkFailures(t *testing.T) {
	t.Parallel()
	const nobody = "127.0.0.1:1"
	a := attempt(t, newSender(t), sender.Endpoint{URL: sender.NewURL("http://" + nobody), Signer: standard(t)})
	require.Equal(t, sender.Failed, a.Outcome)
	require.Equal(t, sender.ClassConnect, a.Class)
	require.ErrorContains(t, a.Err, "connection refused")
	require.Equal(t, nobody, a.Addr.String(), "what was dialled in vain")
	require.NotEmpty(t, a.RequestHeader)
}

// TestUnsigned checks that nothing is sent unsigned without InsecureUnsigned.
func TestUnsigned(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	calls := fake(s, statuses(200))
	var null *signFuncPointer
	for name, ep := range map[string]sender.Endpoint{
		"nil":          {URL: sender.NewURL("https://a.example")},
		"typed nil":    {URL: sender.NewURL("https://a.example"), Signer: null},
		"sets nothing": {URL: sender.NewURL("https://a.example"), Signer: signFunc(func(context.Context, *http.Request, string, time.Time, []byte) error { return nil })},
		"sets nothing new": {URL: sender.NewURL("https://a.example"), Signer: signFunc(func(ctx context.Context, r *http.Request, _ string, _ time.Time, _ []byte) error {
			r.Header.Set("Content-Type", "application/json")
			return nil
		})},
	} {
		a := s.Attempt(t.Context(), ep, message())
		require.ErrorIs(t, a.Err, sender.ErrUnsigned, name)
		require.ErrorIs(t, a.Err, sender.ErrRefused, name)
		require.Equal(t, sender.Refused, a.Outcome, name)
		_, err := s.Deliver(t.Context(), ep, message())
		require.ErrorIs(t, err, sender.ErrUnsigned, name)
	}
	require.Zero(t, calls.n.Load())
	require.NoError(t, attempt(t, s, sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: sender.InsecureUnsigned()}).Err)
}

type signFuncPointer struct{ f signFunc }

func (p *signFuncPointer) Sign(ctx context.Context, r *http.Request, id string, at time.Time, body []byte) error {
	return p.f(ctx, r, id, at, body)
}

// TestSignerIsHeldToHeaders checks that a signer can only set its headers.
// Anything else that it does is undone or an error.
func TestSignerIsHeldToHeaders(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	sign := func(f func(r *http.Request)) sender.Endpoint {
		return sender.Endpoint{
			URL: sender.NewURL("https://a.example/x"), Header: sender.NewHeader(http.Header{"X-Key": {"mine"}}),
			Signer: signFunc(func(ctx context.Context, r *http.Request, _ string, _ time.Time, _ []byte) error {
				r.Header.Set("X-Signature", "s")
				f(r)
				return nil
			}),
		}
	}
	var sent *http.Request
	calls := fake(s, func(_ int, r *http.Request) (*http.Response, error) { sent = r; return answer(200) })
	for name, f := range map[string]func(r *http.Request){
		"idempotency key":   func(r *http.Request) { r.Header.Set("Idempotency-Key", "1") },
		"x-idempotency-key": func(r *http.Request) { r.Header["X-Idempotency-Key"] = []string{} },
		"content type":      func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
		"static header":     func(r *http.Request) { r.Header.Set("X-Key", "another") },
	} {
		a := attempt(t, s, sign(f))
		require.Equal(t, sender.Refused, a.Outcome, name)
		require.ErrorIs(t, a.Err, sender.ErrRefused, name)
	}
	require.Zero(t, calls.n.Load())

	a := attempt(t, s, sign(func(r *http.Request) {
		r.URL.Scheme, r.URL.Host, r.Host, r.Method = "http", "127.0.0.1", "b.example", http.MethodPut
		r.Body = io.NopCloser(strings.NewReader("other"))
		r.GetBody = func() (io.ReadCloser, error) { return r.Body, nil }
	}))
	require.NoError(t, a.Err)
	require.Equal(t, "https://a.example/x", sent.URL.String())
	require.Equal(t, "a.example", sent.Host)
	require.Equal(t, http.MethodPost, sent.Method)
	require.Nil(t, sent.GetBody)
	require.EqualValues(t, len(message().Body), sent.ContentLength)
}

// TestCanaryIsNowhere puts a secret in every place that can hold one. The
// endpoints fail in every way and echo the request. No record or error may
// contain the secret.
func TestCanaryIsNowhere(t *testing.T) {
	t.Parallel()
	echo := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Echo", "got "+r.Header.Get("Authorization"))
		w.Header().Add("Set-Cookie", "session="+canary)
		w.WriteHeader(http.StatusInternalServerError)
		_ = r.Header.Write(w)
	})
	broken := listen(t, func(conn net.Conn, _ int) {
		readRequest(conn)
		_, _ = io.WriteString(conn, "HTTP/9 "+canary+"\r\n\r\n")
	})
	tlsless := listen(t, func(conn net.Conn, _ int) { _, _ = io.WriteString(conn, canary+canary) })
	s := newSender(t, sender.WithSchedule(sender.Scaled(sender.Pipeline, 0)))
	signer := signFunc(func(ctx context.Context, r *http.Request, _ string, _ time.Time, _ []byte) error {
		r.Header.Set("Authorization", "Bearer "+canary)
		return nil
	})
	for _, base := range []string{
		echo.URL, "http://" + broken, "https://" + tlsless, "http://127.0.0.1:1", "https://no-such-host.invalid",
		"http://10.0.0.1", "ftp://a.example", "https://user:" + canary + "@a.example", "https://a.example:" + canary,
		"https://%zz" + canary, "https://a.example/%zz" + canary, canary, "https://a.example/#" + canary, "https://[" + canary + "]",
	} {
		ep := sender.Endpoint{URL: sender.NewURL(base + "/services/" + canary + "?token=" + canary), Signer: signer, Header: sender.NewHeader(http.Header{
			"X-Api-Key": {canary}, "Client-Id": {canary},
		})}
		if strings.ContainsAny(base, "%#") || base == canary {
			ep.URL = sender.NewURL(base)
		}
		r, err := s.Deliver(t.Context(), ep, message())
		require.Error(t, err, base)
		require.NotContains(t, everything(t, r, err, ep), canary, base)
		require.NotContains(t, everything(t, s.Check(t.Context(), ep), ep), canary, base)
	}
	ep := sender.Endpoint{URL: sender.NewURL(echo.URL), Signer: signer, Header: sender.NewHeader(http.Header{"X-Api-Key": {canary + "\r\n"}, canary + "\n": {"x"}})}
	require.NotContains(t, everything(t, s.Check(t.Context(), ep), ep), canary, "a header that is refused")

	a := attempt(t, s, sender.Endpoint{URL: sender.NewURL(echo.URL), Signer: signer})
	require.Contains(t, string(a.Body), "Authorization: Bearer *****", "the rest of an echo stays")
	require.Equal(t, []string{"[redacted]"}, a.RequestHeader["Authorization"])
	require.Equal(t, []string{"application/json"}, a.RequestHeader["Content-Type"])
}

// everything is what any way of printing shows of its arguments.
func everything(t *testing.T, all ...any) string {
	t.Helper()
	var b strings.Builder
	for _, v := range all {
		fmt.Fprintf(&b, "%v %+v %#v %s %q\n", v, v, v, v, v)
		slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
		for err, ok := v.(error); ok && err != nil; {
			fmt.Fprintf(&b, "%v %+v\n", err, err)
			u, more := err.(interface{ Unwrap() error })
			if err = nil; more {
				err = u.Unwrap()
			}
		}
		if r, ok := v.(*sender.Receipt); ok {
			for _, a := range r.Attempts {
				fmt.Fprintf(&b, "%v %+v %#v %s", a, a, a, a.Body)
				a.Err = nil
				text, err := json.Marshal(a)
				require.NoError(t, err)
				b.Write(text)
			}
		}
	}
	return b.String()
}

func TestEndpointPrintsItsOriginOnly(t *testing.T) {
	t.Parallel()
	ep := sender.Endpoint{URL: sender.NewURL("https://HOOKS.example.com.:443/" + canary), Header: sender.NewHeader(http.Header{"Authorization": {canary}})}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		require.Equal(t, "https://hooks.example.com:443", fmt.Sprintf(verb, ep), verb)
		require.Equal(t, "https://hooks.example.com:443", fmt.Sprintf(verb, &ep), verb)
	}
}

// TestTracesOfTheCaller checks that a trace in the caller's context works and
// does not lift the bounds.
func TestTracesOfTheCaller(t *testing.T) {
	t.Parallel()
	server := serve(t, func(http.ResponseWriter, *http.Request) {})
	var dialled, conn, interim atomic.Int64
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		ConnectStart:   func(string, string) { dialled.Add(1) },
		GotConn:        func(httptrace.GotConnInfo) { conn.Add(1) },
		Got1xxResponse: func(int, textproto.MIMEHeader) error { interim.Add(1); return nil },
	})
	s := newSender(t)
	require.NoError(t, s.Attempt(ctx, sender.Endpoint{URL: sender.NewURL(server.URL), Signer: standard(t)}, message()).Err)
	require.Equal(t, []int64{1, 1, 0}, []int64{dialled.Load(), conn.Load(), interim.Load()})

	flood := listen(t, flood1xx)
	a := s.Attempt(ctx, sender.Endpoint{URL: sender.NewURL("http://" + flood), Signer: standard(t)}, message())
	require.Equal(t, sender.ClassProtocol, a.Class)
	require.Less(t, interim.Load(), int64(20_000), "ends soon, though the other hook's verdict is the one that counts")
}

func TestCloseLeavesNoConnection(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{}, 8)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	server.Start()
	defer server.Close()
	s, err := sender.New(loopback())
	require.NoError(t, err)
	require.NoError(t, attempt(t, s, sender.Endpoint{URL: sender.NewURL(server.URL), Signer: standard(t)}).Err)
	s.Close()
	select {
	case <-closed:
	case <-time.After(patience): // an idle connection's own time is 90 s
		t.Fatal("the connection is still open")
	}
}

// TestBodiesAreClosed, of whatever kind the answer is.
func TestBodiesAreClosed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{101, 200, 204, 302, 410, 500} {
		s := newSender(t)
		var body closeNotifier
		fake(s, func(int, *http.Request) (*http.Response, error) {
			r, err := answer(status)
			body.Reader = strings.NewReader(strings.Repeat("x", 100<<10))
			r.Body = &body
			return r, err
		})
		attempt(t, s, sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t)})
		require.Equal(t, 1, body.closed, status)
	}
}

type closeNotifier struct {
	io.Reader
	closed int
}

func (c *closeNotifier) Close() error {
	c.closed++
	return nil
}

// TestHostIsNormalised checks that one host has one spelling on the wire.
func TestHostIsNormalised(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	var sent *url.URL
	var host string
	fake(s, func(_ int, r *http.Request) (*http.Response, error) { sent, host = r.URL, r.Host; return answer(200) })
	for text, want := range map[string]string{
		"https://Example.COM./Path?Q": "https://example.com/Path?Q",
		"https://example.com:/":       "https://example.com/",
		"https://[2606:4700:0::1]/":   "https://[2606:4700::1]/",
	} {
		require.NoError(t, attempt(t, s, sender.Endpoint{URL: sender.NewURL(text), Signer: standard(t)}).Err)
		require.Equal(t, want, sent.String())
		require.Equal(t, sent.Host, host)
	}
}

// A record shows the scheme and host of the endpoint's URL only. Its path may
// be a credential, and endpoints repeat it.
func TestThePathIsInNoRecord(t *testing.T) {
	t.Parallel()
	endpoint := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("moved") {
			w.Header().Set("Location", "/v2/hooks/S3CRETPATH/")
			w.Header().Set("Content-Location", "https://elsewhere.example/hooks/S3CRETPATH")
			w.WriteHeader(http.StatusMovedPermanently)
			return
		}
		http.Error(w, "Cannot POST "+r.URL.Path+" or "+r.URL.RequestURI(), http.StatusNotFound)
	})
	s := newSender(t)
	for _, path := range []string{"/hooks/S3CRETPATH", "/hooks/S3CRETPATH?moved", "/hooks/S3CRET%50ATH"} {
		a := attempt(t, s, sender.Endpoint{URL: sender.NewURL(endpoint.URL + path), Signer: standard(t)})
		require.NotContains(t, fmt.Sprintf("%+v %s", a, a.Body), "S3CRET", path)
	}
	a := attempt(t, s, sender.Endpoint{URL: sender.NewURL(endpoint.URL + "/?moved"), Signer: standard(t)})
	require.Equal(t, "https://elsewhere.example/[redacted]", a.ResponseHeader.Get("Content-Location"), "where it leads is worth knowing")
	require.Equal(t, "[redacted]", a.ResponseHeader.Get("Location"))
}

// After an error the transport may still read the request. Its header stays as
// it was sent, and the record has its own.
func TestRecordLeavesTheTransportsHeader(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]http.Header{"nothing to hide": nil, "a credential": {"X-Token": {canary}}} {
		s := newSender(t)
		var sent, before http.Header
		fake(s, func(_ int, r *http.Request) (*http.Response, error) {
			sent, before = r.Header, r.Header.Clone()
			return nil, errors.New("the answer came before the request was written")
		})
		a := attempt(t, s, sender.Endpoint{URL: sender.NewURL("https://127.0.0.1"), Signer: standard(t), Header: sender.NewHeader(header)})
		require.Error(t, a.Err, name)
		require.NotEmpty(t, a.RequestHeader, name)
		a.RequestHeader.Set("X-Reader", "of the record")
		require.Equal(t, before, sent, name)
	}
}
