package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"
)

// weather is what the proxy does to connections.
type weather string

const (
	fair   weather = "fair"
	resets weather = "reset" // the first bytes pass, then the connection is reset
	delays weather = "delay" // each piece comes late
	hole   weather = "hole"  // nothing passes
)

// proxy stands between the senders and the receivers, and chooses a receiver
// for each connection.
type proxy struct {
	listener net.Listener
	ctx      context.Context // ends with the proxy
	cancel   context.CancelFunc
	wait     sync.WaitGroup

	mu       sync.Mutex
	backends []string
	weather  weather
	changed  chan struct{} // closed when the weather changes
}

func newProxy() (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, weather: fair, changed: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.wait.Go(p.accept)
	return p, nil
}

func (p *proxy) url() string { return "http://" + p.listener.Addr().String() }

// close ends all connections.
func (p *proxy) close() {
	p.cancel()
	_ = p.listener.Close() // it is closed once
	p.wait.Wait()
}

// add puts a receiver among those that get connections.
func (p *proxy) add(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.backends = append(p.backends, addr)
}

func (p *proxy) remove(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.backends = slices.DeleteFunc(p.backends, func(one string) bool { return one == addr })
}

// become changes the weather, also for the connections that are open.
func (p *proxy) become(w weather) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.weather = w
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *proxy) now() (weather, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.weather, p.changed
}

func (p *proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return // it is closed
		}
		p.wait.Go(func() { p.serve(conn.(*net.TCPConn)) })
	}
}

// serve connects a sender with a receiver until one of them ends it.
func (p *proxy) serve(client *net.TCPConn) {
	defer client.Close()
	p.mu.Lock()
	backends := slices.Clone(p.backends)
	p.mu.Unlock()
	if len(backends) == 0 {
		return // no receiver is running
	}
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(p.ctx, "tcp", backends[rand.IntN(len(backends))])
	if err != nil {
		return // it has just been killed
	}
	server := conn.(*net.TCPConn)
	defer server.Close()
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _, _ = client.Close(), server.Close() })() // closing again is harmless
	p.wait.Go(func() {
		defer cancel()
		p.copy(ctx, server, client)
	})
	p.copy(ctx, client, server)
	cancel()
}

// copy passes on what comes, as the weather allows.
func (p *proxy) copy(ctx context.Context, to, from *net.TCPConn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if err := p.pass(ctx, to, from, buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

var errReset = errors.New("the proxy has reset the connection")

func (p *proxy) pass(ctx context.Context, to, from *net.TCPConn, piece []byte) error {
	for {
		now, changed := p.now()
		switch now {
		case resets:
			_, err := to.Write(piece[:len(piece)/2])
			_, _ = to.SetLinger(0), from.SetLinger(0) // closing then sends a reset
			return errors.Join(errReset, err)
		case hole:
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-changed:
				continue
			}
		case delays:
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(50*time.Millisecond + rand.N(400*time.Millisecond)):
			}
		}
		_, err := to.Write(piece)
		return err
	}
}
