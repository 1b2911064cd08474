package sender

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"code.dny.dev/ssrf"
)

// guard decides which addresses may be dialled. Check and every connection use
// the same guard. Only the check of the connection protects, because a name can
// resolve to another address in between.
type guard struct {
	public    *ssrf.Guardian // what is public, by the IANA special-purpose registries
	allowed   []netip.Prefix // AllowNetworks
	denied    []netip.Prefix // DenyNetworks
	nat64     []netip.Prefix // WithNAT64, and the well-known prefix
	ports     []uint16       // WithPorts; empty: any
	plainOpen bool           // InsecureHTTP
}

// violation is a refusal by the guard. Package net returns it as the error of a
// dial.
type violation struct {
	kind   error
	reason string
	code   string // for customers
}

const unreachable = "host_unreachable"

func (v *violation) Error() string { return v.kind.Error() + ": " + v.reason }
func (v *violation) Unwrap() error { return v.kind }

// newGuard takes prefixes in the form that normalPrefix gives.
func newGuard(c *config) *guard {
	return &guard{
		public: ssrf.New(
			ssrf.WithAnyPort(),
			ssrf.WithAnyNetwork(),
			// The virtual address of a cloud provider's host services. The
			// registry lists it as public, but only machines of that cloud
			// reach it.
			ssrf.WithDeniedV4Prefixes(netip.PrefixFrom(netip.AddrFrom4([4]byte{168, 63, 129, 16}), 32)),
		),
		allowed:   c.networks,
		denied:    c.denied,
		nat64:     append(slices.Clone(c.nat64), wellKnownNAT64),
		ports:     c.ports,
		plainOpen: c.insecureHTTP,
	}
}

// plainPossible reports whether there is any address that plain http may go to.
func (g *guard) plainPossible() bool { return g.plainOpen || len(g.allowed) > 0 }

func (g *guard) checkPort(port uint16) *violation {
	if len(g.ports) > 0 && !slices.Contains(g.ports, port) {
		return &violation{ErrRefused, fmt.Sprintf("port %d is not one of those named with WithPorts", port), "url_port"}
	}
	return nil
}

// check decides about one address. plain says that the request is http, not
// https. If the address embeds an IPv4 address, that one decides. DenyNetworks
// also closes the address as it is.
func (g *guard) check(to netip.AddrPort, plain bool) *violation {
	if v := g.checkPort(to.Port()); v != nil {
		return v
	}
	a := g.judged(to.Addr())
	name := describe(to.Addr(), a)
	if contains(g.denied, a) || contains(g.denied, to.Addr().Unmap().WithZone("")) {
		return &violation{ErrForbiddenAddress, name + " is in a network that DenyNetworks closes", unreachable}
	}
	if contains(g.allowed, a) {
		return nil
	}
	if !a.IsValid() || g.public.SafeAddr(a) != nil {
		return &violation{ErrForbiddenAddress, name + " is not a public address; AllowNetworks would open it", unreachable}
	}
	if plain && !g.plainOpen {
		return &violation{ErrRefused, fmt.Sprintf("http to %s, which is in no network of AllowNetworks; use https "+
			"(InsecureHTTP would permit it)", name), "url_not_https"}
	}
	return nil
}

func contains(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

// control is the net.Dialer's control function. Package net calls it after DNS,
// with each address that it is about to dial.
func (g *guard) control(network, address string, plain bool) (netip.AddrPort, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil || (network != "tcp4" && network != "tcp6") {
		return to, &violation{ErrForbiddenAddress, "not a TCP address", unreachable}
	}
	if v := g.check(to, plain); v != nil {
		return to, v
	}
	return to, nil
}

// rawConn is the type of the socket that a dialer's control function gets. The
// guard does not use it.
type rawConn = syscall.RawConn

// normalPrefix returns p such that it compares with unmapped addresses.
func normalPrefix(p netip.Prefix) (netip.Prefix, error) {
	if !p.IsValid() {
		return p, fmt.Errorf("%v is not a valid prefix", p)
	}
	if a := p.Addr(); a.Is4In6() {
		if p.Bits() < 96 {
			return p, fmt.Errorf("%v mixes IPv4 and IPv6 addresses; write 0.0.0.0/0 or an IPv6 prefix", p)
		}
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}
