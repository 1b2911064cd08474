package sender

import (
	"fmt"
	"net/netip"
)

// wellKnownNAT64 is the default prefix of NAT64 gateways (RFC 6052 section
// 2.1).
var wellKnownNAT64 = netip.MustParsePrefix("64:ff9b::/96")

// nat64Bytes are the bytes of an IPv6 address that hold the IPv4 address, by
// the length of the prefix (RFC 6052 section 2.2). Byte 8 is always zero.
var nat64Bytes = map[int][4]int{
	32: {4, 5, 6, 7},
	40: {5, 6, 7, 9},
	48: {6, 7, 9, 10},
	56: {7, 9, 10, 11},
	64: {9, 10, 11, 12},
	96: {12, 13, 14, 15},
}

// WithNAT64 names further prefixes of this network's NAT64 gateways. The prefix
// 64:ff9b::/96 is always known. The IPv4 address in an address with such a
// prefix decides whether it may be dialled (RFC 6052). Default: none. The
// length of a prefix is 32, 40, 48, 56, 64 or 96. Naming none is an error.
// Repeated options add up.
func WithNAT64(prefixes ...netip.Prefix) Option {
	return optionFunc(func(c *config) {
		if len(prefixes) == 0 {
			c.mistake("WithNAT64", "names no prefix; leave it out")
		}
		for _, p := range prefixes {
			if _, ok := nat64Bytes[p.Bits()]; !ok || !p.Addr().Is6() || p.Addr().Is4In6() {
				c.mistake("WithNAT64", "%v: want an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits", p)
				continue
			}
			c.nat64 = append(c.nat64, p.Masked())
		}
	})
}

// judged returns the address that decides about a. It is the IPv4 address that
// a embeds, or a itself. A zone is dropped, because package netip does not find
// fe80::1%eth0 in fe80::/10.
func (g *guard) judged(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	for _, p := range g.nat64 {
		if p.Contains(a) {
			at, from := nat64Bytes[p.Bits()], a.As16()
			return netip.AddrFrom4([4]byte{from[at[0]], from[at[1]], from[at[2]], from[at[3]]})
		}
	}
	return a
}

// describe names an address, and the one that decided about it.
func describe(a, judged netip.Addr) string {
	if a = a.Unmap().WithZone(""); a == judged {
		return a.String()
	}
	return fmt.Sprintf("%v, which stands for %v,", a, judged)
}
