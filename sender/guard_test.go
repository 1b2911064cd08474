package sender_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// TestGuardRanges asks for both edges of the IANA special-purpose ranges and
// their neighbours.
func TestGuardRanges(t *testing.T) {
	t.Parallel()
	s, err := sender.New(sender.InsecureHTTP())
	require.NoError(t, err)
	defer s.Close()
	for _, c := range strings.Fields(`
		0.0.0.0-0.255.255.255 10.0.0.0-10.255.255.255 100.64.0.0-100.127.255.255 127.0.0.0-127.255.255.255
		169.254.0.0-169.254.255.255 172.16.0.0-172.31.255.255 192.0.0.0-192.0.0.255 192.0.2.0-192.0.2.255
		192.31.196.0-192.31.196.255 192.52.193.0-192.52.193.255 192.88.99.0-192.88.99.255 192.168.0.0-192.168.255.255
		192.175.48.0-192.175.48.255 198.18.0.0-198.19.255.255 198.51.100.0-198.51.100.255 203.0.113.0-203.0.113.255
		224.0.0.0-255.255.255.255 168.63.129.16-168.63.129.16
		:: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:168.63.129.16 ::ffff:0:127.0.0.1
		64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1 100:0:0:1::1 2001::1-2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff
		2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff 2002::-2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff
		2620:4f:8000::-2620:4f:8000:ffff:ffff:ffff:ffff:ffff 3fff::-3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff
		5f00::1 fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff fe80::-febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff
		fe80::1%lo fe80::1%1 ::1%lo fec0::1 ff00::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff`) {
		first, last, isRange := strings.Cut(c, "-")
		if !isRange {
			last = first
		}
		for _, text := range []string{first, last} {
			for _, plain := range []bool{false, true} {
				err := sender.GuardCheck(s, netip.AddrPortFrom(netip.MustParseAddr(text), 443), plain)
				require.ErrorIs(t, err, sender.ErrForbiddenAddress, text)
				require.ErrorContains(t, err, "AllowNetworks", text)
			}
		}
	}
	require.ErrorIs(t, sender.GuardCheck(s, netip.AddrPort{}, false), sender.ErrForbiddenAddress)
	for _, text := range strings.Fields(`1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255
		169.255.0.0 172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255
		168.63.129.15 168.63.129.17 8.8.8.8 ::ffff:8.8.8.8 64:ff9b::808:808 2606:4700::1 2a00::1`) {
		require.NoError(t, sender.GuardCheck(s, netip.AddrPortFrom(netip.MustParseAddr(text), 443), false), text)
	}
}

