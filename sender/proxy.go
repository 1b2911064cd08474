package sender

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/deployhook/deployhook/internal/hidden"
)

const maxConnect = 16 << 10 // bytes of a proxy's answer

// WithProxy sends everything through a forward proxy. Its URL is http or https,
// and may have a user name and a password. Default: none. Proxies of the
// environment are used with [WithProxyFromEnvironment] only. Nil is an error,
// and so is a URL with anything behind the host.
//
// The guard keeps its protection. The Sender resolves names, checks every
// address, and asks the proxy to connect (CONNECT, RFC 9110 section 9.3.6) to
// an address that passed. With https the proxy sees no content, because TLS is
// between this process and the endpoint. Therefore:
//
//   - This process must be able to resolve names.
//   - A proxy that permits hosts by name does not see the names, see
//     [InsecureProxyResolves].
//   - A proxy that permits CONNECT to port 443 only refuses all other ports,
//     those of http included.
//
// The guard does not check the proxy's address, because you named it. The
// proxy's certificate is verified like an endpoint's (see [WithRootCAs]). If
// the proxy can't be reached or refuses, the attempt fails with [ClassProxy].
// The user name and password are in no error and no record.
func WithProxy(u *url.URL) Option {
	return optionFunc(func(c *config) {
		p, err := newProxy(u)
		if err != nil {
			c.mistake("WithProxy", "%v", err)
		}
		c.proxy = p
	})
}

// proxy is where to ask for connections.
type proxy struct {
	address       string // host:port
	host          string
	secure        bool
	authorization hidden.Value[string] // the value of Proxy-Authorization, or ""
}

// newProxy never repeats the URL in an error, because it may contain a
// password.
func newProxy(u *url.URL) (*proxy, error) {
	switch {
	case u == nil:
		return nil, errors.New("the URL is nil; leave it out")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("the URL must begin with http:// or https://; other kinds of proxy are not supported")
	case u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("the URL has no host")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("the URL has more than a host and a port")
	}
	if text := u.Port(); text != "" {
		if n, err := strconv.ParseUint(text, 10, 16); err != nil || n == 0 {
			return nil, errors.New("the URL has a port that is not between 1 and 65535")
		}
	}
	p := &proxy{host: u.Hostname(), secure: u.Scheme == "https"}
	port := cmp.Or(u.Port(), map[bool]string{false: "80", true: "443"}[p.secure])
	p.address = net.JoinHostPort(p.host, port)
	if u.User != nil {
		password, _ := u.User.Password()
		p.authorization = hidden.Of("Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password)))
	}
	return p, nil
}

// proxyError is a failure of the proxy. Its text names the proxy's address and
// never its credentials. It repeats only the status of the proxy's answer,
// because an answer may echo the request.
type proxyError struct {
	text  string
	cause error
}

func (e *proxyError) Error() string { return e.text }
func (e *proxyError) Unwrap() error { return e.cause }

// dialThrough connects to address by way of the proxy, under the guard.
func (d *dialer) dialThrough(ctx, lookup context.Context, address string) (net.Conn, error) {
	ctx, stop := boundDial(ctx)
	defer stop()
	if d.proxyResolves && isName(address) {
		return d.connectByName(ctx, address)
	}
	return d.dialEach(ctx, lookup, address, d.connect)
}

// connect makes one tunnel.
func (d *dialer) connect(ctx context.Context, to string) (net.Conn, error) {
	conn, err := d.reach(ctx)
	if err != nil {
		return nil, err
	}
	// The context's end interrupts whatever the connection is waiting for.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err = d.proxy.ask(conn, to, d.userAgent)
	if !stop() || err != nil {
		_ = conn.Close() // it is not used
		if ctx.Err() != nil {
			return nil, &proxyError{"proxy " + d.proxy.address + " did not answer in time", ctx.Err()}
		}
		return nil, err
	}
	return conn, nil
}

// reach connects to the proxy itself. It does not ask the guard, because the
// operator named this address.
func (d *dialer) reach(ctx context.Context) (net.Conn, error) {
	conn, err := d.toProxy.DialContext(ctx, "tcp", d.proxy.address)
	if err != nil {
		return nil, &proxyError{"proxy not reached: " + clean(err.Error()), err}
	}
	if !d.proxy.secure {
		return conn, nil
	}
	secure := tls.Client(conn, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: d.rootCAs, ServerName: d.proxy.host})
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // it is not used
		return nil, &proxyError{"TLS with proxy " + d.proxy.address + " failed: " + clean(err.Error()), err}
	}
	return secure, nil
}

// ask requests a tunnel, and reads a bounded answer.
func (p *proxy) ask(conn net.Conn, to, userAgent string) error {
	request := "CONNECT " + to + " HTTP/1.1\r\nHost: " + to + "\r\nUser-Agent: " + userAgent + "\r\n"
	if value := p.authorization.Reveal(); value != "" {
		request += "Proxy-Authorization: " + value + "\r\n"
	}
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		return &proxyError{"proxy " + p.address + " closed the connection", err}
	}
	r := bufio.NewReader(io.LimitReader(conn, maxConnect))
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		// Not the error itself, which may quote the answer.
		return &proxyError{"proxy " + p.address + " gave no valid answer to CONNECT", nil}
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		text := fmt.Sprintf("proxy %s answered %d %s to CONNECT", p.address, resp.StatusCode, http.StatusText(resp.StatusCode))
		return &proxyError{strings.ReplaceAll(text, "  ", " "), nil}
	}
	if r.Buffered() > 0 {
		return &proxyError{"proxy " + p.address + " sent something after its answer to CONNECT", nil}
	}
	return nil
}
