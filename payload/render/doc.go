// Package render converts Render's deploy webhooks to deployment records.
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
// # Handling of events
//
//	deploy_started              in_progress
//	deploy_ended, succeeded     success
//	deploy_ended, failed        failure
//	deploy_ended, canceled      cancelled
//	other types                 ignored
//
// Ignored events are answered with 200 {"received":true,"ignored":true}. The
// error of [Decode] wraps [payload.ErrIgnored]. The metadata has the system's
// own word as originalStatus. RawPayload has the whole event if it has at most
// 64 KiB.
//
// Render's events name only the service and the event. They have no deploy,
// commit or environment, so [WithComplete] is required. It asks Render's API
// about the event, whose ID is in the metadata as eventId, and sets these
// fields:
//
//   - DeploymentID and CommitSHA
//   - Environment, unless [WithEnvironment] sets it
//   - StartedAt, if possible
//
// Without StartedAt, the event for the end uses its own time there, with
// metadata startedAtUnknown=true. Any other missing field is a configuration
// error, answered with 500.
//
// # Security properties
//
//   - Body, time and ID are signed (Standard Webhooks). Replays are refused by
//     age and by ID.
//   - The type of an event is read from the body.
//
// # Common mistakes
//
//   - Set a timeout for calls in WithComplete, because the delivery waits for
//     them.
//   - Deliveries arrive out of order, so do not overwrite a stored status with
//     every new one. Call payload.Status.Transition first.
//   - A valid event is not harmless. Anyone who can deploy chooses some of its
//     texts.
package render
