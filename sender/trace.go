package sender

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"net/url"
	"sync"
	"time"

	"github.com/deployhook/deployhook/internal/timemath"
)

// errInterim ends an attempt whose endpoint keeps sending 1xx answers.
var errInterim = errors.New("too many 1xx answers")

// trace notes an attempt's timings. It is the context of the attempt's request, too, so that the dialer finds it; and
// it holds what the request needs, so that all of it is one allocation.
//
// The transport calls it from its own goroutines, of which a dial can outlive the attempt: hence the mutex, and a
// snapshot at the end.
type trace struct {
	context.Context // the attempt's, with its deadline
	cancel          context.CancelFunc
	start           time.Time
	url             url.URL
	body            bytes.Reader
	values          [2]string
	hooks           httptrace.ClientTrace

	mu       sync.Mutex
	timings  Timings
	dnsBegin time.Time
	dnsEnd   time.Time
	tlsBegin time.Time
	addr     netip.AddrPort
	reused   bool
	got      bool // a connection
	at       progress
	interim  int
}

type traceKey struct{}

// traceOf returns the trace of the attempt that ctx belongs to, or nil.
func traceOf(ctx context.Context) *trace {
	t, _ := ctx.Value(traceKey{}).(*trace)
	return t
}

// Value makes the trace its context's own value.
func (t *trace) Value(key any) any {
	if key == (traceKey{}) {
		return t
	}
	return t.Context.Value(key)
}

// attach returns the context for the request. Hooks that a connection only needs when it is new are set by the dialer,
// and those of TLS for https alone: each costs an allocation.
func (t *trace) attach(plain bool) context.Context {
	t.hooks.GotConn = t.gotConn
	t.hooks.GotFirstResponseByte = t.firstByte
	t.hooks.Got1xxResponse = t.got1xx
	if !plain {
		t.hooks.TLSHandshakeStart = t.tlsStart
		t.hooks.TLSHandshakeDone = t.tlsDone
	}
	return httptrace.WithClientTrace(t, &t.hooks)
}

func (t *trace) gotConn(info httptrace.GotConnInfo) {
	addr, ok := info.Conn.RemoteAddr().(*net.TCPAddr)
	t.mu.Lock()
	defer t.mu.Unlock()
	if ok {
		t.addr = addr.AddrPort()
	}
	t.reused, t.got, t.at.dialing = info.Reused, true, false
}

func (t *trace) firstByte() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.timings.FirstByte = time.Since(t.start)
	t.at.gotByte = true
}

// got1xx bounds interim answers. It also ends the attempt's context, because its error is lost when the caller's context
// has such a hook of its own: of two hooks, net/http/httptrace returns what the caller's does. And such a hook, like this
// one, makes the transport apply its limit for headers to each interim answer alone, no longer to their sum.
func (t *trace) got1xx(int, textproto.MIMEHeader) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.interim++; t.interim > maxInterim {
		t.at.flooded = true
		t.cancel()
		return errInterim
	}
	return nil
}

func (t *trace) tlsStart() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tlsBegin = time.Now()
}

func (t *trace) tlsDone(_ tls.ConnectionState, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.timings.TLS = time.Since(t.tlsBegin)
	t.at.tlsFailed = err != nil
}

// withDNS returns ctx such that the resolver's times are noted.
func (t *trace) withDNS(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.dnsBegin = time.Now()
		},
		DNSDone: func(httptrace.DNSDoneInfo) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.dnsEnd = time.Now()
			t.timings.DNS = t.dnsEnd.Sub(t.dnsBegin)
		},
	})
}

// connected notes a dial, successful or not; what it spent on DNS is not counted twice.
func (t *trace) connected(begin, end time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dnsEnd.After(begin) {
		begin = t.dnsEnd
	}
	t.timings.Connect = timemath.Elapsed(begin, end)
	t.at.dialing = false
}

// dialled notes an address that was tried; the connection that the request gets has the last word.
func (t *trace) dialled(addr netip.AddrPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.got {
		t.addr = addr
	}
}

// permitted notes that the guard let an address pass, which is dialled now. A proxy
// is dialled without asking the guard.
func (t *trace) permitted() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at.permitted = true
	t.at.dialing = !t.got
}

// finish writes what was noted into the record, and says how far the attempt came.
func (t *trace) finish(a *Attempt) progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	a.Timings, a.Addr, a.Reused = t.timings, t.addr, t.reused
	a.Timings.Total = time.Since(t.start)
	return t.at
}
