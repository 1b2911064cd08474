package sender

import (
	"net"
	"sync"
)

// conns are the open connections of a Sender and the attempts that are under way.
// When the Sender is closed and the last attempt has ended, it closes all of them.
// Transport.CloseIdleConnections alone does not: an HTTP/2 connection that carries
// an attempt at that moment would stay open until its idle timeout.
type conns struct {
	mu       sync.Mutex
	open     map[*trackedConn]struct{}
	attempts int
	closing  bool // the Sender was closed
}

// trackedConn leaves the set when it is closed.
type trackedConn struct {
	net.Conn
	set *conns
}

func (c *trackedConn) Close() error {
	c.set.mu.Lock()
	delete(c.set.open, c)
	c.set.mu.Unlock()
	return c.Conn.Close()
}

// track adds a connection. net/http may finish a dial after the attempt that it was
// for; such a connection is closed at once when nothing can use it any more.
func (s *conns) track(conn net.Conn) net.Conn {
	c := &trackedConn{Conn: conn, set: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing && s.attempts == 0 {
		_ = conn.Close() // it was never used
		return c
	}
	if s.open == nil {
		s.open = make(map[*trackedConn]struct{})
	}
	s.open[c] = struct{}{}
	return c
}

// begin counts an attempt. It returns false after close.
func (s *conns) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.attempts++
	return true
}

func (s *conns) end() {
	s.mu.Lock()
	s.attempts--
	s.closeIfDone()
}

func (s *conns) close() {
	s.mu.Lock()
	s.closing = true
	s.closeIfDone()
}

// closeIfDone is called with the lock, which it releases: closing a connection takes
// it, and a TLS connection may write before.
func (s *conns) closeIfDone() {
	var open []*trackedConn
	if s.closing && s.attempts == 0 {
		for c := range s.open {
			open = append(open, c)
		}
	}
	s.mu.Unlock()
	for _, c := range open {
		_ = c.Close() // no attempt uses it, and its peer sees the end either way
	}
}
