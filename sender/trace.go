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

// trace notes an attempt's timings. It is also the context of the attempt's
// request, so that the dialer finds it. It holds everything that the request
// needs, so that one allocation is enough.
//
// The transport calls it from other goroutines, and a dial can outlive the
// attempt. A mutex therefore guards it, and the end of the attempt takes a
// snapshot.
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

// attach returns the context for the request. Each hook costs an allocation.
// The dialer therefore sets the hooks that only a new connection needs, and the
// hooks of TLS are set for https only.
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

// got1xx bounds interim answers. The transport applies its limit for headers to
// each interim answer alone as soon as there is such a hook, so this hook has
// to count them. It also ends the attempt's context. Its error is not enough,
// because net/http/httptrace returns the error of the caller's hook if the
// caller's context has one.
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

// dialEnded notes the time of a dial. The time of DNS is not counted twice. A
// dial that failed counts as going on, because it often fails when the attempt
// is over.
func (t *trace) dialEnded(begin, end time.Time, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dnsEnd.After(begin) {
		begin = t.dnsEnd
	}
	t.timings.Connect = timemath.Elapsed(begin, end)
	t.at.dialing = t.at.dialing && err != nil
}

// dialled notes an address that was tried. The connection of the request
// overrides it.
func (t *trace) dialled(addr netip.AddrPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.got {
		t.addr = addr
	}
}

// permitted notes that the guard permitted an address, which is dialled now.
// The guard is not asked about a proxy.
func (t *trace) permitted() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at.permitted = true
	t.at.dialing = !t.got
}

// finish copies the notes into the record, and returns the phase that the
// attempt reached.
func (t *trace) finish(a *Attempt) progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	a.Timings, a.Addr, a.Reused = t.timings, t.addr, t.reused
	a.Timings.Total = time.Since(t.start)
	return t.at
}
