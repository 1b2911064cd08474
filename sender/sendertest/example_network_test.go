package sendertest_test

import (
	"testing"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/sendertest"
	"github.com/deployhook/deployhook/signer"
)

// The body of a test. The customer's endpoint resets the first connection.
func ExampleNewNetwork() {
	test := func(t *testing.T) {
		scheme, err := signer.NewStandard(signer.GenerateSecret())
		if err != nil {
			t.Fatal(err)
		}
		network := sendertest.NewNetwork(t)
		customer := network.Endpoint(sendertest.Reset(), sendertest.OK()).Verify(scheme)
		receipt, err := network.Sender().Send(t.Context(), customer.To(scheme), sendertest.Event(payload.DeployLive))
		if err != nil {
			t.Fatal(err)
		}
		customer.WantAttempts(receipt.ID, 2)
	}
	_ = test // in a file that ends in _test.go, func TestNotify(t *testing.T)
}

// The body of a test of a program that runs in another process.
func ExampleNewLoopback() {
	test := func(t *testing.T) {
		customer := sendertest.NewLoopback(t).Endpoint(sendertest.OK())
		// start the program with customer.URL, and then
		customer.Wait(1, time.Minute)
	}
	_ = test
}
