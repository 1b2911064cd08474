package receivertest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/receivertest"
	"github.com/deployhook/deployhook/signer"
)

// The snippet of the package's documentation.
func TestDeployments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scheme := receivertest.Standard(t, signer.GenerateSecret())
		store, handler := receivertest.NewStore(t), receivertest.NewRecorder(t)
		rcv := receivertest.New(t, scheme.Verifier(), store)
		service := receivertest.Serve(t, rcv.Events(handler.Event))
		live := scheme.Event(receivertest.Event(payload.DeployLive))

		service.Post(live.Forged()).Want(receiver.Unauthenticated)
		service.Post(live.Stale()).Want(receiver.Unauthenticated)
		handler.Takes(10 * time.Second) // of the bubble's time
		service.PostAll(live.Copies(100)...).Want(receiver.Handled, 1)
		service.Post(live.Request()).Want(receiver.Duplicate)
		handler.WantDelivery(live, 1)
	})
}
