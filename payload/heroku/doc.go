// Package heroku turns Heroku's release webhooks (api:release) into deployment records.
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
// # What becomes of an event
//
//	pending                       in_progress   the release phase runs
//	succeeded                     success       rolled_back for "Rollback to v41"
//	failed, expired               failure
//	Set … config vars, add-ons    ignored       whatever is not "Deploy …", "Deployed …",
//	                                            "Promote …" or "Rollback to …"
//	resource other than release   ignored
//
// Ignored events are answered with 200 {"received":true,"ignored":true}. The error of [Decode] wraps
// [payload.ErrIgnored].
// The system's own word is in metadata as originalStatus, the whole event of up to 64 KiB in RawPayload.
//
// Heroku's events name no environment, so [WithEnvironment] or [WithComplete] is required. A release of a container image
// has no commit: that is an error, unless [WithComplete] knows it. A rollback that is running or has failed has the status
// of any other release, and metadata rollback=true.
//
// # Security properties
//
//   - The signature covers the body and no timestamp. A captured delivery stays valid for as long as the secret does, so
//     dedupe is the only replay defence, and only while its store remembers.
//   - Deliveries are told apart by the delivery's ID in the signed body: retries differ in the attempt's ID, so the hash
//     of the body would not do. [Verifier] sees to that; signer.NewBodyOnly alone does not.
//   - What an event is, is read from the body. Headers are not signed and are not used.
//
// # Misuses
//
//   - One webhook for apps in several environments with WithEnvironment: use WithComplete and tell them apart by Service.
//   - Overwriting a stored status with each that arrives: deliveries overtake each other. Ask payload.Status.Transition.
//   - Taking a valid event's texts for harmless: whoever can deploy chooses some of them.
package heroku