// TestGuardOptions checks which addresses each option opens and closes.
func TestGuardOptions(t *testing.T) {
	t.Parallel()
	const https, http = false, true
	allow := func(texts ...string) (o []sender.Option) {
		for _, p := range texts {
			o = append(o, sender.AllowNetworks(netip.MustParsePrefix(p)))
		}
		return o
	}
	deny := func(texts ...string) (o []sender.Option) {
		for _, p := range texts {
			o = append(o, sender.DenyNetworks(netip.MustParsePrefix(p)))
		}
		return o
	}
	nat64 := func(texts ...string) (o []sender.Option) {
		for _, p := range texts {
			o = append(o, sender.WithNAT64(netip.MustParsePrefix(p)))
		}
		return o
	}
	for _, c := range []struct {
		opts  []sender.Option
		to    string
		plain bool
		is    error
	}{
		// A network that is denied stays closed, whatever else is open.
		{deny("8.8.8.0/24"), "8.8.8.8:443", https, sender.ErrForbiddenAddress},
		{deny("8.8.8.0/24"), "[::ffff:8.8.8.8]:443", https, sender.ErrForbiddenAddress},
		{deny("8.8.8.0/24"), "[64:ff9b::808:808]:443", https, sender.ErrForbiddenAddress},
		{deny("8.8.8.0/24"), "8.8.9.8:443", https, nil},
		{deny("2600:1f00::/24"), "[2600:1f00::1]:443", https, sender.ErrForbiddenAddress},
		{deny("2600:1f00::/24"), "[2600:1f00::1%eth0]:443", https, sender.ErrForbiddenAddress},
		{deny("64:ff9b::/96"), "[64:ff9b::808:808]:443", https, sender.ErrForbiddenAddress},
		{append(allow("10.0.0.0/8"), deny("10.1.0.0/16")...), "10.1.2.3:80", http, sender.ErrForbiddenAddress},
		{append(deny("10.1.0.0/16"), allow("10.1.2.3/32")...), "10.1.2.3:80", http, sender.ErrForbiddenAddress},
		{append(allow("10.0.0.0/8"), deny("10.1.0.0/16")...), "10.2.2.3:80", http, nil},
		{append(deny("8.8.8.0/24"), sender.InsecureHTTP()), "8.8.8.8:80", http, sender.ErrForbiddenAddress},

		// An embedded IPv4 address decides, even if the IPv6 network is allowed.
		{allow("64:ff9b::/96"), "[64:ff9b::a9fe:a9fe]:80", http, sender.ErrForbiddenAddress},
		{allow("64:ff9b::/96"), "[64:ff9b::7f00:1]:443", https, sender.ErrForbiddenAddress},
		{allow("::/0"), "[64:ff9b::7f00:1]:443", https, sender.ErrForbiddenAddress},
		{allow("10.0.0.0/8"), "[64:ff9b::a00:1]:80", http, nil},
		{nil, "[64:ff9b::808:808]:443", https, nil},
		{nil, "[64:ff9b::808:808]:80", http, sender.ErrRefused},
		{allow("2001:db8::/32"), "[2001:db8:7f00:1::]:443", https, nil}, // not known as NAT64
		{append(nat64("2001:db8::/32"), allow("2001:db8::/32")...), "[2001:db8:7f00:1::]:443", https, sender.ErrForbiddenAddress},
		{nat64("2001:db8::/32"), "[2001:db8:808:808::]:443", https, nil},
		{nat64("2001:db8:100::/40"), "[2001:db8:17f:0:1::]:443", https, sender.ErrForbiddenAddress}, // 127.0.0.1
		{nat64("2001:db8:100::/40"), "[2001:db8:108:808:8::]:443", https, nil},
		{nat64("2001:db8:122::/48"), "[2001:db8:122:c000:2:2100::]:443", https, sender.ErrForbiddenAddress}, // 192.0.2.33 of RFC 6052
		{nat64("2001:db8:122::/48"), "[2001:db8:122:808:8:800::]:443", https, nil},
		{nat64("2001:db8:122:300::/56"), "[2001:db8:122:3c0:0:221::]:443", https, sender.ErrForbiddenAddress},
		{nat64("2001:db8:122:300::/56"), "[2001:db8:122:308:8:808::]:443", https, nil},
		{nat64("2001:db8:122:344::/64"), "[2001:db8:122:344:c0:2:2100::]:443", https, sender.ErrForbiddenAddress},
		{nat64("2001:db8:122:344::/64"), "[2001:db8:122:344:8:808:800::]:443", https, nil},
		{nat64("2001:db8:122:344::/96"), "[2001:db8:122:344::192.0.2.33]:443", https, sender.ErrForbiddenAddress},
		{nat64("2001:db8:122:344::/96"), "[2001:db8:122:344::8.8.8.8]:443", https, nil},

		// 192.0.2.33 under each of the prefixes in section 2.4 of RFC 6052. Only this
		// one address is allowed for http, so each of its four bytes must be found.
		{append(nat64("2001:db8::/32"), allow("192.0.2.33/32")...), "[2001:db8:c000:221::]:80", http, nil},
		{append(nat64("2001:db8:100::/40"), allow("192.0.2.33/32")...), "[2001:db8:1c0:2:21::]:80", http, nil},
		{append(nat64("2001:db8:122::/48"), allow("192.0.2.33/32")...), "[2001:db8:122:c000:2:2100::]:80", http, nil},
		{append(nat64("2001:db8:122:300::/56"), allow("192.0.2.33/32")...), "[2001:db8:122:3c0:0:221::]:80", http, nil},
		{append(nat64("2001:db8:122:344::/64"), allow("192.0.2.33/32")...), "[2001:db8:122:344:c0:2:2100::]:80", http, nil},
		{append(nat64("2001:db8:122:344::/96"), allow("192.0.2.33/32")...), "[2001:db8:122:344::192.0.2.33]:80", http, nil},

		// An address without a zero byte, where RFC 6052 puts one in between.
		{append(nat64("2001:db8:122::/48"), allow("10.1.2.3/32")...), "[2001:db8:122:a01:2:300::]:80", http, nil},
		{append(nat64("2001:db8:122:300::/56"), allow("10.1.2.3/32")...), "[2001:db8:122:30a:1:203::]:80", http, nil},

		{nil, "8.8.8.8:443", https, nil},
		{nil, "8.8.8.8:8443", https, nil},
		{nil, "8.8.8.8:80", http, sender.ErrRefused},
		{nil, "127.0.0.1:443", https, sender.ErrForbiddenAddress},
		{[]sender.Option{sender.InsecureHTTP()}, "8.8.8.8:80", http, nil},
		{[]sender.Option{sender.InsecureHTTP()}, "127.0.0.1:80", http, sender.ErrForbiddenAddress},
		{allow("127.0.0.0/8"), "127.0.0.1:80", http, nil},
		{allow("127.0.0.0/8"), "127.0.0.1:443", https, nil},
		{allow("127.0.0.0/8"), "8.8.8.8:443", https, nil},
		{allow("127.0.0.0/8"), "8.8.8.8:80", http, sender.ErrRefused},
		{allow("127.0.0.0/8"), "10.0.0.1:80", http, sender.ErrForbiddenAddress},
		{allow("127.0.0.0/8"), "[::ffff:127.0.0.1]:80", http, nil},
		{allow("::ffff:127.0.0.0/104"), "127.0.0.1:80", http, nil},
		{allow("::ffff:10.0.0.0/104"), "10.255.0.1:80", http, nil},
		{allow("::ffff:10.0.0.0/104"), "11.0.0.1:80", http, sender.ErrRefused},
		{allow("::ffff:0.0.0.0/96"), "10.0.0.1:80", http, nil},
		{allow("fe80::/10"), "[fe80::1%lo]:80", http, nil},
		{allow("10.1.2.3/8", "172.16.0.0/12"), "10.9.9.9:80", http, nil},
		{allow("10.1.2.3/8", "172.16.0.0/12"), "172.31.0.1:80", http, nil},
		{append(allow("127.0.0.0/8"), sender.WithPorts(443), sender.WithPorts(8443)), "127.0.0.1:8443", https, nil},
		{append(allow("127.0.0.0/8"), sender.WithPorts(443)), "127.0.0.1:22", https, sender.ErrRefused},
		{[]sender.Option{sender.WithPorts(443)}, "8.8.8.8:22", https, sender.ErrRefused},
	} {
		s, err := sender.New(c.opts...)
		require.NoError(t, err)
		err = sender.GuardCheck(s, netip.MustParseAddrPort(c.to), c.plain)
		if c.is == nil {
			require.NoError(t, err, c.to)
		} else {
			require.ErrorIs(t, err, c.is, c.to)
		}
		s.Close()
	}
}

