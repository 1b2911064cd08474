package sendertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"

	"github.com/deployhook/deployhook/internal/memnet"
	"github.com/deployhook/deployhook/sender"
)

// documentation is a network that no machine is in (RFC 5737). Without the
// options of a Network, a Sender refuses it.
var documentation = netip.MustParsePrefix("192.0.2.0/24")

// perHost is how many addresses of that network are used with each port.
const perHost = 254

// Network has the endpoints of one test. Make it with [NewNetwork] or
// [NewLoopback]. It is safe for concurrent use.
type Network struct {
	t   testing.TB
	tcp bool

	mu      sync.Mutex
	servers map[string]*memnet.Server // by address
}

// NewNetwork returns a network in memory. It works in a testing/synctest
// bubble, where deadlines and waits take no time. Senders reach it with
// [Network.Options], and reach nothing else.
func NewNetwork(t testing.TB) *Network {
	return &Network{t: t, servers: map[string]*memnet.Server{}}
}

// NewLoopback returns a network whose endpoints listen on 127.0.0.1. Use it for
// programs that run in another process, and outside bubbles.
func NewLoopback(t testing.TB) *Network { return &Network{t: t, tcp: true} }

// Options returns the options that a Sender needs to reach the endpoints. The
// guard of the Sender stays on and permits the addresses of this network only.
// For an outbox, pass them to outbox.WithSender.
func (n *Network) Options() []sender.Option {
	if n.tcp {
		return []sender.Option{sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8"))}
	}
	return []sender.Option{
		sender.AllowNetworks(documentation),
		sender.WithDialer(n.dial),
		sender.WithResolver(resolver()),
	}
}

// resolver knows no names.
func resolver() *net.Resolver { return &net.Resolver{PreferGo: true, Dial: noNames} }

// Package net makes a channel when it resolves its first name. If that were in
// a testing/synctest bubble, every later lookup outside of it would end the
// process. This lookup fails at once and asks no server.
func init() { _, _ = resolver().LookupHost(context.Background(), "sendertest.invalid") } // it always fails

func noNames(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("sendertest: the network has no names; use Endpoint.URL")
}

// Sender returns a Sender with [Network.Options] and the given ones. The end of
// the test closes it. Its log goes to the test's output.
func (n *Network) Sender(opts ...sender.Option) *sender.Sender {
	n.t.Helper()
	all := append(n.Options(), sender.WithLogger(slog.New(slog.NewTextHandler(n.t.Output(), nil))))
	s, err := sender.New(append(all, opts...)...)
	if err != nil {
		n.t.Fatalf("sendertest: Sender: %v", err)
	}
	n.t.Cleanup(func() { _ = s.Close() }) // it never fails
	return s
}

func (n *Network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	server := n.servers[address]
	n.mu.Unlock()
	if server != nil {
		return server.Dial(ctx)
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	return nil, memnet.Refused(net.TCPAddrFromAddrPort(to))
}

// serve serves h until the end of the test, after stop was called.
func (n *Network) serve(h http.Handler, stop func()) (url string) {
	if n.tcp {
		server := httptest.NewServer(h)
		n.t.Cleanup(func() {
			stop()
			server.Close()
		})
		return server.URL
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	first := documentation.Addr().As4()
	first[3] = byte(1 + len(n.servers)%perHost)
	addr := netip.AddrPortFrom(netip.AddrFrom4(first), uint16(8000+len(n.servers)/perHost))
	server := memnet.Serve(addr, h)
	n.servers[addr.String()] = server
	n.t.Cleanup(func() {
		stop()
		server.Close()
	})
	return fmt.Sprintf("http://%v", addr)
}

// Unreachable returns a URL of the network at which nothing listens.
func (n *Network) Unreachable() string {
	if n.tcp {
		server := httptest.NewServer(nil)
		defer server.Close()
		return server.URL
	}
	return "http://192.0.2.255:9"
}
