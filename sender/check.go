package sender

import (
	"context"
	"errors"
	"net/netip"
)

// Check reports everything that is wrong with an endpoint, as [*EndpointError]s
// joined with errors.Join. It returns nil if all is well. Call it when a person
// enters an endpoint. It applies the rules for the URL, signer, filter (typing
// mistakes included), headers and timeout. It also resolves the host and asks
// the guard about every address. It sends nothing.
//
// A host that can't be resolved is an [*AttemptError] that wraps the
// *net.DNSError.
//
// The answer of DNS can change a moment later, and an attacker can make it
// change. A passed check is therefore advice to the person who enters the
// endpoint, and no protection. Each attempt checks the address that it dials.
//
// An error names addresses that the host resolved to. Show the error to
// operators only, and its [Problems] to customers.
func (s *Sender) Check(ctx context.Context, ep Endpoint) error {
	if err := s.made(); err != nil {
		return err
	}
	var t target
	faults := s.inspect(&t, &ep)
	if inspectEvents(&ep) == nil {
		if _, err := ParseFilter(ep.Events, s.types...); err != nil {
			faults = append(faults, endpointError(ErrRefused, "Events", "%v", err))
		}
	}
	if t.checkedURL != nil && s.inspectURL(&t, &ep) == nil {
		if err := s.checkAddresses(ctx, &t); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// checkAddresses resolves the host and asks the guard about each address. One
// forbidden address is an error, because chance and the name server decide
// which address a connection uses.
func (s *Sender) checkAddresses(ctx context.Context, t *target) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	host := t.url.Hostname()
	if _, err := netip.ParseAddr(host); err != nil && s.proxyResolves {
		return nil // the proxy alone knows where the name leads
	}
	addrs, err := s.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return newAttemptError(ctx, t, err, progress{})
	}
	for _, a := range addrs {
		if v := s.guard.check(netip.AddrPortFrom(a, portOf(&t.url)), t.plain); v != nil {
			return endpointError(v.kind, "URL", "%s: %s", t.origin(), v.reason).as(v.code)
		}
	}
	return nil
}
