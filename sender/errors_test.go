package sender_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// TestReasonsAreSaidOnce checks that an error's text says "refused by policy"
// once, although each part of its chain does.
func TestReasonsAreSaidOnce(t *testing.T) {
	t.Parallel()
	s, err := sender.New()
	require.NoError(t, err)
	defer s.Close()
	dns := newNameServer(t)
	dns.set("inside.example", "10.0.0.1")
	resolving, err := sender.New(sender.WithResolver(dns.resolver()))
	require.NoError(t, err)
	defer resolving.Close()
	silent := signFunc(func(context.Context, *http.Request, string, time.Time, []byte) error { return nil })
	for name, c := range map[string]struct {
		s    *sender.Sender
		ep   sender.Endpoint
		is   error
		want string
	}{
		"URL": {
			s,
			sender.Endpoint{URL: sender.NewURL("https://10.0.0.1"), Signer: standard(t)},
			sender.ErrForbiddenAddress,
			"sender: refused by policy: forbidden address: Endpoint.URL: https://10.0.0.1: 10.0.0.1 is not a public address; AllowNetworks would open it",
		},
		"dial": {
			resolving,
			sender.Endpoint{URL: sender.NewURL("https://inside.example"), Signer: standard(t)},
			sender.ErrForbiddenAddress,
			"sender: refused by policy after 1 attempt: POST https://inside.example: 10.0.0.1 is not a public address; AllowNetworks would open it",
		},
		"signer": {
			s,
			sender.Endpoint{URL: sender.NewURL("https://93.184.215.14"), Signer: silent},
			sender.ErrUnsigned,
			"sender: refused by policy after 1 attempt: unsigned: Endpoint.Signer: sender_test.signFunc set no header",
		},
	} {
		_, err := c.s.Deliver(t.Context(), c.ep, message())
		require.ErrorIs(t, err, c.is, name)
		require.ErrorIs(t, err, sender.ErrRefused, name)
		require.EqualError(t, err, c.want, name)
		require.Equal(t, 1, strings.Count(err.Error(), "refused by policy"), name)
	}
}
