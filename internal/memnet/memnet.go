// Package memnet serves HTTP on connections in memory. Nothing of it waits for
// the operating system, so it works in a testing/synctest bubble, with
// deadlines in the bubble's time.
package memnet

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"syscall"
)

// Server is an HTTP server on connections in memory. Make it with [Serve].
type Server struct {
	addr  *net.TCPAddr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once

	server  *http.Server
	running sync.WaitGroup // the accept loop, and the connections
}

// Serve starts a server for h. Its address only appears in the connections'
// addresses.
func Serve(addr netip.AddrPort, h http.Handler) *Server {
	s := &Server{addr: net.TCPAddrFromAddrPort(addr), conns: make(chan net.Conn), done: make(chan struct{})}
	s.server = &http.Server{
		Handler: h, ErrorLog: log.New(io.Discard, "", 0),
		// The server sets the state New before it serves a connection, and
		// Closed or Hijacked when it no longer does.
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				s.running.Add(1)
			case http.StateClosed, http.StateHijacked:
				s.running.Done()
			}
		},
	}
	s.running.Go(func() {
		_ = s.server.Serve((*listener)(s)) // it ends with Close
	})
	return s
}

// Dial returns the client's end of a new connection. A server that was closed
// refuses it.
func (s *Server) Dial(ctx context.Context) (net.Conn, error) {
	one, two := net.Pipe()
	state := &state{}
	from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
	client := &Conn{Conn: one, state: state, local: from, remote: s.addr}
	server := &Conn{Conn: two, state: state, local: s.addr, remote: from}
	select {
	case s.conns <- server:
		return client, nil
	case <-s.done:
		return nil, Refused(s.addr)
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: s.addr, Err: ctx.Err()}
	}
}

// Refused is the error of a dial to an address at which nothing listens.
func Refused(addr net.Addr) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: addr, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

// Close stops the server and waits for its connections. Handlers must return
// when their request's context ends.
func (s *Server) Close() {
	_ = s.server.Close() // it closes the listener
	s.running.Wait()
}

// listener is the Server as a net.Listener.
type listener Server

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *listener) Addr() net.Addr { return l.addr }

// Conn is one end of a connection in memory.
type Conn struct {
	net.Conn
	state         *state
	local, remote net.Addr
}

// state is what both ends of a connection share.
type state struct {
	mu    sync.Mutex
	reset bool
}

// Reset ends the connection as a TCP reset does.
func (c *Conn) Reset() {
	c.state.mu.Lock()
	c.state.reset = true
	c.state.mu.Unlock()
	_ = c.Close() // of a pipe, which never fails
}

// LocalAddr returns this end's address.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the other end's address.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// Read reads from the other end.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, c.failed("read", err)
}

// Write writes to the other end. It waits until that end has read everything.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	return n, c.failed("write", err)
}

// failed returns the error that a TCP connection has in place of err.
func (c *Conn) failed(op string, err error) error {
	if err == nil || err == io.EOF && !c.isReset() {
		return err
	}
	cause := err
	switch {
	case c.isReset():
		cause = os.NewSyscallError(op, syscall.ECONNRESET)
	case err == io.ErrClosedPipe && op == "write":
		cause = os.NewSyscallError(op, syscall.EPIPE)
	case err == io.ErrClosedPipe:
		cause = net.ErrClosed
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: cause}
}

func (c *Conn) isReset() bool {
	c.state.mu.Lock()
	defer c.state.mu.Unlock()
	return c.state.reset
}
