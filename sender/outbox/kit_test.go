package outbox_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/sender/sendertest"
	"github.com/deployhook/deployhook/signer"
)

// An application tests its outbox with the endpoints of package sendertest. One
// customer is always up, and the other one resets the first attempt of each
// delivery.
func TestKit_FanOut(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		network := sendertest.NewNetwork(t)
		good, flaky := network.Endpoint(), network.Flaky(sendertest.Reset(), sendertest.OK())
		o := w.open(t, outbox.WithSender(network.Options()...))
		shop := o.App("shop")
		for _, customer := range []*sendertest.Endpoint{good, flaky} {
			_, shown, err := shop.CreateEndpoint(t.Context(), outbox.EndpointConfig{URL: sender.NewURL(customer.URL), Events: []string{"deploy.*"}})
			require.NoError(t, err)
			secret, err := signer.ParseSecret(shown.Reveal())
			require.NoError(t, err)
			scheme, err := signer.NewStandard(secret)
			require.NoError(t, err)
			customer.Verify(scheme)
		}
		require.NoError(t, o.Start(t.Context()))
		for _, e := range sendertest.Events() {
			_, err := shop.Publish(t.Context(), e)
			require.NoError(t, err)
		}
		types := []payload.Type{payload.DeployStarted, payload.DeployLive, payload.DeployFailed, payload.DeployRolledBack}
		good.WaitAccepted(4, patience)
		good.WantRequests(4).WantAccepted(types...)
		flaky.WaitAccepted(4, patience)
		flaky.WantRequests(8).WantAccepted(types...)
	})
}
