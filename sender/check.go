package sender

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

// Check reports everything that is wrong with an endpoint, as [*EndpointError]s joined with errors.Join, or nil: the
// check to make when someone enters one. It applies the rules for the URL, signer, filter (typing mistakes included),
// headers and timeout, resolves the host, and asks the guard about every address that it finds. Nothing is sent.
//
// A host that can't be resolved is an [*AttemptError] that wraps the *net.DNSError.
//
// What DNS says can change, or be made to change, a moment later. That the endpoint passes is therefore advice to
// whoever enters it and no protection: each attempt checks again the address that it really dials.
//
// An error names addresses that the host resolved to. Show it to operators, and [Problems] of it to customers.
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

// checkAddresses resolves the host and asks the guard about each address. One that is forbidden is enough: which of
// them a connection would use is up to chance and to whoever runs the name server.
func (s *Sender) checkAddresses(ctx context.Context, t *target) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	host := t.url.Hostname()
	if _, err := netip.ParseAddr(host); err != nil && s.proxyResolves {
		return nil // the proxy alone knows where the name leads
	}
	addrs, err := s.resolver.LookupNetIP(ctx, "ip", host)
	if err == nil && len(addrs) == 0 {
		err = &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
	}
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
