package interop

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/receivertest"
	"github.com/deployhook/deployhook/signer"
	"github.com/deployhook/deployhook/signer/httpsig"
)

// The kit for receiving services works with message signatures, which are in a
// module that it does not import.
func TestKit_MessageSignatures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		scheme := func() *httpsig.Scheme {
			key, err := httpsig.NewKey("2026-11", signer.GenerateSecret())
			require.NoError(t, err)
			s, err := httpsig.New(key)
			require.NoError(t, err)
			return s
		}
		own := scheme()
		kit, handler := receivertest.Custom(t, own, own, scheme()), receivertest.NewRecorder(t)
		service := receivertest.Serve(t, receivertest.New(t, own, receivertest.NewStore(t)).Events(handler.Event))
		live := kit.Event(receivertest.Event(payload.DeployLive))
		service.Post(live.Unsigned()).Want(receiver.Unauthenticated)
		service.Post(live.Forged()).Want(receiver.Unauthenticated)
		service.Post(live.Tampered()).Want(receiver.Unauthenticated)
		service.Post(live.Stale()).Want(receiver.Unauthenticated)
		service.Post(live.Future()).Want(receiver.Unauthenticated)
		handler.WantCalls(0)
		service.PostAll(live.Copies(10)...).WantOneHandled()
		service.Post(live.Request()).Want(receiver.Duplicate)
		handler.WantDelivery(live, 1)
		require.Equal(t, live.ID, handler.Calls()[0].ID)

		elsewhere := kit.To("/another/path").Event(receivertest.Event(payload.DeployLive)).Request()
		elsewhere.URL.Path = "/webhooks/deploy"
		service.Post(elsewhere).Want(receiver.Unauthenticated)
	})
}