// TestGuardNamesWhatDecided checks that an operator learns which address was
// judged.
func TestGuardNamesWhatDecided(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	for address, says := range map[string]string{
		"10.0.0.1":         ": 10.0.0.1 is not a public",
		"::ffff:10.0.0.1":  ": 10.0.0.1 is not a public",
		"fe80::1%eth0":     ": fe80::1 is not a public",
		"64:ff9b::a00:1":   ": 64:ff9b::a00:1, which stands for 10.0.0.1, is not a public",
		"64:ff9b::a00:1%x": ": 64:ff9b::a00:1, which stands for 10.0.0.1, is not a public",
	} {
		err := sender.GuardCheck(s, netip.AddrPortFrom(netip.MustParseAddr(address), 443), false)
		require.ErrorContains(t, err, says)
	}
}

// counter is a server that counts connections, on a given address.
func counter(t *testing.T, address string) (port string, n *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	require.NoError(t, err)
	n = new(atomic.Int64)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close") // so that each attempt dials
	}))
	_ = server.Listener.Close()
	server.Listener = l
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			n.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	_, port, err = net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return port, n
}

// TestRebinding lets DNS answer with a public address when the endpoint is
// registered, and with loopback when it is dialled.
func TestRebinding(t *testing.T) {
	t.Parallel()
	dns := newNameServer(t)
	port, connections := counter(t, "127.0.0.1:0")
	s, err := sender.New(sender.WithResolver(dns.resolver()))
	require.NoError(t, err)
	defer s.Close()
	ep := sender.Endpoint{URL: sender.NewURL("https://rebind.example:" + port), Signer: standard(t)}

	dns.set("rebind.example", "93.184.215.14", "2606:4700::1")
	require.NoError(t, s.Check(t.Context(), ep))

	for _, inside := range []string{"127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "168.63.129.16", "::ffff:127.0.0.1"} {
		dns.set("rebind.example", inside)
		r, err := s.Deliver(t.Context(), ep, message())
		require.ErrorIs(t, err, sender.ErrForbiddenAddress, inside)
		require.Equal(t, sender.Refused, r.Outcome)
		require.Len(t, r.Attempts, 1, "no retry mends it")
		require.Equal(t, sender.ClassPolicy, r.Attempts[0].Class)
		require.ErrorContains(t, err, "AllowNetworks")
		require.Equal(t, netip.MustParseAddr(inside).Unmap(), r.Attempts[0].Addr.Addr().Unmap(), "what was refused is on record")

		err = s.Check(t.Context(), ep)
		require.ErrorIs(t, err, sender.ErrForbiddenAddress, inside)
		var fault *sender.EndpointError
		require.ErrorAs(t, err, &fault)
		require.Equal(t, "URL", fault.Field)
	}
	require.Zero(t, connections.Load())
}

