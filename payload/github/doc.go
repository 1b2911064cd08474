// Package github turns GitHub's deployment and deployment_status webhooks into deployment records.
//
//	secret, err := signer.NewLiteralSecret(os.Getenv("GITHUB_WEBHOOK_SECRET"))
//	if err != nil {
//		return err
//	}
//	verifier, err := github.NewVerifier(secret)
//	if err != nil {
//		return err
//	}
//	decode, err := github.NewDecoder()
//	if err != nil {
//		return err
//	}
//	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "github"))
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /webhooks/github", rcv.Records(decode, onDeployment))
//
// In GitHub's settings, choose the content type application/json (a form is answered with 415), set the same secret, and
// select the events "Deployments" and "Deployment statuses".
//
// # What becomes of an event
//
//	waiting, queued, pending   pending      pending is in_progress with WithPendingInProgress
//	in_progress                in_progress
//	success                    success      rolled_back for a rollback with WithRollbacks
//	failure, error             failure      cancelled if the workflow or check run was cancelled
//	inactive                   ignored: another deployment took over, which says nothing about this one
//	event "deployment"         pending
//	everything else            ignored
//
// Ignored events are answered with 200 {"received":true,"ignored":true}. The error of [Decode] wraps
// [payload.ErrIgnored].
// GitHub's own word is in metadata as originalStatus, the whole event of up to 64 KiB in RawPayload.
//
// GitHub does not say whether a deployment's ref is a branch or a tag. Branch is left empty where the ref is a commit, a
// full name of anything but a branch, or looks like a version of three numbers; metadata has the ref as it came.
//
// # Security properties
//
//   - The signature covers the body and nothing else: no timestamp, no ID. A captured delivery stays valid for as long as
//     the secret does, so dedupe is the only replay defence, and only while its store remembers.
//   - Deliveries are told apart by the hash of the body. X-GitHub-Delivery is not signed and is not used.
//   - What an event is, is read from the body. X-GitHub-Event is not signed and is not used either.
//
// # Misuses
//
//   - Taking a valid event's texts for harmless: whoever can create a deployment chooses description, payload, ref
//     and links.
//   - Overwriting a stored status with each that arrives: GitHub does not promise an order. Ask payload.Status.Transition.
//   - One endpoint behind a webhook of the organization and another of the repository: each event then comes twice, in
//     the same bytes, and is handled once. Two receivers with different handlers need different source names.
package github
