package sender

import (
	"fmt"
	"net/http"
)

// Transport returns a RoundTripper for other requests to URLs from outside,
// such as a smoke test of the URL in a deploy.live event. The options for
// networks, ports, the resolver, the proxy and certificate authorities apply as
// they do to deliveries. Those for timeouts, schedules, observers and telemetry
// do not.
//
//	client := &http.Client{Transport: s.Transport(), Timeout: 10 * time.Second}
//
// The guard checks every address that is dialled, also after each redirect that
// the client follows. A refusal is an error that wraps [ErrForbiddenAddress] or
// [ErrRefused]. A URL with user information is refused, because its password
// would be sent to whatever the URL names.
//
// The caller bounds the time and the length of the body that it reads. Bodies
// are not decompressed. After [Sender.Close] each request fails with
// [ErrClosed]. Requests in flight are not cut short.
func (s *Sender) Transport() http.RoundTripper { return roundTripper{s} }

// roundTripper hides the Sender's other methods.
type roundTripper struct{ s *Sender }

// RoundTrip implements http.RoundTripper.
func (t roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	to, err := t.admit(r)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // a RoundTripper always closes it; the refusal is the error
		}
		return nil, err
	}
	return to.RoundTrip(r)
}

// admit applies the rules for URLs and returns the transport for the scheme.
// The guard of the transport checks the port and each address.
func (t roundTripper) admit(r *http.Request) (http.RoundTripper, error) {
	if err := t.s.made(); err != nil {
		return nil, err
	}
	select {
	case <-t.s.closed:
		return nil, ErrClosed
	default:
	}
	switch {
	case r.URL == nil || r.URL.Host == "":
		return nil, fmt.Errorf("%w: the URL has no host", ErrRefused)
	case r.URL.User != nil:
		return nil, fmt.Errorf("%w: the URL has user information; remove it", ErrRefused)
	case r.URL.Scheme != "https" && r.URL.Scheme != "http":
		return nil, fmt.Errorf("%w: the URL is not https", ErrRefused)
	}
	if r.URL.Scheme == "https" {
		return t.s.secure, nil
	}
	if !t.s.guard.plainPossible() {
		return nil, fmt.Errorf("%w: the URL is not https; AllowNetworks opens named networks for http, InsecureHTTP all", ErrRefused)
	}
	return t.s.plain, nil
}

// CloseIdleConnections makes http.Client.CloseIdleConnections work.
func (t roundTripper) CloseIdleConnections() {
	if t.s.made() != nil {
		return
	}
	for _, c := range []http.RoundTripper{t.s.secure, t.s.plain} {
		if c, ok := c.(interface{ CloseIdleConnections() }); ok {
			c.CloseIdleConnections()
		}
	}
}
