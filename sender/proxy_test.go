package sender_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// forward is a proxy that does what CONNECT asks and notes what that was.
type forward struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
	auth  []string

	rewrite func(address string) string // where it really connects, if not nil
}

func newForward(t *testing.T, secure bool) *forward {
	t.Helper()
	f := &forward{}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(f.serve))
	f.Config.ErrorLog = log.New(io.Discard, "", 0)
	if secure {
		f.StartTLS()
	} else {
		f.Start()
	}
	t.Cleanup(f.Close)
	return f
}

func (f *forward) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.asked = append(f.asked, r.Method+" "+r.RequestURI)
	f.auth = append(f.auth, r.Header.Get("Proxy-Authorization"))
	f.mu.Unlock()
	if r.Method != http.MethodConnect {
		http.Error(w, "CONNECT only", http.StatusMethodNotAllowed)
		return
	}
	address := r.RequestURI
	if f.rewrite != nil {
		address = f.rewrite(address)
	}
	target, err := net.Dial("tcp", address)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer target.Close()
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	// Not before: what the client says next would be read by the server.
	_, _ = io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() {
		_, _ = io.Copy(target, client)
		_ = target.Close()
	}()
	_, _ = io.Copy(client, target)
}

func (f *forward) requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.asked...)
}

func parsed(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	require.NoError(t, err)
	return u
}

func pool(servers ...*httptest.Server) *x509.CertPool {
	p := x509.NewCertPool()
	for _, s := range servers {
		if c := s.Certificate(); c != nil {
			p.AddCert(c)
		}
	}
	return p
}

// TestProxy checks that names are resolved here, that the proxy gets the
// address, and that TLS is with the endpoint under its name.
func TestProxy(t *testing.T) {
	t.Parallel()
	for _, secureProxy := range []bool{false, true} {
		for _, scheme := range []string{"https", "http"} {
			t.Run(fmt.Sprintf("%s, TLS with proxy: %v", scheme, secureProxy), func(t *testing.T) {
				t.Parallel()
				target := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("X-Saw", fmt.Sprintf("%s %s [%s]", r.Host, r.Proto, r.Header.Get("Proxy-Authorization")))
				}))
				target.EnableHTTP2 = true
				if scheme == "https" {
					target.StartTLS()
				} else {
					target.Start()
				}
				t.Cleanup(target.Close)
				p := newForward(t, secureProxy)
				dns := newNameServer(t)
				dns.set("example.com", "127.0.0.1") // the name in httptest's certificate
				via := parsed(t, p.URL)
				via.User = url.UserPassword("deploy", canary)
				s := newSender(t, sender.WithResolver(dns.resolver()), sender.WithProxy(via), sender.WithRootCAs(pool(target, p.Server)))
				address := target.Listener.Addr().String()
				_, port, err := net.SplitHostPort(address)
				require.NoError(t, err)
				ep := sender.Endpoint{URL: sender.NewURL(scheme + "://example.com:" + port), Signer: standard(t)}
				a := attempt(t, s, ep)
				require.NoError(t, a.Err)
				require.Equal(t, address, a.Addr.String(), "the record shows the endpoint's address")
				require.Positive(t, a.Timings.DNS)
				require.Positive(t, a.Timings.Connect)
				require.Equal(t, []string{"CONNECT " + address}, p.requests())
				require.Equal(t, []string{"Basic " + base64.StdEncoding.EncodeToString([]byte("deploy:"+canary))}, p.auth)
				proto := map[string]string{"https": "HTTP/2.0", "http": "HTTP/1.1"}[scheme]
				require.Equal(t, "example.com:"+port+" "+proto+" []", a.ResponseHeader.Get("X-Saw"))
				require.NotContains(t, everything(t, a), canary)
				again := attempt(t, s, ep)
				require.NoError(t, again.Err)
				require.True(t, again.Reused)
				require.Equal(t, address, again.Addr.String())
				require.Len(t, p.requests(), 1)
			})
		}
	}
}

