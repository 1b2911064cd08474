package sender_test

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

// instant is an endpoint that takes no time.
type instant struct{}

func (instant) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusNoContent, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// BenchmarkOwn measures what a Sender adds to its transport, which is checks,
// signature, deadline and record. floor=sign is the signature alone.
func BenchmarkOwn(b *testing.B) {
	standard, err := signer.NewStandard(signer.GenerateSecret())
	require.NoError(b, err)
	s, err := sender.New(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	sender.SetRoundTripper(s, instant{})
	msg := sender.Message{ID: "whk_0198f2c4b1f07c3e9d5a6b7c8d9e0f10", Body: make([]byte, 700)}
	for name, ep := range map[string]sender.Endpoint{
		"unsigned": {URL: sender.NewURL("http://127.0.0.1:8080/webhooks/deploy"), Signer: sender.InsecureUnsigned()},
		"signed":   {URL: sender.NewURL("http://127.0.0.1:8080/webhooks/deploy"), Signer: standard},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Deliver(b.Context(), ep, msg); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
