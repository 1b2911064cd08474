package sender

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/nilable"
)

// maxAddresses is how many addresses of a host are tried through a proxy or
// with WithDialer.
const maxAddresses = 4

// WithDialer sets the function that makes connections. Use it to send from a
// fixed source address, through a user-space network, or to endpoints in the
// memory of a test. Default: a [net.Dialer]. Nil is an error, and so is the
// option together with a proxy.
//
// The guard keeps its protection. The Sender resolves the host and checks every
// address. It calls dial with the network "tcp" and only with addresses that
// passed, as IP:port. The function must connect to that address. For https the
// Sender adds TLS to the connection.
//
// The function must be safe for concurrent use and must return when its context
// ends. A panic in it fails the attempt, see [Sender.Faults].
func WithDialer(dial func(ctx context.Context, network, address string) (net.Conn, error)) Option {
	return optionFunc(func(c *config) {
		if dial == nil {
			c.mistake("WithDialer", "the function is nil; leave it out")
		}
		c.dial = dial
	})
}

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// checkDialer reports the option together with a proxy.
func (c *config) checkDialer() {
	if c.dial != nil && (c.proxy != nil || c.environment != nil) {
		c.mistake("WithDialer", "a proxy is given as well; leave one of them out, or let the function use the proxy")
	}
}

// containedDial contains the faults of the application's function, and returns
// errors that count as failures to connect.
func containedDial(dial dialFunc, faults *contain.Faults) dialFunc {
	if dial == nil {
		return nil
	}
	return func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		fault := faults.Call(ctx, inDialer, func() { conn, err = dial(ctx, network, address) })
		switch {
		case fault != nil:
			err = fault
		case err == nil && nilable.IsNil(conn):
			err = errors.New("the function of WithDialer returned neither a connection nor an error")
		}
		if err == nil {
			return conn, nil
		}
		if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" {
			return nil, err
		}
		var to net.Addr
		if addr, e := netip.ParseAddrPort(address); e == nil {
			to = net.TCPAddrFromAddrPort(addr)
		}
		return nil, &net.OpError{Op: "dial", Net: network, Addr: to, Err: err}
	}
}

// dialWith connects to address with the application's function, under the
// guard.
func (d *dialer) dialWith(ctx, lookup context.Context, address string) (net.Conn, error) {
	ctx, stop := boundDial(ctx)
	defer stop()
	t := traceOf(ctx)
	return d.dialEach(ctx, lookup, address, func(ctx context.Context, to string) (net.Conn, error) {
		if t != nil {
			t.permitted()
		}
		return d.own(ctx, "tcp", to)
	})
}

// boundDial ends the returned context when the dial's time is up, and when the
// attempt is over. net/http lets a dial outlive the attempt that it was for.
func boundDial(ctx context.Context) (bounded context.Context, stop func()) {
	deadline := time.Now().Add(dialTimeout)
	t := traceOf(ctx)
	if t == nil {
		return context.WithDeadline(ctx, deadline)
	}
	if d, ok := t.Context.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	detach := context.AfterFunc(t.Context, cancel)
	return ctx, func() {
		detach()
		cancel()
	}
}

// dialEach calls connect with the permitted addresses of a host, in turn, until
// one is connected. Each gets an equal share of the remaining time, so that the
// others are tried even if one does not answer.
func (d *dialer) dialEach(ctx, lookup context.Context, address string, connect func(ctx context.Context, to string) (net.Conn, error)) (net.Conn, error) {
	addrs, err := d.allowed(lookup, address)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	for i, to := range addrs {
		if t := traceOf(ctx); t != nil {
			t.dialled(to)
		}
		var conn net.Conn
		share, cancel := context.WithTimeout(ctx, time.Until(deadline)/time.Duration(len(addrs)-i))
		conn, err = connect(share, to.String())
		cancel()
		if err == nil {
			return &tunnel{Conn: conn, to: to}, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// allowed resolves address and returns the addresses that the guard permits. It
// is an error if the guard permits no address.
func (d *dialer) allowed(ctx context.Context, address string) (addrs []netip.AddrPort, err error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := d.net.Resolver.LookupPort(ctx, "tcp", service)
	if err != nil {
		return nil, err
	}
	found, err := d.net.Resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	err = &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
	for _, a := range found {
		to := netip.AddrPortFrom(a.Unmap(), uint16(port))
		if t := traceOf(ctx); t != nil {
			t.dialled(to)
		}
		if v := d.guard.check(to, d.plain); v != nil {
			err = v
		} else if len(addrs) < maxAddresses {
			addrs = append(addrs, to)
		}
	}
	if len(addrs) == 0 {
		return nil, err
	}
	return addrs, nil
}

// tunnel is a connection through the proxy or a dial function. Its remote
// address is the endpoint's, which records show.
type tunnel struct {
	net.Conn
	to netip.AddrPort // not valid where only the proxy knows it
}

func (t *tunnel) RemoteAddr() net.Addr {
	if !t.to.IsValid() {
		return t.Conn.RemoteAddr()
	}
	return net.TCPAddrFromAddrPort(t.to)
}
