package sender

import (
	"context"
	"net"
	"net/netip"
	"strconv"
)

// InsecureProxyResolves gives the proxy the names of hosts instead of
// addresses. It is for networks in which only the proxy can resolve names.
// Default: off. It is an error without [WithProxy] or
// [WithProxyFromEnvironment].
//
// The risk is that the guard can't check the addresses of names. Anyone who may
// enter URLs can then reach every service that the proxy reaches. The guard
// still checks addresses in URLs, and ports. [AllowNetworks] opens no name to
// plain http. Let the proxy itself refuse internal addresses.
func InsecureProxyResolves() Option {
	return optionFunc(func(c *config) { c.proxyResolves = true })
}

// checkProxyResolves reports the option without a proxy.
func (c *config) checkProxyResolves() {
	if c.proxyResolves && c.proxy == nil && c.environment == nil {
		c.mistake("InsecureProxyResolves", "there is no proxy; add WithProxy or WithProxyFromEnvironment, or leave it out")
	}
}

// connectByName makes a tunnel to a name. An address is the guard's to check.
func (d *dialer) connectByName(ctx context.Context, address string) (net.Conn, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, err
	}
	if v := d.guard.checkPort(uint16(port)); v != nil {
		return nil, v
	}
	if d.plain && !d.guard.plainOpen {
		return nil, &violation{ErrRefused, "http to a name that only the proxy resolves; use https (InsecureHTTP would permit it)", "url_not_https"}
	}
	conn, err := d.connect(ctx, net.JoinHostPort(host, service))
	if err != nil {
		return nil, err
	}
	return &tunnel{Conn: conn}, nil
}

// isName reports whether the host of an address is a name.
func isName(address string) bool {
	_, err := netip.ParseAddrPort(address)
	return err != nil
}
