// Package vercel turns Vercel's deployment webhooks into deployment records, and serves them.
//
//	secret, err := signer.NewLiteralSecret(os.Getenv("VERCEL_WEBHOOK_SECRET"))
//	if err != nil {
//		return err
//	}
//	handler, err := vercel.NewHandler(secret, store, func(ctx context.Context, d *payload.Deployment) error {
//		return record(ctx, d.Service, d.Environment, d.Status)
//	})
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /webhooks/vercel", handler)
//
// [Decode] is the mapping without a server; [HandlerFor] puts it behind a receiver with options of your own.
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
// Ignored events are answered with 200 {"received":true,"ignored":true}; [Decode] gives an error that wraps [ErrIgnored].
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
