package sim

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// dialTimeout is how long a connection attempt without an answer takes.
const dialTimeout = 10 * time.Second

// Network connects the processes of a world. It carries bytes in order, as TCP
// does, and injects faults with the odds of Disturb. It is calm at first.
type Network struct {
	world *World

	mu        sync.Mutex
	odds      Odds
	links     map[string]*rand.Rand  // by the process that dials and the address
	listeners map[string][]*listener // of an address, as behind a load balancer
	conns     map[*conn]struct{}
	held      map[string]*pipe // the held request to an address
	port      int
	closed    bool
	copies    sync.WaitGroup
}

func newNetwork(w *World) *Network {
	return &Network{
		world: w, links: map[string]*rand.Rand{}, listeners: map[string][]*listener{}, conns: map[*conn]struct{}{},
		held: map[string]*pipe{}, port: 1 << 15,
	}
}

// Disturb sets the odds of faults from now on. Without odds the network is
// calm.
func (n *Network) Disturb(odds Odds) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.odds = odds
}

// link returns the stream of random numbers of a link. The caller holds the
// lock.
func (n *Network) link(from, to string) *rand.Rand {
	name := from + " to " + to
	r := n.links[name]
	if r == nil {
		r = n.world.Rand(name)
		n.links[name] = r
	}
	return r
}

// fate draws the fate of a request and releases the request that it overtakes.
func (n *Network) fate(c *conn) fate {
	n.mu.Lock()
	f := newFate(n.link(c.from, c.to), n.odds)
	held := n.held[c.to]
	delete(n.held, c.to)
	if f.kind == Reorder {
		n.held[c.to] = &c.peer.in
	}
	n.mu.Unlock()
	if f.kind != "" {
		n.world.Fault(f.kind)
		n.world.Log("%s to %s: %s", c.from, c.to, f.kind)
	}
	if held != nil {
		held.release(time.Now().Add(3 * time.Millisecond))
	}
	return f
}

func (n *Network) dial(ctx context.Context, p *Process, address string) (net.Conn, error) {
	n.mu.Lock()
	kind := n.odds.pick(n.link(p.Name, address), Refused, Silent)
	n.mu.Unlock()
	if kind != "" {
		n.world.Fault(kind)
		n.world.Log("%s to %s: %s", p.Name, address, kind)
	}
	if kind == Silent {
		return nil, unanswered(ctx, address)
	}
	if kind == Refused || !p.Alive() {
		return nil, dialError(address, syscall.ECONNREFUSED)
	}
	return n.connect(p, p.Name, address)
}

// connect makes a connection. p is nil for a copy that the network sends.
func (n *Network) connect(p *Process, from, address string) (*conn, error) {
	n.mu.Lock()
	all := n.listeners[address]
	if len(all) == 0 || n.closed {
		n.mu.Unlock()
		return nil, dialError(address, syscall.ECONNREFUSED)
	}
	l := all[n.link(from, address).IntN(len(all))]
	n.port++
	near := &conn{net: n, process: p, from: from, to: address, address: addr("10.255.0.1:" + strconv.Itoa(n.port)), client: true}
	far := &conn{net: n, process: l.process, from: from, to: address, address: addr(address), peer: near}
	near.peer = far
	near.in.init()
	far.in.init()
	n.conns[near], n.conns[far] = struct{}{}, struct{}{}
	n.mu.Unlock()
	select {
	case l.accept <- far:
		return near, nil
	case <-l.done:
		near.Close()
		return nil, dialError(address, syscall.ECONNREFUSED)
	}
}

func unanswered(ctx context.Context, address string) error {
	timer := time.NewTimer(dialTimeout)
	defer timer.Stop()
	select {
	case <-timer.C:
		return dialError(address, syscall.ETIMEDOUT)
	case <-ctx.Done():
		return dialError(address, ctx.Err())
	}
}

func dialError(address string, err error) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: addr(address), Err: err}
}

// copyLater sends a copy of a request on another connection, and ignores
// the answer.
func (n *Network) copyLater(c *conn, in time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	n.copies.Go(func() {
		time.Sleep(in) // the bubble's time
		again, err := n.connect(nil, c.from, c.to)
		if err != nil {
			return
		}
		defer again.Close()
		again.copied = true
		_ = again.SetReadDeadline(time.Now().Add(time.Minute)) // always nil
		if _, err = again.Write(c.written()); err == nil {
			_, _ = again.Read(make([]byte, 1)) // whatever it is
		}
	})
}

// cutOff resets all connections of a process and closes its listeners.
func (n *Network) cutOff(p *Process) {
	n.mu.Lock()
	var conns []*conn
	for c := range n.conns {
		if c.process == p {
			conns = append(conns, c)
		}
	}
	var listeners []*listener
	for _, all := range n.listeners {
		for _, l := range all {
			if l.process == p {
				listeners = append(listeners, l)
			}
		}
	}
	n.mu.Unlock()
	for _, l := range listeners {
		_ = l.Close() // always nil
	}
	for _, c := range conns {
		c.reset()
	}
}

// close ends all connections, so that no goroutine waits for them.
func (n *Network) close() {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.copies.Wait()
	n.mu.Lock()
	var conns []*conn
	for c := range n.conns {
		conns = append(conns, c)
	}
	n.mu.Unlock()
	for _, c := range conns {
		c.reset()
	}
}

func (n *Network) forget(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, c)
}

// addr is an address of the network.
type addr string

func (addr) Network() string  { return "tcp" }
func (a addr) String() string { return string(a) }

// listener is a net.Listener of one process.
type listener struct {
	net     *Network
	process *Process
	address string
	accept  chan *conn
	done    chan struct{}
	once    sync.Once
}

func (n *Network) listen(p *Process, address string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	taken := slices.ContainsFunc(n.listeners[address], func(l *listener) bool { return l.process == p })
	if taken || !p.Alive() {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: addr(address), Err: syscall.EADDRINUSE}
	}
	l := &listener{net: n, process: p, address: address, accept: make(chan *conn), done: make(chan struct{})}
	n.listeners[address] = append(n.listeners[address], l)
	return l, nil
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.done:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: addr(l.address), Err: net.ErrClosed}
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		l.net.mu.Lock()
		all := l.net.listeners[l.address]
		l.net.listeners[l.address] = slices.DeleteFunc(all, func(other *listener) bool { return other == l })
		l.net.mu.Unlock()
		close(l.done)
	})
	return nil
}

func (l *listener) Addr() net.Addr { return addr(l.address) }
