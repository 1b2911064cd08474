// Package circleci converts CircleCI's outbound webhooks about workflows to
// deployment records.
//
//	secret, err := signer.NewLiteralSecret(os.Getenv("CIRCLECI_WEBHOOK_SECRET"))
//	if err != nil {
//		return err
//	}
//	verifier, err := circleci.NewVerifier(secret)
//	if err != nil {
//		return err
//	}
//	decode, err := circleci.NewDecoder(circleci.WithEnvironment("production"), circleci.WithWorkflows("deploy"))
//	if err != nil {
//		return err
//	}
//	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "circleci"))
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /webhooks/circleci", rcv.Records(decode, onDeployment))
//
// Set up the webhook for the event "Workflow Completed", with a secret token. A
// workflow is not always a deployment, so name those that deploy with
// [WithWorkflows].
//
// # Handling of events
//
//	success                 success
//	failed, error           failure
//	canceled, unauthorized  cancelled
//	job-completed, and
//	other workflows         ignored
//
// Ignored events are answered with 200 {"received":true,"ignored":true}. The
// error of [Decode] wraps [payload.ErrIgnored]. The metadata has the system's
// own word as originalStatus. RawPayload has the whole event if it has at most
// 64 KiB.
//
// CircleCI reports only the end of a workflow. A workflow that is run again has
// another ID and is another deployment.
//
// # Security properties
//
//   - The signature covers only the body. It covers no timestamp and no ID, so
//     a captured delivery stays valid as long as the secret. Deduplication is
//     the only defense against replays, and only while its store remembers the
//     delivery. Deliveries are identified by the hash of the body.
//   - Without a secret token, CircleCI signs nothing. Such deliveries are
//     refused with 401.
//   - The type of an event is read from the body. Circleci-Event-Type is not
//     signed and is not used.
//
// # Common mistakes
//
//   - Builds of forked pull requests run workflows, too. Name only workflows
//     that forks can't run, or check the branch in [WithComplete].
//   - A valid event is not harmless. Anyone who can deploy chooses some of its
//     texts.
package circleci
