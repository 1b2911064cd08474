package sender

import (
	"errors"
	"fmt"
	"hash/maphash"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/deployhook/deployhook/internal/redact"
)

// Sender delivers messages to endpoints. It keeps open connections for reuse
// and the latest URLs, but no signer and no header. Its only goroutines are
// those of idle connections. Make one and share it. All methods are safe for
// concurrent use.
type Sender struct {
	config
	guard     *guard
	secure    http.RoundTripper // https
	plain     http.RoundTripper // http
	userAgent string
	urls      urls
	buffers   sync.Pool  // of *[maxRecorded]byte, to read answers into
	rooms     sync.Pool  // of *redact.Room, to redact answers in
	certified *certified // https with a client certificate
	conns     *conns

	once   sync.Once
	closed chan struct{}
}

// New returns a Sender. Without options it sends over https to public addresses
// only, with the [Pipeline] schedule, 15 s for each attempt, and no proxy. New
// reports all mistakes in the options at once. The errors name the option and
// wrap [ErrConfig].
func New(opts ...Option) (*Sender, error) {
	c := config{
		schedule: Pipeline, timeout: DefaultTimeout, maxRetryAfter: DefaultMaxRetryAfter,
		maxBody: DefaultMaxBody, resolver: net.DefaultResolver,
	}
	for _, o := range opts {
		if o == nil {
			c.mistakes = append(c.mistakes, fmt.Errorf("%w: a nil Option was given; leave it out", ErrConfig))
			continue
		}
		o.apply(&c)
	}
	if c.proxy != nil && c.environment != nil {
		c.mistake("WithProxyFromEnvironment", "WithProxy is given as well; leave one of them out")
	}
	c.checkProxyResolves()
	c.checkDialer()
	if err := errors.Join(c.mistakes...); err != nil {
		return nil, err
	}
	c.faults = newFaults(&c)
	if err := c.startTelemetry(); err != nil {
		return nil, err
	}
	c.resolver = containedResolver(c.resolver, c.faults)
	c.dial = containedDial(c.dial, c.faults)
	g, open := newGuard(&c), new(conns)
	return &Sender{
		config:    c,
		guard:     g,
		secure:    newTransport(&c, g, open, false),
		plain:     newTransport(&c, g, open, true),
		certified: &certified{make: func() *http.Transport { return newTransport(&c, g, open, false) }},
		conns:     open,
		userAgent: userAgent(),
		urls:      urls{seed: maphash.MakeSeed()},
		buffers:   sync.Pool{New: func() any { return new([maxRecorded]byte) }},
		rooms:     sync.Pool{New: func() any { return redact.NewRoom() }},
		closed:    make(chan struct{}),
	}, nil
}

// Close ends the waits between attempts and closes idle connections. Send and
// Deliver then return [ErrClosed], and no attempt begins. Close does not wait
// for an attempt in flight, whose connection is closed when the attempt is
// over. To cut an attempt short, cancel its context.
//
// Closing again, or closing a nil or zero Sender, does nothing. The error
// is always nil.
//
// No goroutine is left, except that of an abandoned DNS query. Package net ends
// it after its timeout of 5 s.
func (s *Sender) Close() error {
	if s.made() != nil {
		return nil
	}
	s.once.Do(func() { close(s.closed) })
	for _, t := range []http.RoundTripper{s.secure, s.plain} {
		if c, ok := t.(interface{ CloseIdleConnections() }); ok {
			c.CloseIdleConnections()
		}
	}
	s.certified.CloseIdleConnections()
	s.conns.close()
	return nil
}

// Timeout returns the timeout of attempts to endpoints without their own, see
// [WithTimeout].
func (s *Sender) Timeout() time.Duration {
	if s == nil {
		return 0
	}
	return s.timeout
}

// errNotMade is the error of a Sender that is nil or zero.
var errNotMade = fmt.Errorf("%w: the Sender is nil or zero; make one with sender.New", ErrConfig)

func (s *Sender) made() error {
	if s == nil || s.closed == nil {
		return errNotMade
	}
	return nil
}
