package sender_test

import (
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// TestProxyFromEnvironment runs itself in new processes, because a process
// reads the variables once.
func TestProxyFromEnvironment(t *testing.T) {
	const child = "DEPLOYHOOK_TEST_PROXY_CHILD"
	ep := sender.Endpoint{URL: sender.NewURL("https://192.0.2.9:1"), Signer: standard(t)}
	switch os.Getenv(child) {
	case "bad":
		_, err := sender.New(sender.WithProxyFromEnvironment())
		require.ErrorIs(t, err, sender.ErrConfig)
		require.ErrorContains(t, err, "WithProxyFromEnvironment")
		require.NotContains(t, err.Error(), canary)
	case "good":
		s := newSender(t, sender.AllowNetworks(netip.MustParsePrefix("192.0.2.0/24")), sender.WithProxyFromEnvironment())
		a := attempt(t, s, ep)
		require.Equal(t, sender.ClassProxy, a.Class, "%v", a.Err)
		require.NotContains(t, a.Err.Error(), canary)
		ep.URL = sender.NewURL("https://127.0.0.1:1")
		require.Equal(t, sender.ClassConnect, attempt(t, s, ep).Class, "NO_PROXY")
		ep.URL = sender.NewURL("https://10.0.0.1")
		require.ErrorIs(t, attempt(t, s, ep).Err, sender.ErrForbiddenAddress)
		_, err := sender.New(sender.WithProxyFromEnvironment(), sender.WithProxy(&url.URL{Scheme: "http", Host: "a.example"}))
		require.ErrorIs(t, err, sender.ErrConfig)
	default:
		for kind, value := range map[string]string{"good": "http://u:" + canary + "@127.0.0.1:1", "bad": "socks5://u:" + canary + "@127.0.0.1:1"} {
			c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProxyFromEnvironment$")
			c.Env = append(os.Environ(), child+"="+kind, "HTTPS_PROXY="+value, "NO_PROXY=127.0.0.1")
			out, err := c.CombinedOutput()
			require.NoError(t, err, "%s: %s", kind, out)
		}
	}
}
