// Package render turns Render's deploy webhooks into deployment records.
//
//	secret, err := signer.ParseSecret(os.Getenv("RENDER_WEBHOOK_SECRET"))
//	if err != nil {
//		return err
//	}
//	verifier, err := render.NewVerifier(secret)
//	if err != nil {
//		return err
//	}
//	decode, err := render.NewDecoder(render.WithComplete(lookUp))
//	if err != nil {
//		return err
//	}
//	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "render"))
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /webhooks/render", rcv.Records(decode, onDeployment))
//
// # What becomes of an event
//
//	deploy_started              in_progress
//	deploy_ended, succeeded     success
//	deploy_ended, failed        failure
//	deploy_ended, canceled      cancelled
//	other types                 ignored
//
// Ignored events are answered with 200 {"received":true,"ignored":true}. The error of [Decode] wraps
// [payload.ErrIgnored].
// The system's own word is in metadata as originalStatus, the whole event of up to 64 KiB in RawPayload.
//
// Render's events name neither the deploy, nor its commit, nor an environment, only the service and the event. So
// [WithComplete] is required: it asks Render's API about the event, whose ID is in metadata as eventId, and sets
// DeploymentID, CommitSHA, Environment ([WithEnvironment] does that too) and, at best, StartedAt. Without the last, an
// event about an end has its own time there, with metadata startedAtUnknown=true. What it leaves empty is an error of the
// configuration, answered with 500.
//
// # Security properties
//
//   - Body, time and ID are signed (Standard Webhooks): replays are refused by age and by ID.
//   - What an event is, is read from the body.
//
// # Misuses
//
//   - A WithComplete that calls out without a deadline of its own: the delivery waits for it.
//   - Overwriting a stored status with each that arrives: deliveries overtake each other. Ask payload.Status.Transition.
//   - Taking a valid event's texts for harmless: whoever can deploy chooses some of them.
package render