// TestProxyKeepsTheGuard checks that the proxy is never asked for an address
// that the guard refuses, even if DNS changes its answer.
func TestProxyKeepsTheGuard(t *testing.T) {
	t.Parallel()
	p := newForward(t, false)
	dns := newNameServer(t)
	s, err := sender.New(sender.WithResolver(dns.resolver()), sender.WithProxy(parsed(t, p.URL)), sender.InsecureHTTP())
	require.NoError(t, err)
	defer s.Close()
	dns.set("rebind.example", "93.184.215.14")
	for _, scheme := range []string{"https", "http"} {
		ep := sender.Endpoint{URL: sender.NewURL(scheme + "://rebind.example"), Signer: standard(t)}
		dns.set("rebind.example", "93.184.215.14")
		require.NoError(t, s.Check(t.Context(), ep))
		for _, inside := range []string{"127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "168.63.129.16", "::ffff:127.0.0.1"} {
			dns.set("rebind.example", inside)
			a := attempt(t, s, ep)
			require.ErrorIs(t, a.Err, sender.ErrForbiddenAddress, inside)
			require.Equal(t, sender.Refused, a.Outcome)
			require.Equal(t, netip.MustParseAddr(inside).Unmap(), a.Addr.Addr())
		}
		dns.set("rebind.example")
		require.Equal(t, sender.ClassDNS, attempt(t, s, ep).Class)
	}
	for _, tr := range sender.Transports(s) {
		_, err := tr.DialContext(t.Context(), "udp", "127.0.0.1:53")
		require.ErrorIs(t, err, sender.ErrForbiddenAddress)
		_, err = tr.DialContext(t.Context(), "tcp", "127.0.0.1:80")
		require.ErrorIs(t, err, sender.ErrForbiddenAddress)
	}
	require.Empty(t, p.requests())
}

// TestProxyEveryAddress checks that the proxy is asked for each permitted
// address in turn, and that a failure does not keep the next one from being
// tried.
func TestProxyEveryAddress(t *testing.T) {
	t.Parallel()
	p := newForward(t, false)
	port, _ := counter(t, "127.0.0.1:0")
	dns := newNameServer(t)
	dns.set("many.example", "127.0.0.9", "10.0.0.1", "127.0.0.1") // nothing listens at the first
	s := newSender(t, sender.WithResolver(dns.resolver()), sender.WithProxy(parsed(t, p.URL)))
	a := attempt(t, s, sender.Endpoint{URL: sender.NewURL("http://many.example:" + port), Signer: standard(t)})
	require.NoError(t, a.Err)
	require.Equal(t, "127.0.0.1:"+port, a.Addr.String())
	require.Contains(t, p.requests(), "CONNECT 127.0.0.1:"+port)
	require.NotContains(t, strings.Join(p.requests(), " "), "10.0.0.1")
}

// TestProxyAddressesShareTheTime checks that there is time for the second
// address if the proxy does not answer for the first.
func TestProxyAddressesShareTheTime(t *testing.T) {
	t.Parallel()
	_, port, err := net.SplitHostPort(serve(t, func(http.ResponseWriter, *http.Request) {}).Listener.Addr().String())
	require.NoError(t, err)
	via := listen(t, func(conn net.Conn, _ int) {
		r := bufio.NewReader(conn)
		req, err := http.ReadRequest(r)
		if err != nil || strings.HasPrefix(req.RequestURI, "127.0.0.9:") {
			_, _ = io.Copy(io.Discard, conn)
			return
		}
		target, err := net.Dial("tcp", req.RequestURI)
		if err != nil {
			return
		}
		defer target.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		go func() {
			_, _ = io.Copy(conn, target)
			_ = conn.Close()
		}()
		_, _ = io.Copy(target, r)
	})
	dns := newNameServer(t)
	dns.set("two.example", "127.0.0.9", "127.0.0.1")
	s := newSender(t, sender.WithResolver(dns.resolver()), sender.WithProxy(&url.URL{Scheme: "http", Host: via}))
	// The second address has half of the time, which a slow machine may need.
	for timeout := 4 * time.Second; ; timeout *= 2 {
		a := s.Attempt(t.Context(), sender.Endpoint{URL: sender.NewURL("http://two.example:" + port), Signer: standard(t), Timeout: timeout}, message())
		if a.Err == nil {
			break
		}
		require.Less(t, timeout, patience, "%v", a.Err)
	}
}

