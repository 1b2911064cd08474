package sender

import (
	"net"
	"sync"
)

// conns holds the open connections of a Sender and counts the attempts in
// progress. After the Sender was closed and the last attempt has ended, it
// closes all connections. Transport.CloseIdleConnections alone is not enough.
// It leaves an HTTP/2 connection that carries an attempt at that moment open
// until its idle timeout.
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

// track adds a connection. net/http may finish a dial after its attempt has
// ended. If no attempt can use the connection any more, track closes it at
// once.
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

// closeIfDone releases the lock that its caller holds. Closing a connection
// takes the lock, and a TLS connection may write before it closes.
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
