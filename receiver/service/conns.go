package service

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// sweepEvery is the time between two looks at the connections while the
	// service stops.
	sweepEvery = 50 * time.Millisecond
	// patience is the number of sweeps after which a connection is closed that
	// still waits for a body, although its reads were ended.
	patience = 10
)

// conn is an open connection.
type conn struct {
	net.Conn

	// busy reports that the headers of a request have arrived whose answer is
	// not on its way yet.
	busy atomic.Bool
	// handlers is the number of running handlers. HTTP/2 has several.
	handlers atomic.Int64
	// unread reports that a handler of HTTP/1 has returned before the end of its
	// body. The server reads the rest before it sends the answer.
	unread atomic.Bool

	mu     sync.Mutex
	bodies map[*body]struct{} // of running handlers
}

func (c *conn) add(b *body) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bodies == nil {
		c.bodies = map[*body]struct{}{}
	}
	c.bodies[b] = struct{}{}
}

func (c *conn) remove(b *body) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.bodies, b)
	c.unread.Store(b.http1 && !b.ended.Load())
}

// refuse ends the reads that wait for a body, also those of the server. It
// reports whether handlers were waiting.
func (c *conn) refuse() (waiting bool) {
	if c.unread.Load() {
		_ = c.SetReadDeadline(time.Now()) // if it can't, the connection is closed soon
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for b := range c.bodies {
		if b.reading.Load() {
			waiting = true
			_ = b.control.SetReadDeadline(time.Now()) // if it can't, the connection is closed soon
		}
	}
	return waiting
}

// conns has the open connections.
type conns struct {
	open sync.Map // from net.Conn to *conn
}

type connKey struct{}

// context is the ConnContext of the server.
func (cs *conns) context(ctx context.Context, c net.Conn) context.Context {
	own := &conn{Conn: c}
	cs.open.Store(c, own)
	return context.WithValue(ctx, connKey{}, own)
}

// connOf returns the connection of a request. It is nil if the request did not
// come from the server.
func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	return c
}

// changed is the ConnState of the server. The answer of a request is on its way
// when the connection is idle.
func (cs *conns) changed(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateIdle:
		if own, ok := cs.open.Load(c); ok {
			own.(*conn).busy.Store(false)
			own.(*conn).unread.Store(false)
		}
	case http.StateClosed, http.StateHijacked:
		cs.open.Delete(c)
	}
}

// sweep closes the connections without a running request. Such a client may
// send its headers slowly on purpose. It refuses bodies that are still
// arriving.
func (cs *conns) sweep(round int) {
	cs.open.Range(func(_, value any) bool {
		c := value.(*conn)
		waiting := c.refuse() || c.handlers.Load() == 0
		if !c.busy.Load() || waiting && round > patience {
			_ = c.Close() // it may be closed already
		}
		return true
	})
}

// body is the body of a request. Reading fails after the drain time.
type body struct {
	io.ReadCloser

	closing *atomic.Bool
	control *http.ResponseController
	reading atomic.Bool
	ended   atomic.Bool
	http1   bool
}

// Read implements [io.Reader].
func (b *body) Read(p []byte) (n int, err error) {
	b.reading.Store(true) // before the check, so that a sweep sees a read that it did not prevent
	defer b.reading.Store(false)
	if b.closing.Load() && !b.ended.Load() {
		// The server would read on after the handler has returned.
		_ = b.control.SetReadDeadline(time.Now()) // if it can't, the connection is closed soon
		return 0, os.ErrDeadlineExceeded
	}
	n, err = b.ReadCloser.Read(p)
	b.ended.Store(err == io.EOF)
	return n, err
}
