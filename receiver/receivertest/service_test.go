package receivertest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/receivertest"
	"github.com/deployhook/deployhook/signer"
)

// service is what a case needs.
type service struct {
	*receivertest.Client
	scheme  *receivertest.Scheme
	live    *receivertest.Delivery
	handler *receivertest.Recorder
	store   *receivertest.Store
}

// TestService tests a service with this package alone, in a bubble's time.
func TestService(t *testing.T) {
	for name, test := range map[string]func(*testing.T, service){
		"signed":    func(t *testing.T, s service) { s.Post(s.live.Request()).Want(receiver.Handled) },
		"unsigned":  func(t *testing.T, s service) { s.Post(s.live.Unsigned()).Want(receiver.Unauthenticated) },
		"stale":     func(t *testing.T, s service) { s.Post(s.live.Stale()).Want(receiver.Unauthenticated) },
		"future":    func(t *testing.T, s service) { s.Post(s.live.Future()).Want(receiver.Unauthenticated) },
		"forged":    func(t *testing.T, s service) { s.Post(s.live.Forged()).Want(receiver.Unauthenticated) },
		"tampered":  func(t *testing.T, s service) { s.Post(s.live.Tampered()).Want(receiver.Unauthenticated) },
		"oversized": func(t *testing.T, s service) { s.Post(s.live.Oversized(64 << 10)).WantStatus(413) },
		"no event":  func(t *testing.T, s service) { s.Post(s.scheme.Body([]byte(`{}`)).Request()).Want(receiver.Invalid) },
		"not json":  func(t *testing.T, s service) { s.Post(s.scheme.Body([]byte("hello")).Request()).Want(receiver.Invalid) },
		"slow":      func(t *testing.T, s service) { s.Post(s.live.Dripping(time.Second)).WantStatus(408) },
		"retry of a handled delivery": func(t *testing.T, s service) {
			s.Post(s.live.Request()).Want(receiver.Handled)
			s.Post(s.live.Request()).Want(receiver.Duplicate)
			s.handler.WantDelivery(s.live, 1)
		},
		"copies at once": func(t *testing.T, s service) {
			s.handler.Takes(time.Minute)
			s.PostAll(s.live.Copies(50)...).Want(receiver.Handled, 1).Want(receiver.InFlight, 49)
		},
		"retry of a failed delivery": func(t *testing.T, s service) {
			s.handler.Returns(errors.New("the database is down"))
			s.Post(s.live.Request()).Want(receiver.Failed)
			s.Post(s.live.Request()).Want(receiver.Handled)
			s.handler.WantDelivery(s.live, 2)
		},
		"handler panics": func(t *testing.T, s service) {
			s.handler.Does(func(context.Context) error { panic("nil map") })
			s.Post(s.live.Request()).Want(receiver.Panicked)
			s.Post(s.live.Request()).Want(receiver.Handled)
		},
		"handler has no time": func(t *testing.T, s service) {
			s.handler.Returns(receiver.TryAgain(time.Minute, nil))
			s.Post(s.live.Request()).Want(receiver.Unavailable).WantHeader("Retry-After", "60")
		},
		"store is down": func(t *testing.T, s service) {
			s.store.Down()
			s.Post(s.live.Request()).Want(receiver.Unavailable)
			s.store.Up()
			s.Post(s.live.Request()).Want(receiver.Handled)
		},
		"store is slow": func(t *testing.T, s service) {
			s.store.Next(receivertest.Claim, receivertest.Slow(time.Hour))
			s.Post(s.live.Request()).Want(receiver.Unavailable)
			s.handler.WantCalls(0)
		},
		"store loses an answer": func(t *testing.T, s service) {
			s.store.Next(receivertest.Complete, receivertest.Lost())
			s.Post(s.live.Request()).Want(receiver.Unavailable)
			s.Post(s.live.Request()).Want(receiver.Duplicate)
		},
		"same event, other delivery": func(t *testing.T, s service) {
			other := s.scheme.Event(receivertest.Event(payload.DeployLive))
			s.PostAll(s.live.Request(), other.Request()).Want(receiver.Handled, 2)
		},
		"every type": func(t *testing.T, s service) {
			for _, e := range receivertest.Events() {
				s.Post(s.scheme.Event(e).Request()).Want(receiver.Handled)
			}
			s.handler.WantTypes(receivertest.Types()...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := service{scheme: receivertest.Standard(t, signer.GenerateSecret()), store: receivertest.NewStore(t), handler: receivertest.NewRecorder(t)}
				s.live = s.scheme.Event(receivertest.Event(payload.DeployLive))
				rcv := receivertest.New(t, s.scheme.Verifier(), s.store, receiver.WithMaxBody(64<<10))
				s.Client = receivertest.Serve(t, rcv.Events(s.handler.Event))
				test(t, s)
			})
		})
	}
}
