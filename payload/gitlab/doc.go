// Package gitlab turns GitLab's deployment webhooks ("Deployment Hook") into deployment records.
//
//	signing, err := signer.ParseSecret(os.Getenv("GITLAB_SIGNING_TOKEN")) // whsec_…
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
// # What becomes of an event
//
//	created, blocked    pending       GitLab sends neither, but has both
//	running             in_progress
//	success             success
//	failed              failure
//	canceled, skipped   cancelled
//	other object_kind   ignored
//
// Ignored events are answered with 200 {"received":true,"ignored":true}. The error of [Decode] wraps
// [payload.ErrIgnored].
// GitLab's own word is in metadata as originalStatus, the whole event of up to 64 KiB in RawPayload. GitLab has no
// rollback: going back is a new deployment of an older commit.
//
// An event has one time, that of the change. Where a deployment has ended, that is CompletedAt, and StartedAt too, with
// metadata startedAtUnknown=true: the event for running has the real one.
//
// GitLab does not say whether ref (in newer versions) is a branch or a tag. Branch is left empty where the ref is a
// commit, a full name of anything but a branch, or looks like a version of three numbers; metadata has the ref as it came.
//
// # Security properties
//
//   - With a signing token, body, time and ID are signed: replays are refused by age and by ID.
//   - The plain secret token is a password in a header. It proves who speaks, not what is said: whoever sees one request
//     can send any other. There is no timestamp either, so dedupe by the body is the only replay defence. Use it only
//     over TLS, and only with a GitLab that can't sign.
//   - With both, a request is as good as the weaker one; see [signer.AnyOf]. That is for the time of a migration.
//   - What an event is, is read from the body. X-Gitlab-Event and Idempotency-Key are not signed and are not used.
//
// # Misuses
//
//   - Giving both secrets because GitLab sends both: as soon as it signs, leave Token out.
//   - Overwriting a stored status with each that arrives: GitLab does not promise an order. Ask payload.Status.Transition.
//   - Taking a valid event's texts for harmless: whoever can run a pipeline chooses ref, commit title and links.
package gitlab
