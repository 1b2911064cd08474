// Networks is the program of the guide in README.md. It shows which addresses a
// sender connects to, with and without options, and what a proxy is asked.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/service"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

func main() {
	ctx, stop := service.Signals(context.Background())
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "networks:", err)
		os.Exit(1)
	}
}

// The networks of a company, for this guide.
var (
	services = netip.MustParsePrefix("10.20.0.0/16")        // its own services
	nat64    = netip.MustParsePrefix("2001:db8:64:64::/96") // its NAT64 gateway
)

func run(ctx context.Context, out io.Writer) error {
	scheme, err := signer.NewStandard(signer.GenerateSecret())
	if err != nil {
		return err
	}
	for _, c := range []struct {
		title string
		opts  []sender.Option
		urls  []string
	}{
		{"without options", nil, []string{
			"https://93.184.215.14/hook", "http://93.184.215.14/hook", "https://10.20.0.7/hook", "https://169.254.169.254/", "https://127.0.0.1/hook",
		}},
		{"NAT64, without options", nil, []string{
			"https://[64:ff9b::5db8:d70e]/hook", "https://[64:ff9b::a14:7]/hook",
		}},
		{"with AllowNetworks", []sender.Option{sender.AllowNetworks(services)}, []string{
			"http://10.20.0.7/hook", "https://[64:ff9b::a14:7]/hook", "https://10.30.0.7/hook",
		}},
		{"with WithNAT64", []sender.Option{sender.WithNAT64(nat64)}, []string{
			"https://[2001:db8:64:64::5db8:d70e]/hook", "https://[2001:db8:64:64::a14:7]/hook",
		}},
	} {
		fmt.Fprintf(out, "%s\n", c.title)
		if err := check(ctx, out, scheme, c.opts, c.urls); err != nil {
			return err
		}
	}
	return throughProxy(ctx, out, scheme)
}

// check asks the guard about URLs. It connects to none of them.
func check(ctx context.Context, out io.Writer, scheme signer.Signer, opts []sender.Option, urls []string) error {
	s, err := sender.New(opts...)
	if err != nil {
		return err
	}
	defer s.Close()
	for _, u := range urls {
		answer := "allowed"
		if err := s.Check(ctx, sender.Endpoint{URL: sender.NewURL(u), Signer: scheme}); err != nil {
			answer = "refused"
		}
		fmt.Fprintf(out, "  %-44s %s\n", u, answer)
	}
	return nil
}

// throughProxy sends an event to this machine through a forward proxy.
func throughProxy(ctx context.Context, out io.Writer, scheme signer.Signer) error {
	fmt.Fprintln(out, "with WithProxy")
	listen := net.ListenConfig{}
	endpoint, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	target := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})}
	defer target.Close()
	go target.Serve(endpoint) //nolint:errcheck // it ends with Close
	proxy, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	forward := &http.Server{ReadHeaderTimeout: time.Minute, Handler: connect{out}}
	defer forward.Close()
	go forward.Serve(proxy) //nolint:errcheck // it ends with Close

	s, err := sender.New(
		sender.WithProxy(&url.URL{Scheme: "http", Host: proxy.Addr().String()}),
		sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")), // for this program's endpoint
	)
	if err != nil {
		return err
	}
	defer s.Close()
	receipt, err := s.Send(ctx, sender.Endpoint{URL: sender.NewURL("http://" + endpoint.Addr().String() + "/hook"), Signer: scheme}, &payload.Event{
		Type: payload.DeployLive, Timestamp: time.Now(), DeploymentID: "dep_1", App: "shop", Environment: "production",
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  %-44s %s\n", "the sender", receipt.Outcome)
	return nil
}

// connect is a forward proxy. It prints what it is asked for.
type connect struct{ out io.Writer }

func (c connect) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(c.out, "  %-44s %s %s\n", "the proxy was asked", r.Method, r.RequestURI)
	upstream, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", r.RequestURI)
	if err != nil || r.Method != http.MethodConnect {
		http.Error(w, "no tunnel", http.StatusBadGateway)
		return
	}
	defer upstream.Close()
	w.WriteHeader(http.StatusOK)
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	if err := tunnel(client, buffered.Reader, upstream); err != nil && !errors.Is(err, net.ErrClosed) {
		fmt.Fprintln(c.out, "  the proxy:", err)
	}
}

// tunnel copies in both directions until the client closes.
func tunnel(client net.Conn, fromClient *bufio.Reader, upstream net.Conn) error {
	go func() {
		_, _ = io.Copy(client, upstream) // the client sees the end of the connection
	}()
	_, err := io.Copy(upstream, fromClient)
	return err
}
