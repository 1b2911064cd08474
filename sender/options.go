package sender

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/payload"
)

// Defaults of the options.
const (
	// DefaultTimeout bounds one attempt, from resolving the host to the end of the
	// answer's body.
	DefaultTimeout = 15 * time.Second
	// DefaultMaxRetryAfter is the longest wait that an endpoint can ask for.
	DefaultMaxRetryAfter = 5 * time.Minute

	// DefaultMaxBody is the longest body that is sent, in bytes.
	DefaultMaxBody = 1 << 20

	maxTimeout         = 10 * time.Minute
	maxBodyLimit       = 64 << 20
	maxRetryAfterLimit = 7 * 24 * time.Hour
)

// Option configures [New].
type Option interface {
	apply(*config)
}

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

// config collects the values of options. It also collects mistakes, so that New
// reports all of them.
type config struct {
	schedule      Schedule
	timeout       time.Duration
	maxRetryAfter time.Duration
	maxBody       int
	stopOnClient  bool
	// deliveryControl is WithDeliveryControl.
	deliveryControl bool
	observer        func(context.Context, Attempt)
	openTelemetry   func() (Telemetry, error)
	telemetry       Telemetry // nil unless WithTelemetry is given
	telemetryIsOwn  bool      // it is that of the module otelsender
	logger          *slog.Logger
	faults          *contain.Faults
	types           []payload.Type

	networks     []netip.Prefix
	denied       []netip.Prefix
	nat64        []netip.Prefix
	insecureHTTP bool
	// proxyResolves is InsecureProxyResolves.
	proxyResolves bool
	ports         []uint16
	resolver      *net.Resolver
	dial          dialFunc // WithDialer, or nil
	rootCAs       *x509.CertPool
	proxy         *proxy
	environment   map[string]*proxy // WithProxyFromEnvironment, by scheme

	mistakes []error
}

func (c *config) mistake(option, format string, args ...any) {
	c.mistakes = append(c.mistakes, fmt.Errorf("%w: %s: %s", ErrConfig, option, fmt.Sprintf(format, args...)))
}

// WithSchedule sets the waits between the attempts of [Sender.Send] and
// [Sender.Deliver]. Default: [Pipeline]. A nil schedule is an error. For no
// retries use [Once].
//
// Where a schedule panics or does not answer within 5 seconds, the delivery
// goes on with Pipeline at the same attempt, see [Sender.Faults].
func WithSchedule(schedule Schedule) Option {
	return optionFunc(func(c *config) {
		if err := checkSchedule(schedule); err != nil {
			c.mistake("WithSchedule", "%v", err)
		}
		c.schedule = schedule
	})
}

// WithTimeout bounds each attempt as a whole, from resolving the host to the
// end of the answer's body. Default: 15 s ([DefaultTimeout]). At most 10
// minutes. Zero is an error, because an endpoint could hold an attempt without
// a deadline forever. [Endpoint].Timeout overrides the option for one endpoint.
func WithTimeout(d time.Duration) Option {
	return optionFunc(func(c *config) {
		if d <= 0 || d > maxTimeout {
			c.mistake("WithTimeout", "%v: want more than 0 and at most %v", d, maxTimeout)
		}
		c.timeout = d
	})
}

// WithMaxRetryAfter caps the wait that an endpoint can ask for with
// Retry-After, on any answer except a 2xx. Default: 5 minutes
// ([DefaultMaxRetryAfter]), because Send makes its caller wait. Set an hour or
// more for a queue, whose callers do not wait. Zero ignores Retry-After. At
// most 7 days.
func WithMaxRetryAfter(d time.Duration) Option {
	return optionFunc(func(c *config) {
		if d < 0 || d > maxRetryAfterLimit {
			c.mistake("WithMaxRetryAfter", "%v: want 0 to %v", d, maxRetryAfterLimit)
		}
		c.maxRetryAfter = d
	})
}

// WithMaxBody bounds the sent bodies in bytes. A longer body gives a
// [*MessageError], and nothing is sent. Default: 1 MiB ([DefaultMaxBody]),
// which is also the default limit of package receiver. At most 64 MiB. Zero is
// an error, because one huge commit message could then fill the memory of a
// queue.
func WithMaxBody(bytes int) Option {
	return optionFunc(func(c *config) {
		if bytes <= 0 || bytes > maxBodyLimit {
			c.mistake("WithMaxBody", "%d: want more than 0 and at most %d bytes", bytes, maxBodyLimit)
		}
		c.maxBody = bytes
	})
}

// WithStopOnClientError makes 4xx answers final ([Rejected], [ErrRejected]), so
// that a CI job with a wrong secret or path fails at once. The exceptions are
// 408, 409, 425, 429, and any answer with a Retry-After. 409 means that another
// instance of the receiver is handling the delivery. Default: off. A 4xx other
// than 410 is then retried, because an endpoint that is being redeployed also
// answers 404.
func WithStopOnClientError() Option {
	return optionFunc(func(c *config) { c.stopOnClient = true })
}

