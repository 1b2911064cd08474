package sendertest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/sendertest"
	"github.com/deployhook/deployhook/signer"
)

// The snippet of the package's documentation.
func TestNotify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scheme, err := signer.NewStandard(signer.GenerateSecret())
		if err != nil {
			t.Fatal(err)
		}
		network := sendertest.NewNetwork(t)
		customer := network.Endpoint(
			sendertest.Reset(),
			sendertest.TooMany(time.Minute),
			sendertest.OK(), // for all that follow
		).Verify(scheme)

		s := network.Sender() // or sender.New(network.Options()...)
		receipt, err := s.Send(t.Context(), customer.To(scheme), sendertest.Event(payload.DeployLive))
		if err != nil {
			t.Fatal(err)
		}
		customer.WantAttempts(receipt.ID, 3).WantAccepted(payload.DeployLive)
	})
}
