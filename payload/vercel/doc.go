// Package vercel turns Vercel's deployment webhooks into deployment records.
//
//	secret, err := signer.NewLiteralSecret(os.Getenv("VERCEL_WEBHOOK_SECRET"))
//	if err != nil {
//		return err
//	}
//	verifier, err := vercel.NewVerifier(secret)
//	if err != nil {
//		return err
//	}
//	decode, err := vercel.NewDecoder()
//	if err != nil {
//		return err
//	}
//	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "vercel"))
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /webhooks/vercel", rcv.Records(decode, onDeployment))
//
// # What becomes of an event
//
//	deployment.created                                     in_progress
//	deployment.ready, deployment.checks.succeeded,
//	deployment.check-rerequested                           in_progress
//	deployment.succeeded, deployment.promoted              success
//	deployment.error, deployment.checks.failed             failure
//	deployment.canceled                                    cancelled
//	deployment.rollback                                    rolled_back
//	deployment, deployment-ready, deployment-error,
//	deployment-canceled                                    as their dotted names
//	other types                                            ignored
//
// Ignored events are answered with 200 {"received":true,"ignored":true}. The error of [Decode] wraps
// [payload.ErrIgnored].
// The system's own word is in metadata as originalStatus, the whole event of up to 64 KiB in RawPayload.
//
// A deployment without a target is to preview. One from the command line has no commit: that is an error, unless
// [WithComplete] knows it; the same goes for a rollback that names only the deployment. An event has one time, its own:
// that is StartedAt where nothing better is known, with metadata startedAtUnknown=true.
//
// # Security properties
//
//   - The signature covers the body and nothing else: no timestamp, no ID. A captured delivery stays valid for as long as
//     the secret does, so dedupe is the only replay defence, and only while its store remembers. Deliveries are told apart
//     by the hash of the body.
//   - What an event is, is read from the body. Headers are not signed and are not used.
//   - The MAC is HMAC-SHA1, since Vercel sends that. It is not broken as SHA-1 is, but nothing new should use it.
//
// # Misuses
//
//   - Overwriting a stored status with each that arrives: deliveries overtake each other. Ask payload.Status.Transition.
//   - Taking a valid event's texts for harmless: whoever can deploy chooses some of them.
package vercel
