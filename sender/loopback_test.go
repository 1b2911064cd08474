package sender_test

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// loopbackNames are spellings that some software takes for the loopback
// address.
func loopbackNames() []string {
	return []string{
		"127.1", "127.0.1", "0x7f.1", "0x7f000001", "0177.0.0.1", "2130706433", "017700000001", "0", "0.0.0.0", "0x0",
		"[::]", "[::1]", "[::ffff:7f00:1]", "[::ffff:127.0.0.1]", "[::127.0.0.1]", "[fe80::1%25lo]", "[::1%25lo]",
		"127。0。0。1", "127．0．0．1", "①②⑦.⓪.⓪.①", "１２７.0.0.1", "localhost", "LOCALHOST", "localhost.", "127.0.0.1.", "127.0.0.1",
		"%31%32%37.0.0.1", "127.0.0.1%00.example.com", "127.0.0.1%2eexample.com", "127.0.0.1 .example",
	}
}

// TestLoopbackNamesAtTheGuard removes every check before the dial, so that the
// guard alone has to refuse. It uses Go's resolver and the C library's, which
// reads many more of these names. A program chooses its resolver when it
// starts, so the test starts child processes. The guard must also refuse
// through a proxy, which here is the server that no attempt may reach.
func TestLoopbackNamesAtTheGuard(t *testing.T) {
	t.Parallel()
	port, connections := counter(t, "127.0.0.1:0")
	for _, resolver := range []string{"go", "cgo"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHelperDialLoopback$", "-test.v")
		cmd.Env = append(os.Environ(), "GODEBUG=netdns="+resolver+"+1", "SENDER_TEST_PORT="+port)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "tried all", "the child ran")
		if withCgo {
			require.Contains(t, strings.ToLower(string(out)), resolver+" resolver", "with the resolver under test")
		}
	}
	require.Zero(t, connections.Load())
}

// TestHelperDialLoopback is the child of the test above.
func TestHelperDialLoopback(t *testing.T) {
	port := os.Getenv("SENDER_TEST_PORT")
	if port == "" {
		return // not the child
	}
	for _, opts := range [][]sender.Option{
		{sender.InsecureHTTP()},
		{sender.InsecureHTTP(), sender.WithProxy(&url.URL{Scheme: "http", Host: "127.0.0.1:" + port})},
	} {
		s, err := sender.New(opts...)
		require.NoError(t, err)
		dialLoopback(t, s, port)
		s.Close()
	}
	t.Log("tried all")
}

func dialLoopback(t *testing.T, s *sender.Sender, port string) {
	for _, name := range loopbackNames() {
		u, err := url.Parse("http://" + name + ":" + port + "/")
		if err != nil {
			continue // no request can be made with it
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), strings.NewReader("x"))
		require.NoError(t, err)
		resp, err := sender.Plain(s).RoundTrip(req)
		if err == nil {
			_ = resp.Body.Close()
			t.Errorf("%s was reached", name)
		}
		cancel()
	}
}

// TestLoopbackNamesInURLs checks that these names are refused before a dial and
// without DNS. The exceptions are one name that must be resolved first, and
// spellings of the plain address.
func TestLoopbackNamesInURLs(t *testing.T) {
	t.Parallel()
	s, err := sender.New()
	require.NoError(t, err)
	defer s.Close()
	for _, name := range loopbackNames() {
		ep := sender.Endpoint{URL: sender.NewURL("https://" + name + "/"), Signer: standard(t)}
		a := s.Attempt(t.Context(), ep, message())
		require.ErrorIs(t, a.Err, sender.ErrRefused, name)
		require.Equal(t, sender.Refused, a.Outcome, name)
		require.ErrorIs(t, s.Check(t.Context(), ep), sender.ErrRefused, name)
		if !strings.HasPrefix(strings.ToLower(name), "localhost") {
			require.Zero(t, a.Timings.Total, "%s: refused before the network", name)
		}
	}
}
