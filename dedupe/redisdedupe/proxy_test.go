package redisdedupe_test

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy is between a client and a server, and loses answers and connections on
// request. It relies on a client that waits for each answer before it sends the
// next command.
type proxy struct {
	listener net.Listener
	target   string
	// loseAnswers is the number of further script answers to lose together with
	// their connections. The server has run these scripts.
	loseAnswers atomic.Int64
	lost        atomic.Int64
	down        atomic.Bool // refuses connections

	mu    sync.Mutex
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{listener: l, target: target, conns: make(map[net.Conn]bool)}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.down.Store(true)
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// sever cuts all connections and refuses new ones until restore.
func (p *proxy) sever() {
	p.down.Store(true)
	p.cut()
}

func (p *proxy) restore() { p.down.Store(false) }

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
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
		if !p.keep(client, server) {
			continue
		}
		var losing atomic.Bool
		p.wg.Go(func() { p.forward(client, server, &losing) })
		p.wg.Go(func() { p.answer(client, server, &losing) })
	}
}

// keep records a pair of connections for cut, unless the proxy is down.
func (p *proxy) keep(client, server net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down.Load() {
		_ = client.Close()
		_ = server.Close()
		return false
	}
	p.conns[client], p.conns[server] = true, true
	return true
}

func (p *proxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
		delete(p.conns, c)
	}
}

func (p *proxy) forward(client, server net.Conn, losing *atomic.Bool) {
	defer p.forget(client, server)
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if n > 0 && bytes.Contains(buf[:n], []byte("evalsha")) && p.loseAnswers.Add(-1) >= 0 {
			losing.Store(true)
		}
		if _, werr := server.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

func (p *proxy) answer(client, server net.Conn, losing *atomic.Bool) {
	defer p.forget(client, server)
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if n > 0 && losing.Load() {
			p.lost.Add(1)
			return
		}
		if _, werr := client.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}
