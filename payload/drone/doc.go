// Package drone converts Drone's global webhooks about promotions and rollbacks
// to deployment records.
//
//	secret, err := signer.NewLiteralSecret(os.Getenv("DRONE_WEBHOOK_SECRET"))
//	if err != nil {
//		return err
//	}
//	verifier, err := drone.NewVerifier(secret)
//	if err != nil {
//		return err
//	}
//	decode, err := drone.NewDecoder()
//	if err != nil {
//		return err
//	}
//	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "drone"))
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /webhooks/drone", rcv.Records(decode, onDeployment))
//
// Set DRONE_WEBHOOK_ENDPOINT of the server to the endpoint,
// DRONE_WEBHOOK_SECRET to the secret, and DRONE_WEBHOOK_EVENTS to build.
//
// # Handling of events
//
//	blocked, pending,
//	waiting_on_dependencies     pending
//	running                     in_progress
//	success                     success
//	failure, error              failure
//	killed, declined, skipped   cancelled
//	other builds, such as those
//	of pushes, and events about
//	users and repositories      ignored
//
// Ignored events are answered with 200 {"received":true,"ignored":true}. The
// error of [Decode] wraps [payload.ErrIgnored]. The metadata has the system's
// own word as originalStatus. RawPayload has the whole event if it has at most
// 64 KiB.
//
// A deployment is a build that someone promoted or rolled back to a target. The
// target is the environment. A rollback deploys an earlier build again. It is a
// deployment of that build's commit, with metadata event=rollback.
//
// # Security properties
//
//   - The signature covers the date and the digest of the body, so an old
//     delivery is refused. It covers no ID. Deliveries are identified by the
//     hash of the body.
//   - The algorithm is hmac-sha256, whatever the message says. A signature that
//     does not cover date and digest is refused.
//   - The type of an event is read from the body. X-Drone-Event is not signed
//     and is not used.
//
// # Common mistakes
//
//   - Drone sends each delivery once and does not look at the answer. Accept
//     the delivery durably first, as receiver/inbox does.
//   - Proxies must pass on the headers Date and Digest as they are.
//   - A valid event is not harmless. Anyone who can deploy chooses some of its
//     texts.
package drone
