// Package sendertest is for the tests of services that send webhooks. It makes
// endpoints that are good, slow or hostile, and says what arrived at them.
//
//	func TestNotify(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			scheme, err := signer.NewStandard(signer.GenerateSecret())
//			if err != nil {
//				t.Fatal(err)
//			}
//			network := sendertest.NewNetwork(t)
//			customer := network.Endpoint(
//				sendertest.Reset(),
//				sendertest.TooMany(time.Minute),
//				sendertest.OK(), // for all that follow
//			).Verify(scheme)
//
//			s := network.Sender() // or sender.New(network.Options()...)
//			receipt, err := s.Send(t.Context(), customer.To(scheme), sendertest.Event(payload.DeployLive))
//			if err != nil {
//				t.Fatal(err)
//			}
//			customer.WantAttempts(receipt.ID, 3).WantAccepted(payload.DeployLive)
//		})
//	}
//
// A [Network] has the endpoints of a test. [Network.Endpoint] follows one
// script for all requests, and [Network.Flaky] follows it with each delivery
// anew. A [Step] is one entry of the script. The methods that begin with Want
// fail the test if something else has arrived.
//
// # The guard
//
// A Sender refuses addresses that are not public. [Network.Options] permits the
// network's own addresses and nothing else, so a test can't reach a real
// endpoint by mistake. The guard itself stays on. The options work for each
// kind of Sender. For an outbox, pass them to outbox.WithSender.
//
// # Time
//
// The connections of [NewNetwork] are in memory. In a testing/synctest bubble,
// schedules, timeouts and slow endpoints therefore take no time. Make the
// network, its endpoints and the Sender in the bubble. [NewLoopback] uses TCP
// and real time. It is for programs that run in another process.
//
// # Checks
//
// An endpoint fails the test by itself if two attempts of a delivery have
// different bytes, or if an attempt reuses an old timestamp. With
// [Endpoint.Verify] it also fails the test if a signature is missing or wrong.
// Receivers would take such a delivery for a new one or for a forged one.
//
// # Misuses
//
//   - Giving the options of a Network to a Sender in production.
//   - Waiting with time.Sleep for a sender that works in the background. Use
//     [Endpoint.Wait], which returns as soon as the requests are there.
//   - Using Slow, Drip or Hang with real time. The test then waits.
//   - Leaving out [Endpoint.Verify]. A test of a sender that signs nothing, or
//     with the wrong secret, would pass.
package sendertest
