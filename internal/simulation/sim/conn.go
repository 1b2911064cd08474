package sim

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// conn is one end of a connection. The end that dialled applies the fates,
// because it knows where a request begins. A request begins with the first
// write after an answer.
type conn struct {
	net      *Network
	process  *Process // nil: a copy that the network sends
	from, to string
	address  addr
	client   bool
	copied   bool
	peer     *conn
	in       pipe // what this end reads

	mu     sync.Mutex // of the client's end, for both ends
	fate   fate
	asking bool // the client wrote after the server's last write
	sent   int  // bytes of the request, or of the answer, that were written
	whole  bytes.Buffer
}

var _ net.Conn = (*conn)(nil)

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.in.read(b)
	if err != nil && err != io.EOF {
		err = &net.OpError{Op: "read", Net: "tcp", Addr: c.peer.address, Err: err}
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	if err := c.in.broken(); err != nil {
		return 0, &net.OpError{Op: "write", Net: "tcp", Addr: c.peer.address, Err: err}
	}
	if c.client {
		c.ask(b)
	} else {
		c.answer(b)
	}
	return len(b), nil
}

// ask sends a part of a request to the server.
func (c *conn) ask(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.asking {
		c.asking, c.sent = true, 0
		c.fate = fate{}
		c.whole.Reset()
		if !c.copied {
			c.fate = c.net.fate(c)
		}
		if c.fate.kind == Duplicate {
			c.net.copyLater(c, c.fate.copyIn)
		}
	}
	if c.fate.kind == Duplicate {
		c.whole.Write(b)
	}
	switch c.fate.kind {
	case LostRequest:
	case CutRequest:
		c.cut(&c.peer.in, b, c.fate.request)
	case Trickle:
		c.trickle(b)
	default:
		c.peer.in.send(b, c.fate.request)
	}
	c.sent += len(b)
}

// trickle sends a request in pieces of 100 bytes.
func (c *conn) trickle(b []byte) {
	delay := c.fate.request
	for len(b) > 0 {
		n := min(len(b), 100)
		c.peer.in.send(b[:n], delay)
		b = b[n:]
		delay += c.fate.pieces
	}
}

// answer sends a part of an answer to the client.
func (c *conn) answer(b []byte) {
	near := c.peer
	near.mu.Lock()
	defer near.mu.Unlock()
	if near.asking {
		near.asking, near.sent = false, 0
	}
	switch near.fate.kind {
	case LostAnswer, LostRequest:
	case CutAnswer:
		near.cut(&near.in, b, near.fate.answer)
	default:
		near.in.send(b, near.fate.answer)
	}
	near.sent += len(b)
}

// cut sends the bytes before the reset, and then the reset to both ends.
func (c *conn) cut(to *pipe, b []byte, delay time.Duration) {
	left := max(c.fate.cutAfter-c.sent, 0)
	to.send(b[:min(left, len(b))], delay)
	if len(b) > left {
		c.in.fail(syscall.ECONNRESET, delay)
		c.peer.in.fail(syscall.ECONNRESET, delay)
	}
}

// written returns a copy of the request so far.
func (c *conn) written() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.whole.Bytes())
}

// Close closes this end. The other end reads what was sent before.
func (c *conn) Close() error {
	c.net.forget(c)
	if c.in.close(net.ErrClosed) {
		c.peer.in.fail(io.EOF, 0)
	}
	return nil
}

// reset ends both ends at once, and with them everything on the way.
func (c *conn) reset() {
	c.net.forget(c)
	c.in.close(syscall.ECONNRESET)
	c.peer.in.close(syscall.ECONNRESET)
}

func (c *conn) LocalAddr() net.Addr  { return c.address }
func (c *conn) RemoteAddr() net.Addr { return c.peer.address }

func (c *conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.until(t)
	return nil
}

// SetWriteDeadline does nothing, because no write waits.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// pipe holds the bytes that are on the way to one end. One goroutine reads at a
// time.
type pipe struct {
	changed chan struct{}

	mu       sync.Mutex
	queue    []segment
	latest   time.Time // when the last segment arrives
	deadline time.Time
	gone     error // the end was closed or reset
}

// segment is a part of the bytes, or the error after them.
type segment struct {
	at   time.Time
	data []byte
	err  error
}

func (p *pipe) init() { p.changed = make(chan struct{}, 1) }

func (p *pipe) notify() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

func (p *pipe) send(b []byte, delay time.Duration) {
	if len(b) > 0 {
		p.add(segment{data: bytes.Clone(b)}, delay)
	}
}

func (p *pipe) fail(err error, delay time.Duration) { p.add(segment{err: err}, delay) }

func (p *pipe) add(s segment, delay time.Duration) {
	p.mu.Lock()
	s.at = time.Now().Add(delay)
	if s.at.Before(p.latest) {
		s.at = p.latest // bytes do not overtake each other
	}
	p.latest = s.at
	p.queue = append(p.queue, s)
	p.mu.Unlock()
	p.notify()
}

// release lets everything arrive at a time, unless it arrives earlier.
func (p *pipe) release(at time.Time) {
	p.mu.Lock()
	for i := range p.queue {
		if p.queue[i].at.After(at) {
			p.queue[i].at = at
		}
	}
	p.latest = at
	p.mu.Unlock()
	p.notify()
}

func (p *pipe) until(t time.Time) {
	p.mu.Lock()
	p.deadline = t
	p.mu.Unlock()
	p.notify()
}

// close drops what is on the way. It returns false if that was done before.
func (p *pipe) close(err error) bool {
	p.mu.Lock()
	first := p.gone == nil
	if first {
		p.gone, p.queue = err, nil
	}
	p.mu.Unlock()
	p.notify()
	return first
}

// broken returns why nothing can be written.
func (p *pipe) broken() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone != nil {
		return p.gone
	}
	for _, s := range p.queue {
		if s.err != nil && s.err != io.EOF && !s.at.After(time.Now()) {
			return s.err
		}
	}
	return nil
}

func (p *pipe) read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for {
		n, next, err := p.take(b)
		if n > 0 || err != nil {
			return n, err
		}
		p.wait(next)
	}
}

// take returns what has arrived, or when to look again.
func (p *pipe) take(b []byte) (n int, next time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	switch {
	case p.gone != nil:
		return 0, next, p.gone
	case !p.deadline.IsZero() && !p.deadline.After(now):
		return 0, next, os.ErrDeadlineExceeded
	}
	next = p.deadline
	if len(p.queue) == 0 {
		return 0, next, nil
	}
	s := &p.queue[0]
	if s.at.After(now) {
		if next.IsZero() || s.at.Before(next) {
			next = s.at
		}
		return 0, next, nil
	}
	if s.err != nil {
		return 0, next, s.err
	}
	n = copy(b, s.data)
	if s.data = s.data[n:]; len(s.data) == 0 {
		p.queue = p.queue[1:]
	}
	return n, next, nil
}

// wait waits for a change or a time, where zero means none.
func (p *pipe) wait(until time.Time) {
	if until.IsZero() {
		<-p.changed
		return
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-p.changed:
	case <-timer.C:
	}
}
