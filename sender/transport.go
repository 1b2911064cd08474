package sender

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/deployhook/deployhook/internal/contain"
)

// Bounds that protect against the endpoint, which is not trusted.
const (
	maxHeader   = 64 << 10 // bytes of an answer's header; net/http's default is 10 MB
	maxInterim  = 8        // 1xx answers before the real one; net/http takes as many as fit into maxHeader
	maxRecorded = 16 << 10 // bytes of an answer's body that are kept
	maxDrained  = 64 << 10 // bytes of it that are read so that the connection can be reused; more closes it
	dialTimeout = 10 * time.Second
	idleTimeout = 90 * time.Second
	maxIdle     = 256 // also of one host, where many endpoints may be
	// pingAfter is how long an HTTP/2 connection may be silent before it is
	// probed, and pingTimeout is how long the probe may take. Without them
	// every attempt on a dead connection would fail until TCP gives up.
	pingAfter   = 15 * time.Second
	pingTimeout = 10 * time.Second
)

// newTransport returns a transport for http (plain) or https. There are two,
// because the guard must know the scheme and a dialer does not learn it.
func newTransport(c *config, g *guard, open *conns, plain bool) *http.Transport {
	d := &dialer{guard: g, plain: plain, own: c.dial, proxy: c.proxy, proxyResolves: c.proxyResolves, environment: c.environment, rootCAs: c.rootCAs, conns: open, userAgent: userAgent(), faults: c.faults}
	d.net = net.Dialer{Timeout: dialTimeout, Resolver: c.resolver, ControlContext: d.control}
	d.toProxy = net.Dialer{Timeout: dialTimeout, Resolver: c.resolver}
	return &http.Transport{
		// A proxy here would hide the endpoint's address from the guard. With
		// WithProxy the dialer asks the guard first, and then the proxy.
		Proxy:       nil,
		DialContext: d.dial,
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12,
			RootCAs:    c.rootCAs,
		},
		TLSHandshakeTimeout:    dialTimeout,
		ForceAttemptHTTP2:      true, // off by default for a transport with a dialer
		DisableCompression:     true, // 200 KB of answer could become 200 MB
		MaxResponseHeaderBytes: maxHeader,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idleTimeout,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerConnection: 1 << 20,
			MaxReceiveBufferPerStream:     maxDrained, // what an endpoint can make us hold; the default is 4 MB
			SendPingTimeout:               pingAfter,
			PingTimeout:                   pingTimeout,
		},
	}
}

// dialer dials under the guard and notes in the attempt's trace what it took.
type dialer struct {
	net   net.Dialer
	guard *guard
	plain bool
	own   dialFunc // WithDialer, or nil

	proxy *proxy // WithProxy, or nil
	// proxyResolves is InsecureProxyResolves.
	proxyResolves bool
	environment   map[string]*proxy // WithProxyFromEnvironment, or nil
	toProxy       net.Dialer        // without the guard
	rootCAs       *x509.CertPool
	userAgent     string
	faults        *contain.Faults
	conns         *conns
}

// dial contains faults, since net/http calls it on another goroutine.
func (d *dialer) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	fault := d.faults.Inline(ctx, inDialing, func() { conn, err = d.traced(ctx, network, address) })
	if fault != nil {
		return nil, fault
	}
	return conn, err
}

func (d *dialer) traced(ctx context.Context, network, address string) (net.Conn, error) {
	t := traceOf(ctx)
	if t == nil {
		return d.connection(ctx, ctx, network, address)
	}
	begin := time.Now()
	conn, err := d.connection(ctx, t.withDNS(ctx), network, address)
	t.dialEnded(begin, time.Now(), err)
	if err != nil {
		return nil, err
	}
	return d.conns.track(conn), nil
}

// connection dials directly, with the application's function or through the
// proxy. lookup is ctx with the hooks for the endpoint's name.
func (d *dialer) connection(ctx, lookup context.Context, network, address string) (net.Conn, error) {
	if d.own != nil {
		return d.dialWith(ctx, lookup, address)
	}
	via := d.proxyFor(address)
	if via == nil {
		return d.net.DialContext(lookup, network, address)
	}
	if network != "tcp" {
		return nil, &violation{ErrForbiddenAddress, "not a TCP address", unreachable}
	}
	through := *d
	through.proxy = via
	return through.dialThrough(ctx, lookup, address)
}

// control asks the guard. Package net calls it for every address of the host
// that it is about to try, perhaps on another goroutine.
func (d *dialer) control(ctx context.Context, network, address string, _ rawConn) (err error) {
	fault := d.faults.Inline(ctx, inDialing, func() {
		var to netip.AddrPort
		to, err = d.guard.control(network, address, d.plain)
		if t := traceOf(ctx); t != nil {
			t.dialled(to)
			if err == nil {
				t.permitted()
			}
		}
	})
	if fault != nil {
		return fault
	}
	return err
}