// TestProxyManyAddresses checks that a name with many addresses does not make
// many connections.
func TestProxyManyAddresses(t *testing.T) {
	t.Parallel()
	p := newForward(t, false)
	dns := newNameServer(t)
	dns.set("many.example", "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6", "127.0.0.7")
	s := newSender(t, sender.WithResolver(dns.resolver()), sender.WithProxy(parsed(t, p.URL)))
	a := attempt(t, s, sender.Endpoint{URL: sender.NewURL("http://many.example:1"), Signer: standard(t)})
	require.Equal(t, sender.ClassProxy, a.Class)
	require.ErrorContains(t, a.Err, "answered 502 Bad Gateway")
	require.Len(t, p.requests(), 4)
}

// TestProxyFailures checks that each attempt ends in time. Its error says what
// the proxy did, and repeats nothing that the proxy echoes.
func TestProxyFailures(t *testing.T) {
	t.Parallel()
	say := func(text string) func(net.Conn, int) {
		return func(conn net.Conn, _ int) {
			buf := make([]byte, 4096)
			n, _ := conn.Read(buf)
			request := strings.ReplaceAll(string(buf[:n]), "\r\n", " ")
			text := strings.ReplaceAll(text, "ECHOED", strings.ReplaceAll(request, " ", "_"))
			_, _ = io.WriteString(conn, strings.ReplaceAll(text, "ECHO", request))
		}
	}
	for name, c := range map[string]struct {
		serve func(net.Conn, int)
		class sender.Class
		text  string
	}{
		"407":       {say("HTTP/1.1 407 ECHO\r\nProxy-Authenticate: Basic realm=\"ECHO\"\r\n\r\nECHO"), sender.ClassProxy, "answered 407 Proxy Authentication Required"},
		"403":       {say("HTTP/1.1 403 no\r\nX-Echo: ECHO\r\n\r\n"), sender.ClassProxy, "answered 403 Forbidden"},
		"502":       {say("HTTP/1.1 502 Bad Gateway\r\n\r\n"), sender.ClassProxy, "answered 502 Bad Gateway"},
		"302":       {say("HTTP/1.1 302 Found\r\nLocation: https://evil.example/ECHO\r\n\r\n"), sender.ClassProxy, "answered 302"},
		"100":       {say("HTTP/1.1 100 Continue\r\n\r\n"), sender.ClassProxy, "answered 100"},
		"unknown":   {say("HTTP/1.1 799 ECHO\r\n\r\n"), sender.ClassProxy, "answered 799 to CONNECT"},
		"garbage":   {say("ECHO garbage\r\n\r\n"), sender.ClassProxy, "no valid answer"},
		"echo":      {say("HTTP/ECHOED\r\n\r\n"), sender.ClassProxy, "no valid answer"},
		"closes":    {func(net.Conn, int) {}, sender.ClassProxy, "proxy"},
		"too early": {say("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), sender.ClassProxy, "something after its answer"},
		"flood": {func(conn net.Conn, _ int) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
			spew(conn, "X-Flood: "+strings.Repeat("x", 1000)+"\r\n")
		}, sender.ClassProxy, "no valid answer"},
		"hang": {func(conn net.Conn, _ int) { _, _ = io.Copy(io.Discard, conn) }, sender.ClassTimeout, ""},
		"drip": {func(conn net.Conn, _ int) { drip(conn) }, sender.ClassTimeout, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			via := &url.URL{Scheme: "http", Host: listen(t, c.serve), User: url.UserPassword("deploy", canary)}
			s := newSender(t, sender.WithProxy(via))
			ep := sender.Endpoint{URL: sender.NewURL("https://127.0.0.1:1/hook"), Signer: standard(t), Timeout: 2 * patience}
			if c.class == sender.ClassTimeout {
				ep.Timeout = 2 * time.Second
			}
			begin := time.Now()
			a := attempt(t, s, ep)
			require.Less(t, time.Since(begin), patience)
			require.Equal(t, sender.Failed, a.Outcome, "%v", a.Err)
			require.Equal(t, c.class, a.Class, "%v", a.Err)
			require.ErrorContains(t, a.Err, c.text)
			all := everything(t, a, a.Err)
			require.NotContains(t, all, canary)
			require.NotContains(t, all, base64.StdEncoding.EncodeToString([]byte("deploy:"+canary)))
			require.NotContains(t, all, "garbage")
			require.Equal(t, "127.0.0.1:1", a.Addr.String())
		})
	}
}

