package receivertest_test

import (
	"testing"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/receivertest"
	"github.com/deployhook/deployhook/signer"
)

// The body of a service's test. A copy of a delivery reaches the handler once.
func ExampleNew() {
	test := func(t *testing.T) {
		scheme := receivertest.Standard(t, signer.GenerateSecret())
		store, handler := receivertest.NewStore(t), receivertest.NewRecorder(t)
		rcv := receivertest.New(t, scheme.Verifier(), store)
		service := receivertest.Serve(t, rcv.Events(handler.Event))
		live := scheme.Event(receivertest.Event(payload.DeployLive))

		service.Post(live.Request()).Want(receiver.Handled)
		service.Post(live.Request()).Want(receiver.Duplicate)
		handler.WantDelivery(live, 1)
	}
	_ = test // in a file that ends in _test.go, func TestDeployments(t *testing.T)
}
