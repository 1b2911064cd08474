// Package bitbucket turns Bitbucket's commit statuses, and Data Center's deployment records, into deployment records.
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
// # What becomes of an event
//
//	INPROGRESS            in_progress
//	SUCCESSFUL            success
//	FAILED                failure
//	STOPPED               cancelled
//	no commit_status      ignored
//
// Ignored events are answered with 200 {"received":true,"ignored":true}. The error of [Decode] wraps
// [payload.ErrIgnored].
// The system's own word is in metadata as originalStatus, the whole event of up to 64 KiB in RawPayload.
//
// Bitbucket Cloud has no webhook for deployments. The nearest is a commit status that a deployment sets
// (repo:commit_status_created and repo:commit_status_updated), which is what [Decode] takes. Most commit statuses are
// builds, and none names an environment: [WithComplete] tells deployments by metadata key, sets Environment, and returns
// [payload.ErrIgnored] for the rest; [WithEnvironment] is for a webhook whose statuses are all deployments to one environment.
// The ID is the status's key and the commit: a second run on one commit looks like news of the first.
//
// Data Center has no such webhook either; [DecodeRecord] reads the deployments of its REST API.
//
// # Security properties
//
//   - The signature covers the body and nothing else: no timestamp, no ID. A captured delivery stays valid for as long as
//     the secret does, so dedupe is the only replay defence, and only while its store remembers. Deliveries are told apart
//     by the hash of the body.
//   - What an event is, is read from the body. Headers are not signed and are not used.
//
// # Misuses
//
//   - WithEnvironment on a repository whose builds set commit statuses: each build then is a deployment.
//   - Overwriting a stored status with each that arrives: deliveries overtake each other. Ask payload.Status.Transition.
//   - Taking a valid event's texts for harmless: whoever can deploy chooses some of them.
package bitbucket