// TestEveryAddressEveryAttempt checks that only the allowed one of several
// addresses is dialled, and that each attempt checks the answer of DNS again.
func TestEveryAddressEveryAttempt(t *testing.T) {
	t.Parallel()
	dns := newNameServer(t)
	port, good := counter(t, "127.0.0.1:0")
	_, bad := counter(t, "127.0.0.2:"+port)
	s, err := sender.New(sender.WithResolver(dns.resolver()), sender.AllowNetworks(netip.MustParsePrefix("127.0.0.1/32")))
	require.NoError(t, err)
	defer s.Close()
	ep := sender.Endpoint{URL: sender.NewURL("http://many.example:" + port), Signer: standard(t)}

	for range 4 {
		dns.set("many.example", "127.0.0.2", "127.0.0.1")
		a := attempt(t, s, ep)
		require.NoError(t, a.Err)
		require.Equal(t, "127.0.0.1", a.Addr.Addr().String())
		require.Positive(t, a.Timings.DNS)
		require.ErrorIs(t, s.Check(t.Context(), ep), sender.ErrForbiddenAddress, "one that is forbidden is enough")

		dns.set("many.example", "127.0.0.2")
		require.ErrorIs(t, attempt(t, s, ep).Err, sender.ErrForbiddenAddress)
	}
	require.EqualValues(t, 4, good.Load())
	require.Zero(t, bad.Load())
}

func TestCheckResolves(t *testing.T) {
	t.Parallel()
	dns := newNameServer(t)
	s, err := sender.New(sender.WithResolver(dns.resolver()))
	require.NoError(t, err)
	defer s.Close()
	ep := sender.Endpoint{URL: sender.NewURL("https://nowhere.example/" + canary), Signer: standard(t)}
	err = s.Check(t.Context(), ep)
	var unknown *net.DNSError
	require.ErrorAs(t, err, &unknown)
	require.True(t, unknown.IsNotFound)
	require.NotErrorIs(t, err, sender.ErrRefused)
	require.Equal(t, sender.ClassDNS, attempt(t, s, ep).Class)
	require.Equal(t, sender.Failed, attempt(t, s, ep).Outcome, "a name may be missing for a while")

	dns.set("public.example", "93.184.215.14")
	require.NoError(t, s.Check(t.Context(), sender.Endpoint{URL: sender.NewURL("https://public.example"), Signer: standard(t)}))
	require.ErrorIs(t, s.Check(t.Context(), sender.Endpoint{URL: sender.NewURL("http://public.example"), Signer: standard(t)}), sender.ErrRefused)

	s2, err := sender.New(sender.WithResolver(dns.resolver()), loopback())
	require.NoError(t, err)
	defer s2.Close()
	err = s2.Check(t.Context(), sender.Endpoint{URL: sender.NewURL("http://public.example"), Signer: standard(t)})
	require.ErrorIs(t, err, sender.ErrRefused)
	require.ErrorContains(t, err, "InsecureHTTP")
}

