// Package receivertest is for the tests of services that receive webhooks. It
// makes good and bad requests for every scheme and event, a store with faults,
// and a handler that records its calls.
//
//	func TestDeployments(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			scheme := receivertest.Standard(t, signer.GenerateSecret())
//			store, handler := receivertest.NewStore(t), receivertest.NewRecorder(t)
//			rcv := receivertest.New(t, scheme.Verifier(), store)
//			service := receivertest.Serve(t, rcv.Events(handler.Event))
//			live := scheme.Event(receivertest.Event(payload.DeployLive))
//
//			service.Post(live.Forged()).Want(receiver.Unauthenticated)
//			service.Post(live.Stale()).Want(receiver.Unauthenticated)
//			handler.Takes(10 * time.Second) // of the bubble's time
//			service.PostAll(live.Copies(100)...).Want(receiver.Handled, 1)
//			service.Post(live.Request()).Want(receiver.Duplicate)
//			handler.WantDelivery(live, 1)
//		})
//	}
//
// A [Scheme] has a verifier for the service and signs its deliveries. [Custom]
// makes one from any two signers, for example of package signer/httpsig. A
// [Delivery] is a body with its ID, and each of its methods makes one request.
// [Direct], [Serve] and [Remote] post requests to a handler, to a handler that
// is served in memory, and to a program that is served elsewhere.
//
// # Time
//
// Run tests in a testing/synctest bubble if a lease, a timeout or a pause is
// part of them. The receiver, the store and the requests need no clock of their
// own, because all of them have the bubble's time. Make them in the bubble.
//
// Package inbox says how to test its handlers.
//
// # Checks
//
// A test that expects 401 would also pass if the request were bad for another
// reason. Forged, tampered, stale and future requests therefore differ from a
// valid one in that point only. Their methods end the test if the scheme does
// not refuse them, for example a stale request of a scheme that signs no time.
//
// # Misuses
//
//   - Testing limits for slow bodies with Direct. Only a server has them.
//   - Using Dripping, Slow or Takes outside a bubble. The test then waits.
//   - Using these secrets and samples in a running service. They are for tests.
//   - Testing the receiver again in each service. Test that the service is set
//     up as it should be, and what its handler does.
package receivertest
