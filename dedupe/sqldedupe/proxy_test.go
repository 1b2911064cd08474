package sqldedupe_test

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy is between a store and its server, and loses connections on request.
type proxy struct {
	t        testing.TB
	listener net.Listener
	server   string
	work     sync.WaitGroup
	onCommit atomic.Int32  // one of the constants below
	cutOff   chan struct{} // closed by the first cut
	cutOnce  sync.Once
	held     chan struct{} // closed when a COMMIT is delayed
	heldOnce sync.Once

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{}
}

// These are the actions of the proxy for a COMMIT.
const (
	pass       int32 = iota
	loseCommit       // the connection is lost before the server gets it
	loseAnswer       // the connection is lost after the server has committed
	// The COMMIT never arrives until cut.
	holdCommit
)

func newProxy(t testing.TB, server string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{t: t, listener: listener, server: server, conns: map[net.Conn]struct{}{}, cutOff: make(chan struct{}), held: make(chan struct{})}
	p.work.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		p.cut()
		p.work.Wait()
	})
	return p
}

// url returns the server's URL through the proxy.
func (p *proxy) url(server string) string {
	u, err := url.Parse(server)
	require.NoError(p.t, err)
	u.Host = p.listener.Addr().String()
	return u.String()
}

// cut closes all connections.
func (p *proxy) cut() {
	p.cutOnce.Do(func() { close(p.cutOff) })
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close()
	}
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.serve(client) })
	}
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer server.Close()
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.conns[client], p.conns[server] = struct{}{}, struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, client)
		delete(p.conns, server)
	}()
	var answers atomic.Bool // whether the server's answers are lost
	p.work.Go(func() {
		defer client.Close()
		defer server.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			// This is an answer to the commit, so the server has committed.
			if err != nil || answers.Load() {
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	p.forward(client, server, &answers)
}

func (p *proxy) forward(client io.Reader, server io.Writer, loseAnswers *atomic.Bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		if bytes.Contains(bytes.ToLower(buf[:n]), []byte("commit\x00")) {
			switch p.onCommit.Load() {
			case loseCommit:
				return
			case loseAnswer:
				loseAnswers.Store(true)
			case holdCommit:
				p.heldOnce.Do(func() { close(p.held) })
				<-p.cutOff // even if the client gives up
				return
			}
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
		if loseAnswers.Load() {
			// The other direction ends the connection when the answer arrives.
			_, _ = io.Copy(io.Discard, client)
			return
		}
	}
}