// WithObserver sets a function for logs and metrics. The Sender calls it with
// the record of every attempt, after the attempt and before the wait in
// [Attempt].Wait. It must be safe for concurrent use. Default: none. Nil is an
// error.
//
// Send, Deliver and Attempt wait for it, so a slow one delays their return and
// the next attempt, and one that hangs delays them until it returns. A panic in
// it is contained, see [Sender.Faults].
func WithObserver(observe func(context.Context, Attempt)) Option {
	return optionFunc(func(c *config) {
		if observe == nil {
			c.mistake("WithObserver", "the function is nil; leave it out")
		}
		c.observer = observe
	})
}

// WithLogger sets where the faults of callbacks are logged, at most once a
// minute for each callback, see [Sender.Faults]. Nothing else is logged.
// Default: [slog.Default]. Nil is an error. A call that meets a fault waits for
// the logger.
func WithLogger(l *slog.Logger) Option {
	return optionFunc(func(c *config) {
		if l == nil {
			c.mistake("WithLogger", "the logger is nil; leave it out")
		}
		c.logger = l
	})
}

// WithEventTypes declares the types of event that this program sends. Each
// pattern of an endpoint's filter must then match one of them (see
// [ParseFilter]). They replace the types of package payload, so name those as
// well if they are sent. Default: none. Naming none is an error. Repeated
// options add up.
func WithEventTypes(types ...payload.Type) Option {
	return optionFunc(func(c *config) {
		if err := checkOwnTypes(types); err != nil {
			c.mistake("WithEventTypes", "%v", err)
		}
		c.types = append(c.types, types...)
	})
}

// AllowNetworks opens networks that are not public, such as 10.0.0.0/8 for a
// company's services, or 127.0.0.0/8 and ::1/128 for a test. Plain http is also
// permitted in these networks. An IPv4 prefix also covers IPv6 addresses that
// embed its addresses, which are mapped addresses and those of NAT64 gateways
// (see [WithNAT64]). Default: only public addresses, and only https. Naming
// none is an error. Repeated options add up.
//
// The risk is that anyone who may enter URLs can make this process send
// requests to every service in these networks. Don't open a network with a
// service that trusts its callers, such as a cloud's metadata service
// (169.254.0.0/16).
func AllowNetworks(networks ...netip.Prefix) Option {
	return optionFunc(func(c *config) {
		c.networks = append(c.networks, c.prefixes("AllowNetworks", networks)...)
	})
}

// DenyNetworks closes networks, public ones included, and is stronger than
// [AllowNetworks]. Use it for a platform's public ranges, or for an internal
// range inside a wider allowed one. An IPv4 prefix also covers IPv6 addresses
// that embed its addresses. Default: none. Naming none is an error. Repeated
// options add up.
func DenyNetworks(networks ...netip.Prefix) Option {
	return optionFunc(func(c *config) {
		c.denied = append(c.denied, c.prefixes("DenyNetworks", networks)...)
	})
}

// prefixes checks what an option was given.
func (c *config) prefixes(option string, networks []netip.Prefix) []netip.Prefix {
	if len(networks) == 0 {
		c.mistake(option, "names no network; leave it out")
	}
	var normal []netip.Prefix
	for _, p := range networks {
		p, err := normalPrefix(p)
		if err != nil {
			c.mistake(option, "%v", err)
			continue
		}
		normal = append(normal, p)
	}
	return normal
}

// InsecureHTTP permits plain http to public addresses. Default: off.
//
// The risk is that anyone on the way can read the body, the URL and an API key.
// An attacker can also answer in the endpoint's place, so that the event is
// lost, or replay a signed request within the receiver's tolerance. A signature
// protects only against alteration. For plain http inside your own network, use
// [AllowNetworks] instead.
func InsecureHTTP() Option {
	return optionFunc(func(c *config) { c.insecureHTTP = true })
}

// WithPorts narrows the ports that may be connected to, on all addresses.
// Default: any. Naming none, or 0, is an error. Repeated options add up.
func WithPorts(ports ...uint16) Option {
	return optionFunc(func(c *config) {
		if len(ports) == 0 || slices.Contains(ports, 0) {
			c.mistake("WithPorts", "names no port, or port 0")
		}
		c.ports = append(c.ports, ports...)
	})
}

// WithResolver sets the resolver of hosts, for a custom DNS server. Default:
// net.DefaultResolver. Nil is an error. Its answers are not trusted, because
// the guard checks every address before it is dialled.
//
// A Dial function of the resolver is bounded by the attempt's timeout. A panic
// in it fails the attempt, see [Sender.Faults].
func WithResolver(r *net.Resolver) Option {
	return optionFunc(func(c *config) {
		if r == nil {
			c.mistake("WithResolver", "the resolver is nil; leave it out")
		}
		c.resolver = r
	})
}

// WithRootCAs sets the certificate authorities for endpoints' certificates.
// Default: the system's. To add a company's authority to those, start from
// x509.SystemCertPool. Nil is an error. No option turns verification off.
func WithRootCAs(pool *x509.CertPool) Option {
	return optionFunc(func(c *config) {
		if pool == nil {
			c.mistake("WithRootCAs", "the pool is nil; leave it out")
		}
		c.rootCAs = pool
	})
}