// TestProxyNotReached covers a proxy that is down, has an unknown name, or has
// an untrusted certificate.
func TestProxyNotReached(t *testing.T) {
	t.Parallel()
	dns := newNameServer(t)
	secure := newForward(t, true)
	for name, via := range map[string]string{
		"down":      "http://127.0.0.1:1",
		"no name":   "http://proxy.example:3128",
		"untrusted": secure.URL,
	} {
		s := newSender(t, sender.WithResolver(dns.resolver()), sender.WithProxy(parsed(t, via)))
		a := attempt(t, s, sender.Endpoint{URL: sender.NewURL("https://127.0.0.1:1"), Signer: standard(t)})
		require.Equal(t, sender.ClassProxy, a.Class, "%s: %v", name, a.Err)
		require.Equal(t, sender.Failed, a.Outcome)
		require.ErrorContains(t, a.Err, "no connection through the proxy")
	}
	require.Empty(t, secure.requests())
}

// TestProxyCancel checks that a cancelled attempt at a silent proxy ends at
// once, and so does its connection. Without that, the connection ends with the
// dial's own limit of 10 s. It tries again if the machine has stalled for half
// of that.
func TestProxyCancel(t *testing.T) {
	t.Parallel()
	for range 5 {
		if outlived(t) < 5*time.Second {
			return
		}
	}
	require.Fail(t, "the connection to the proxy outlives the attempt")
}

// outlived cancels an attempt while the proxy is silent, and returns how long
// the connection to the proxy stays open.
func outlived(t *testing.T) time.Duration {
	t.Helper()
	asked, gone := make(chan struct{}), make(chan struct{})
	via := &url.URL{Scheme: "http", Host: listen(t, func(conn net.Conn, _ int) {
		buf := make([]byte, 4096)
		_, _ = conn.Read(buf)
		close(asked)
		_, _ = conn.Read(buf) // until the sender hangs up
		close(gone)
	})}
	s := newSender(t, sender.WithProxy(via))
	ctx, cancel := context.WithCancel(t.Context())
	begun := make(chan time.Time, 1)
	go func() {
		<-asked
		begun <- time.Now()
		cancel()
	}()
	ep := sender.Endpoint{URL: sender.NewURL("https://127.0.0.1:1"), Signer: standard(t), Timeout: 2 * patience}
	a := s.Attempt(ctx, ep, message())
	require.Equal(t, sender.Canceled, a.Outcome)
	select {
	case <-gone:
	case <-time.After(patience):
		require.Fail(t, "the connection to the proxy is still open")
	}
	return time.Since(<-begun)
}

func TestProxyConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ url, part string }{
		{"socks5://user:" + canary + "@127.0.0.1:1080", "http:// or https://"},
		{"127.0.0.1:3128", "http"},
		{"//user:" + canary + "@proxy.example:3128", "http:// or https://"},
		{"http://user:" + canary + "@:3128", "no host"},
		{"http:proxy.example", "no host"},
		{"http://user:" + canary + "@proxy.example/" + canary, "more than"},
		{"http://user:" + canary + "@proxy.example?" + canary, "more than"},
		{"http://user:" + canary + "@proxy.example#" + canary, "more than"},
	} {
		u, err := url.Parse(c.url)
		if err != nil {
			u = &url.URL{Scheme: "socks5", Host: "x"}
		}
		_, err = sender.New(sender.WithProxy(u))
		require.ErrorIs(t, err, sender.ErrConfig, c.url)
		require.ErrorContains(t, err, "WithProxy", c.url)
		require.ErrorContains(t, err, c.part, c.url)
		require.NotContains(t, everything(t, err), canary)
	}
	_, err := sender.New(sender.WithProxy(nil))
	require.ErrorContains(t, err, "WithProxy: the URL is nil")
	for _, ok := range []string{"http://proxy.example", "https://proxy.example/", "http://user@[::1]:3128"} {
		s, err := sender.New(sender.WithProxy(parsed(t, ok)))
		require.NoError(t, err, ok)
		s.Close()
	}
}
