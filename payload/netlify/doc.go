// Package netlify converts Netlify's deploy notifications to deployment
// records.
//
//	secret, err := signer.NewLiteralSecret(os.Getenv("NETLIFY_WEBHOOK_SECRET"))
//	if err != nil {
//		return err
//	}
//	verifier, err := netlify.NewVerifier(secret)
//	if err != nil {
//		return err
//	}
//	decode, err := netlify.NewDecoder()
//	if err != nil {
//		return err
//	}
//	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "netlify"))
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /webhooks/netlify", rcv.Records(decode, onDeployment))
//
// In Netlify, add an HTTP POST request for each of the events "Deploy started",
// "Deploy succeeded" and "Deploy failed", with the same JWS secret token. All
// events have the deploy as their body, and only an unsigned header has the
// name of the event. The decoder therefore reads the deploy's state.
//
// # Handling of events
//
//	new, pending_review, accepted,
//	enqueued                          pending
//	building, uploading, uploaded,
//	preparing, prepared, processing,
//	processed, retrying               in_progress
//	ready                             success
//	error                             failure, or cancelled if Netlify
//	                                  skipped the deploy
//	rejected                          cancelled
//	submissions of forms              ignored
//
// Ignored events are answered with 200 {"received":true,"ignored":true}. The
// error of [Decode] wraps [payload.ErrIgnored]. The metadata has the system's
// own word as originalStatus. RawPayload has the whole event if it has at most
// 64 KiB.
//
// The environment is the deploy's context, such as production, deploy-preview
// or branch-deploy. A deploy that is ready but was not published, because
// publishing is locked, has metadata published=false. A deploy from the command
// line has no commit. That is an error, unless [WithComplete] sets the commit.
//
// If someone publishes an earlier deploy again, Netlify sends that deploy once
// more. It has its old ID and state, and is recorded as repeated.
//
// # Security properties
//
//   - The signature covers the hash of the body. It covers no ID and, as
//     Netlify sends it, no time, so a captured delivery stays valid as long as
//     the secret. Deduplication is the only defense against replays, and only
//     while its store remembers the delivery. Deliveries are identified by the
//     hash of the body.
//   - The algorithm is HS256, whatever the message says. Tokens that name
//     another algorithm, or none, are refused.
//   - Without a JWS secret token, Netlify sends no signature. Such deliveries
//     are refused with 401.
//
// # Common mistakes
//
//   - A deploy can have a token for the log of its build in
//     log_access_attributes. RawPayload keeps it. Remove RawPayload in
//     [WithComplete] if others may read your records.
//   - Deliveries arrive out of order, so do not overwrite a stored status with
//     every new one. Call payload.Status.Transition first.
//   - A valid event is not harmless. Anyone who can deploy chooses some of its
//     texts.
package netlify
