package linearize

import (
	"bytes"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy is between clients and a server. It can reset all connections, each in
// the middle of an answer. It can also stop the replication of a Redis.
type proxy struct {
	listener net.Listener
	target   string
	done     sync.WaitGroup

	mu     sync.Mutex
	closed bool
	links  map[*link]bool
	held   chan struct{} // closed when replication goes on; nil if it does
}

// link is a connection through the proxy.
type link struct {
	client, server *net.TCPConn
	// left is the number of further bytes of the answer, after which the
	// connection is reset. It is negative if the connection stays.
	left atomic.Int64
	// replicates is set if a replica uses the connection.
	replicates atomic.Bool
}

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{listener: l, target: target, links: make(map[*link]bool)}
	p.done.Go(p.accept)
	t.Cleanup(func() {
		p.refuse()
		p.mu.Lock()
		p.closed = true
		for c := range p.links {
			c.reset()
		}
		p.mu.Unlock()
		p.flow()
		p.done.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// refuse refuses new connections, as a machine without the server does.
func (p *proxy) refuse() { _ = p.listener.Close() }

// cut resets each connection during its next answer. Some are reset before its
// first byte, and others in the middle. Either way the server has made the
// call.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.links {
		c.left.Store(rand.Int64N(8))
	}
}

// hold stops what replicas and their master send each other, as on a network
// that drops all packets.
func (p *proxy) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = make(chan struct{})
}

func (p *proxy) flow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != nil {
		close(p.held)
		p.held = nil
	}
}

// wait returns when a connection may send.
func (p *proxy) wait(c *link) {
	if !c.replicates.Load() {
		return
	}
	p.mu.Lock()
	held := p.held
	p.mu.Unlock()
	if held != nil {
		<-held
	}
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		c := &link{client: client.(*net.TCPConn), server: server.(*net.TCPConn)}
		c.left.Store(-1)
		if !p.keep(c) {
			c.reset()
			continue
		}
		p.done.Go(func() { p.requests(c) })
		p.done.Go(func() { p.answers(c) })
	}
}

func (p *proxy) keep(c *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.links[c] = true
	}
	return !p.closed
}

func (p *proxy) forget(c *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.reset()
	delete(p.links, c)
}

func (c *link) reset() {
	_ = c.client.SetLinger(0)
	_ = c.client.Close()
	_ = c.server.Close()
}

func (p *proxy) requests(c *link) {
	defer p.forget(c)
	buf := make([]byte, 64<<10)
	for {
		n, err := c.client.Read(buf)
		if err != nil {
			return
		}
		if bytes.Contains(buf[:n], []byte("PSYNC")) {
			c.replicates.Store(true)
		}
		p.wait(c)
		if _, err := c.server.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (p *proxy) answers(c *link) {
	defer p.forget(c)
	buf := make([]byte, 64<<10)
	for {
		n, err := c.server.Read(buf)
		if err != nil {
			return
		}
		p.wait(c)
		left := c.left.Load()
		if left >= 0 {
			n = min(n, int(left))
		}
		if _, err := c.client.Write(buf[:n]); err != nil || left >= 0 {
			return
		}
	}
}