// TestProxiesOfTheEnvironmentAreIgnored checks that no proxy hides the
// endpoint's address from the guard. net/http reads the environment once per
// process, so the test starts a child process.
func TestProxiesOfTheEnvironmentAreIgnored(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	proxy := serve(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	// net/http never uses a proxy for a host that looks like loopback, so this
	// one does not.
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHelperProxy$", "-test.v")
	cmd.Env = os.Environ()
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		cmd.Env = append(cmd.Env, name+"="+proxy.URL, strings.ToLower(name)+"="+proxy.URL)
	}
	cmd.Env = append(cmd.Env, "NO_PROXY=", "no_proxy=", "REQUEST_METHOD=", "SENDER_TEST_PROXY=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "child done")
	require.Zero(t, asked.Load())
}

// TestHelperProxy is the child of the test above.
func TestHelperProxy(t *testing.T) {
	if os.Getenv("SENDER_TEST_PROXY") == "" {
		return // not the child
	}
	dns := newNameServer(t)
	dns.set("inside.example", "127.0.0.1")
	var direct atomic.Int64
	server := serve(t, func(http.ResponseWriter, *http.Request) { direct.Add(1) })
	s := newSender(t, sender.WithResolver(dns.resolver()))
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	a := attempt(t, s, sender.Endpoint{URL: sender.NewURL("http://inside.example:" + port), Signer: standard(t)})
	require.NoError(t, a.Err)
	require.EqualValues(t, 1, direct.Load())

	closed, err := sender.New(sender.WithResolver(dns.resolver()))
	require.NoError(t, err)
	defer closed.Close()
	a = attempt(t, closed, sender.Endpoint{URL: sender.NewURL("https://inside.example:" + port), Signer: standard(t)})
	require.ErrorIs(t, a.Err, sender.ErrForbiddenAddress)
	t.Log("child done")
}

// TestHungNameServer checks that the deadline covers DNS, and that no goroutine
// is left.
func TestHungNameServer(t *testing.T) {
	t.Parallel()
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	// Package net ends an abandoned query after its own timeout of 5 s. These
	// queries have none, so an attempt that waits for its query never ends.
	var mu sync.Mutex
	var queries []net.Conn
	s := newSender(t, sender.WithResolver(&net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		conn, err := net.Dial("udp", silent.LocalAddr().String())
		mu.Lock()
		defer mu.Unlock()
		queries = append(queries, conn)
		return endless{conn}, err
	}}))
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range queries {
			_ = conn.Close()
		}
	})
	ep := sender.Endpoint{URL: sender.NewURL("https://slow.example"), Signer: standard(t), Timeout: 100 * time.Millisecond}
	ended := make(chan sender.Attempt, 1)
	go func() { ended <- s.Attempt(t.Context(), ep, message()) }()
	select {
	case a := <-ended:
		require.Equal(t, sender.ClassTimeout, a.Class, "%v", a.Err)
	case <-time.After(patience):
		require.Fail(t, "the attempt waits for its query")
	}
}

// endless is a connection without deadlines.
type endless struct{ net.Conn }

func (endless) SetDeadline(time.Time) error      { return nil }
func (endless) SetReadDeadline(time.Time) error  { return nil }
func (endless) SetWriteDeadline(time.Time) error { return nil }

func TestGuardKnowsTCPOnly(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	for _, tr := range sender.Transports(s) {
		require.Nil(t, tr.Proxy)
		_, err := tr.DialContext(t.Context(), "udp", "127.0.0.1:53")
		require.ErrorIs(t, err, sender.ErrForbiddenAddress)
		_, err = tr.DialContext(t.Context(), "unix", "/tmp/x")
		require.ErrorIs(t, err, sender.ErrForbiddenAddress)
	}
	_, err := sender.Dial(t.Context(), s, "10.0.0.1:443")
	require.ErrorIs(t, err, sender.ErrForbiddenAddress, "without an attempt, too")
}

func badPrefix() netip.Prefix { return netip.Prefix{} }

func mixedPrefix() netip.Prefix { return netip.MustParsePrefix("::ffff:0.0.0.0/95") }
