package sender

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// SetRoundTripper replaces both transports.
func SetRoundTripper(s *Sender, rt http.RoundTripper) { s.secure, s.plain = rt, rt }

// Plain is the transport for http without the checks before it. It tests the
// dial guard alone.
func Plain(s *Sender) http.RoundTripper { return s.plain }

// Transports returns the transports that a Sender really uses.
func Transports(s *Sender) []*http.Transport {
	return []*http.Transport{s.secure.(*http.Transport), s.plain.(*http.Transport)}
}

// Dial dials as the transport for https does.
func Dial(ctx context.Context, s *Sender, address string) (net.Conn, error) {
	return s.secure.(*http.Transport).DialContext(ctx, "tcp", address)
}

// GuardCheck asks the guard about one address.
func GuardCheck(s *Sender, to netip.AddrPort, plain bool) error {
	if v := s.guard.check(to, plain); v != nil {
		return v
	}
	return nil
}

// RetryAfter parses a header.
func RetryAfter(h http.Header, now time.Time, limit time.Duration) time.Duration {
	wait, _ := retryAfter(h, now, limit)
	return wait
}

// ParseURL returns the normalised URL.
func ParseURL(text string) (string, error) {
	u, err := parseURL(text)
	if err != nil {
		return "", err
	}
	return u.String(), nil
}

// SetRand makes the jitter of a schedule's BackOff as small or as large as it
// can be.
func SetRand(b any, largest bool) {
	b.(*steps).rand = func(n int64) int64 {
		if largest {
			return n - 1
		}
		return 0
	}
}
