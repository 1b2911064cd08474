package stoptest

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"time"
)

const (
	// dripEvery is the time between two bytes.
	dripEvery = 200 * time.Millisecond
	// dripTimeout bounds a write. A byte always fits into a buffer of the kernel.
	dripTimeout = 10 * time.Second
)

// drips are connections that send a byte now and then, in their headers or in
// their body.
type drips struct {
	addr, path string
	conns      []net.Conn // nil: the program refuses connections
	closed     atomic.Int64
}

// open opens the connections.
func (d *drips) open(ctx context.Context, n int) error {
	for i := range n {
		c, err := d.dial(ctx, i)
		if err != nil {
			d.close()
			return err
		}
		d.conns = append(d.conns, c)
	}
	return nil
}

func (d *drips) dial(ctx context.Context, i int) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", d.addr)
	if err != nil {
		return nil, err
	}
	text := "POST " + d.path + " HTTP/1.1\r\nHost: localhost\r\nX-Drip: "
	if i%2 == 0 {
		text = "POST " + d.path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
	}
	if _, err := io.WriteString(c, text); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// run sends the bytes until ctx ends. It replaces the connections that the
// program has closed.
func (d *drips) run(ctx context.Context) {
	defer d.close()
	tick := time.NewTicker(dripEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for i, c := range d.conns {
			if c != nil {
				_ = c.SetWriteDeadline(time.Now().Add(dripTimeout)) // the write fails if it can't be set
				if _, err := io.WriteString(c, "x"); err == nil {
					continue
				}
				_ = c.Close()
				d.closed.Add(1)
			}
			d.conns[i], _ = d.dial(ctx, i) // nil after the end of the program
		}
	}
}

func (d *drips) close() {
	for _, c := range d.conns {
		if c != nil {
			_ = c.Close()
		}
	}
}
