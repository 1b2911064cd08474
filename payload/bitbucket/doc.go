// Package bitbucket converts Bitbucket's commit statuses, and Data Center's
// deployment records, to deployment records.
//
//	secret, err := signer.NewLiteralSecret(os.Getenv("BITBUCKET_WEBHOOK_SECRET"))
//	if err != nil {
//		return err
//	}
//	verifier, err := bitbucket.NewVerifier(secret)
//	if err != nil {
//		return err
//	}
//	decode, err := bitbucket.NewDecoder(bitbucket.WithComplete(environmentOf))
//	if err != nil {
//		return err
//	}
//	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "bitbucket"))
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /webhooks/bitbucket", rcv.Records(decode, onDeployment))
//
// # Handling of events
//
//	INPROGRESS            in_progress
//	SUCCESSFUL            success
//	FAILED                failure
//	STOPPED               cancelled
//	no commit_status      ignored
//
// Ignored events are answered with 200 {"received":true,"ignored":true}. The
// error of [Decode] wraps [payload.ErrIgnored]. The metadata has the system's
// own word as originalStatus. RawPayload has the whole event if it has at most
// 64 KiB.
//
// Bitbucket Cloud has no webhook for deployments. [Decode] reads commit
// statuses instead (repo:commit_status_created and repo:commit_status_updated),
// which a deployment can set. Most commit statuses are builds, and none names
// an environment. Use one of these options:
//
//   - [WithComplete] recognizes deployments by their metadata key, sets
//     Environment, and returns [payload.ErrIgnored] for all others.
//   - [WithEnvironment] is for a webhook whose statuses are all deployments to
//     one environment.
//
// The ID consists of the status's key and the commit. A second run on the same
// commit therefore looks like an update of the first.
//
// Data Center has no such webhook either. [DecodeRecord] reads the deployments
// of its REST API.
//
// # Security properties
//
//   - The signature covers only the body. It covers no timestamp and no ID, so
//     a captured delivery stays valid as long as the secret. Deduplication is
//     the only defense against replays, and only while its store remembers the
//     delivery. Deliveries are identified by the hash of the body.
//   - The type of an event is read from the body. Headers are not signed and
//     are not used.
//
// # Common mistakes
//
//   - Do not use WithEnvironment for a repository whose builds set commit
//     statuses. Each build would be a deployment.
//   - Deliveries arrive out of order, so do not overwrite a stored status with
//     every new one. Call payload.Status.Transition first.
//   - A valid event is not harmless. Anyone who can deploy chooses some of its
//     texts.
package bitbucket
