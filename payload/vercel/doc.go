// Package vercel converts Vercel's deployment webhooks to deployment records.
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
// # Handling of events
//
//	deployment.created                          in_progress
//	deployment.ready,
//	deployment.checks.succeeded,
//	deployment.check-rerequested                in_progress
//	deployment.succeeded, deployment.promoted   success
//	deployment.error, deployment.checks.failed  failure
//	deployment.canceled                         cancelled
//	deployment.rollback                         rolled_back
//	deployment, deployment-ready,
//	deployment-error, deployment-canceled       as their dotted names
//	other types                                 ignored
//
// Ignored events are answered with 200 {"received":true,"ignored":true}. The
// error of [Decode] wraps [payload.ErrIgnored]. The metadata has the system's
// own word as originalStatus. RawPayload has the whole event if it has at most
// 64 KiB.
//
// A deployment without a target goes to the preview environment. A deployment
// from the command line has no commit. That is an error, unless [WithComplete]
// sets the commit. The same applies to a rollback that names only the
// deployment. An event has only its own time. That is also StartedAt if no
// better time is known, with metadata startedAtUnknown=true.
//
// # Security properties
//
//   - The signature covers only the body. It covers no timestamp and no ID, so
//     a captured delivery stays valid as long as the secret. Deduplication is
//     the only defense against replays, and only while its store remembers the
//     delivery. Deliveries are identified by the hash of the body.
//   - The type of an event is read from the body. Headers are not signed and
//     are not used.
//   - The MAC is HMAC-SHA1, because Vercel sends that. It is not broken as
//     SHA-1 is, but nothing new should use it.
//
// # Common mistakes
//
//   - Deliveries arrive out of order, so do not overwrite a stored status with
//     every new one. Call payload.Status.Transition first.
//   - A valid event is not harmless. Anyone who can deploy chooses some of its
//     texts.
package vercel
