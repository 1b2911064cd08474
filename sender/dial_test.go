package sender_test

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// dialled records the addresses that a Sender asks for, and dials them.
type dialled struct {
	mu   sync.Mutex
	list []string
	fail map[string]error
}

func (d *dialled) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d.mu.Lock()
	d.list = append(d.list, network+" "+address)
	err := d.fail[address]
	d.mu.Unlock()
	if err != nil {
		return nil, err
	}
	var own net.Dialer
	return own.DialContext(ctx, network, address)
}

func (d *dialled) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.list)
}

func TestDialer_MakesTheConnection(t *testing.T) {
	t.Parallel()
	server := serve(t, func(http.ResponseWriter, *http.Request) {})
	d := &dialled{}
	s := newSender(t, sender.WithDialer(d.dial))
	for range 2 {
		a := attempt(t, s, sender.Endpoint{URL: sender.NewURL(server.URL), Signer: standard(t)})
		require.NoError(t, a.Err)
		require.Equal(t, server.Listener.Addr().String(), a.Addr.String())
	}
	require.Equal(t, []string{"tcp " + server.Listener.Addr().String()}, d.all(), "the connection is used again")
}

func TestDialer_AddsTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	d := &dialled{}
	a := attempt(t, newSender(t, sender.WithDialer(d.dial), sender.WithRootCAs(roots)), sender.Endpoint{URL: sender.NewURL(server.URL), Signer: standard(t)})
	require.NoError(t, a.Err)
	require.NotEmpty(t, d.all())
	require.NotZero(t, a.Timings.TLS)
}

// TestDialer_KeepsTheGuard checks that the function is asked for no address
// that the guard refuses.
func TestDialer_KeepsTheGuard(t *testing.T) {
	t.Parallel()
	dns := newNameServer(t)
	dns.set("inside.example", "10.0.0.1")
	dns.set("port.example", "127.0.0.1")
	for url, want := range map[string]error{
		"https://inside.example/":   sender.ErrForbiddenAddress,
		"https://169.254.169.254/":  sender.ErrForbiddenAddress,
		"https://[::ffff:a00:1]/":   sender.ErrForbiddenAddress,
		"https://[64:ff9b::a00:1]/": sender.ErrForbiddenAddress,
		"http://93.184.216.34/":     sender.ErrRefused,
		"https://port.example:22/":  sender.ErrRefused,
		"https://127.0.0.66/":       sender.ErrForbiddenAddress,
	} {
		d := &dialled{}
		s := newSender(t, sender.WithDialer(d.dial), sender.WithResolver(dns.resolver()), sender.WithPorts(80, 443),
			sender.DenyNetworks(netip.MustParsePrefix("127.0.0.66/32")))
		a := attempt(t, s, sender.Endpoint{URL: sender.NewURL(url), Signer: standard(t)})
		require.ErrorIs(t, a.Err, want, url)
		require.Equal(t, sender.Refused, a.Outcome, url)
		require.Empty(t, d.all(), url)
	}
}

// TestDialer_TriesEveryPermittedAddress checks that a forbidden address among
// the others is skipped, and that a failure is that of a connection.
func TestDialer_TriesEveryPermittedAddress(t *testing.T) {
	t.Parallel()
	port, _ := counter(t, "127.0.0.1:0")
	dns := newNameServer(t)
	dns.set("many.example", "127.0.0.9", "10.0.0.1", "127.0.0.1")
	refused := errors.New("no route in this network")
	d := &dialled{fail: map[string]error{"127.0.0.9:" + port: refused}}
	s := newSender(t, sender.WithResolver(dns.resolver()), sender.WithDialer(d.dial))
	ep := sender.Endpoint{URL: sender.NewURL("http://many.example:" + port), Signer: standard(t)}
	require.NoError(t, attempt(t, s, ep).Err)
	require.Equal(t, []string{"tcp 127.0.0.9:" + port, "tcp 127.0.0.1:" + port}, d.all())

	for _, err := range []error{refused, syscall.ECONNREFUSED, &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}} {
		d = &dialled{fail: map[string]error{"127.0.0.9:" + port: err, "127.0.0.1:" + port: err}}
		a := attempt(t, newSender(t, sender.WithResolver(dns.resolver()), sender.WithDialer(d.dial)), ep)
		require.ErrorIs(t, a.Err, err)
		require.Equal(t, sender.ClassConnect, a.Class)
		require.Equal(t, sender.Failed, a.Outcome)
	}
}

// TestDialer_EndsWithTheAttempt checks that the function's context ends with
// the attempt, also where the connection was never made.
func TestDialer_EndsWithTheAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		s := newSender(t, sender.WithDialer(func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			close(ended)
			return nil, ctx.Err()
		}))
		a := attempt(t, s, sender.Endpoint{URL: sender.NewURL("http://127.0.0.1:9"), Signer: standard(t), Timeout: 3 * time.Second})
		require.Equal(t, sender.ClassConnect, a.Class, "%v", a.Err)
		require.Equal(t, 3*time.Second, a.Timings.Total)
		<-ended
	})
}

func TestDialer_Configuration(t *testing.T) {
	t.Parallel()
	d := &dialled{}
	_, err := sender.New(sender.WithDialer(nil))
	require.ErrorIs(t, err, sender.ErrConfig)
	require.ErrorContains(t, err, "WithDialer: the function is nil")
	_, err = sender.New(sender.WithDialer(d.dial), sender.WithProxy(&url.URL{Scheme: "http", Host: "proxy.example"}))
	require.ErrorContains(t, err, "WithDialer: a proxy is given as well")

	s := newSender(t, sender.WithDialer(func(context.Context, string, string) (net.Conn, error) { return nil, nil }))
	a := attempt(t, s, sender.Endpoint{URL: sender.NewURL("http://127.0.0.1:9"), Signer: standard(t)})
	require.Equal(t, sender.ClassConnect, a.Class)
	require.ErrorContains(t, a.Err, "neither a connection nor an error")
}
