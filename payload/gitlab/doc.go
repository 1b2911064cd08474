// Package gitlab converts GitLab's deployment webhooks ("Deployment Hook") to
// deployment records.
//
//	signing, err := signer.ParseSecret(os.Getenv("GITLAB_SIGNING_TOKEN"))
//	if err != nil {
//		return err
//	}
//	verifier, err := gitlab.NewVerifier(gitlab.Secrets{SigningToken: signing})
//	if err != nil {
//		return err
//	}
//	decode, err := gitlab.NewDecoder()
//	if err != nil {
//		return err
//	}
//	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "gitlab"))
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /webhooks/gitlab", rcv.Records(decode, onDeployment))
//
// In GitLab's settings, select "Deployment events".
//
// # Handling of events
//
//	created, blocked    pending, although GitLab never sends these
//	running             in_progress
//	success             success
//	failed              failure
//	canceled, skipped   cancelled
//	other object_kind   ignored
//
// Ignored events are answered with 200 {"received":true,"ignored":true}. The
// error of [Decode] wraps [payload.ErrIgnored]. The metadata has GitLab's own
// word as originalStatus. RawPayload has the whole event if it has at most 64
// KiB.
//
// GitLab has no rollback. It deploys the older commit again as a new
// deployment.
//
// An event has only the time of the change. If the deployment has ended, both
// CompletedAt and StartedAt have that time, and the metadata has
// startedAtUnknown=true. The running event has the real start.
//
// Newer versions of GitLab do not tell whether ref is a branch or a tag. Branch
// stays empty if the ref is a commit, a full ref name that is not a branch, or
// a version of three numbers. The metadata has the original ref.
//
// # Security properties
//
//   - A signing token protects body, time and ID. Replays are refused by age
//     and by ID.
//   - The plain secret token is a password in a header. It proves who sends,
//     not what is sent. Anyone who sees one request can send any other. There
//     is no timestamp either, so deduplication by the body is the only defense
//     against replays. Use it only over TLS, and only if your GitLab cannot
//     sign.
//   - If both are set, a request is only as secure as the weaker one, see
//     [signer.AnyOf]. Set both only during a migration.
//   - The type of an event is read from the body. X-Gitlab-Event and
//     Idempotency-Key are not signed and are not used.
//
// # Common mistakes
//
//   - Do not set both secrets because GitLab sends both. Leave Token out once
//     GitLab signs.
//   - GitLab does not promise an order, so do not overwrite a stored status
//     with every new one. Call payload.Status.Transition first.
//   - A valid event is not harmless. Anyone who can run a pipeline chooses ref,
//     commit title and links.
//   - GitLab does not retry a failed delivery. Package receiver/recovery asks
//     for those that were missed.
package gitlab
