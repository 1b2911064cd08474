// Package github converts GitHub's deployment and deployment_status webhooks to
// deployment records.
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
// In GitHub's settings:
//
//   - Choose the content type application/json. Forms are answered with 415.
//   - Set the same secret.
//   - Select the events "Deployments" and "Deployment statuses".
//
// To try it without GitHub, write this into status.json:
//
//	{"action": "created",
//	 "deployment_status": {"id": 7, "state": "success", "created_at": "2026-07-02T09:15:42Z", "environment": "production"},
//	 "deployment": {"id": 42, "sha": "3f786850e387550fdab836ed7e6dc881de23001b", "ref": "main", "created_at": "2026-07-02T09:14:58Z"},
//	 "repository": {"name": "shop"}}
//
// Command hooktool, with the webhook's secret in HOOKTOOL_SECRET, signs it and
// prints the curl command that sends it:
//
//	$ hooktool sign -scheme github -curl http://127.0.0.1:8080/webhooks/github status.json
//
// # Handling of events
//
//	waiting, queued, pending   pending, but pending is in_progress with
//	                           WithPendingInProgress
//	in_progress                in_progress
//	success                    success, or rolled_back for a rollback with
//	                           WithRollbacks
//	failure, error             failure, or cancelled if the workflow or
//	                           check run was cancelled
//	inactive                   ignored, because another deployment took over
//	event "deployment"         pending
//	everything else            ignored
//
// Ignored events are answered with 200 {"received":true,"ignored":true}. The
// error of [Decode] wraps [payload.ErrIgnored]. The metadata has GitHub's own
// word as originalStatus. RawPayload has the whole event if it has at most 64
// KiB.
//
// GitHub does not tell whether a deployment's ref is a branch or a tag. Branch
// stays empty if the ref is a commit, a full ref name that is not a branch, or
// a version of three numbers. The metadata has the original ref.
//
// # Security properties
//
//   - The signature covers only the body. It covers no timestamp and no ID, so
//     a captured delivery stays valid as long as the secret. Deduplication is
//     the only defense against replays, and only while its store remembers the
//     delivery.
//   - Deliveries are identified by the hash of the body. X-GitHub-Delivery is
//     not signed and is not used.
//   - The type of an event is read from the body. X-GitHub-Event is not signed
//     and is not used.
//
// # Common mistakes
//
//   - A valid event is not harmless. Anyone who can create a deployment chooses
//     description, payload, ref and links.
//   - GitHub does not promise an order, so do not overwrite a stored status
//     with every new one. Call payload.Status.Transition first.
//   - If a webhook of the organization and another of the repository use one
//     endpoint, each event arrives twice with the same bytes and is handled
//     once. Two receivers with different handlers need different source names.
//   - GitHub waits 10 seconds for the answer. Pass longer work through the
//     inbox, with Inbox.Records of package receiver/inbox.
//   - GitHub never retries a failed delivery. Package receiver/recovery asks
//     for those that were missed.
package github
