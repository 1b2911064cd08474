// Package heroku converts Heroku's release webhooks (api:release) to deployment
// records.
//
//	secret, err := signer.NewLiteralSecret(os.Getenv("HEROKU_WEBHOOK_SECRET"))
//	if err != nil {
//		return err
//	}
//	verifier, err := heroku.NewVerifier(secret)
//	if err != nil {
//		return err
//	}
//	decode, err := heroku.NewDecoder(heroku.WithEnvironment("production"))
//	if err != nil {
//		return err
//	}
//	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "heroku"))
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /webhooks/heroku", rcv.Records(decode, onDeployment))
//
// # Handling of events
//
//	pending                       in_progress, while the release phase runs
//	succeeded                     success, or rolled_back for
//	                              "Rollback to v41"
//	failed, expired               failure
//	Set … config vars, add-ons    ignored, like everything except
//	                              "Deploy …", "Deployed …",
//	                              "Promote …" and "Rollback to …"
//	resource other than release   ignored
//
// Ignored events are answered with 200 {"received":true,"ignored":true}. The
// error of [Decode] wraps [payload.ErrIgnored]. The metadata has the system's
// own word as originalStatus. RawPayload has the whole event if it has at most
// 64 KiB.
//
// Heroku's events name no environment, so [WithEnvironment] or [WithComplete]
// is required. A release of a container image has no commit. That is an error,
// unless [WithComplete] sets the commit. A rollback that is running or has
// failed has the status of any other release, and metadata rollback=true.
//
// # Security properties
//
//   - The signature covers only the body and no timestamp, so a captured
//     delivery stays valid as long as the secret. Deduplication is the only
//     defense against replays, and only while its store remembers the delivery.
//   - Deliveries are identified by the delivery's ID in the signed body. The
//     hash of the body is not suitable, because retries contain different
//     attempt IDs. [Verifier] returns the delivery's ID, but signer.NewBodyOnly
//     does not.
//   - The type of an event is read from the body. Headers are not signed and
//     are not used.
//
// # Common mistakes
//
//   - With one webhook for apps in several environments, do not use
//     WithEnvironment. Use WithComplete and set Environment by Service.
//   - Deliveries arrive out of order, so do not overwrite a stored status with
//     every new one. Call payload.Status.Transition first.
//   - A valid event is not harmless. Anyone who can deploy chooses some of its
//     texts.
package heroku
