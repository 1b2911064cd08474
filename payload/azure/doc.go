// Package azure converts Azure DevOps service hooks about releases and pipeline
// stages to deployment records.
//
//	password, err := signer.NewLiteralSecret(os.Getenv("AZURE_HOOK_PASSWORD"))
//	if err != nil {
//		return err
//	}
//	verifier, err := azure.NewVerifier("azure-devops", password)
//	if err != nil {
//		return err
//	}
//	decode, err := azure.NewDecoder()
//	if err != nil {
//		return err
//	}
//	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "azure"))
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /webhooks/azure", rcv.Records(decode, onDeployment))
//
// # Handling of events
//
//	notStarted, queued, scheduled,
//	notDeployed, undefined, waiting     pending
//	inProgress, running                 in_progress
//	succeeded                           success
//	partiallySucceeded                  success, or failure with
//	                                    WithPartialFailure
//	rejected, failed                    failure
//	canceled, skipped                   cancelled
//	approvals, created and abandoned
//	releases, jobs                      ignored
//
// Ignored events are answered with 200 {"received":true,"ignored":true}. The
// error of [Decode] wraps [payload.ErrIgnored]. The metadata has the system's
// own word as originalStatus. RawPayload has the whole event if it has at most
// 64 KiB.
//
// A deployment of a classic release has the ID RELEASE-ENVIRONMENT. From the
// second attempt on it is RELEASE-ENVIRONMENT-ATTEMPT. Both started and
// completed events have these parts. The metadata has Azure's number of the
// deployment as azureDeploymentId.
//
// Deployments of classic releases and stages of YAML pipelines count as
// deployments. By convention, a stage has the name of its environment. Runs
// have no environment and are ignored, except with [WithRuns].
//
// In the service hook, choose "All" for the resource details to send. Even
// then, the documented events have no commit. The decoder takes it from a
// release's primary artifact or the run's own repository if these are present.
// That is general knowledge of the API, not a promise of the documentation. An
// event without a commit is an error, unless [WithComplete] sets it.
//
// # Security properties
//
//   - Azure DevOps signs nothing. The password proves who sends, not what is
//     sent. Anyone who sees one request can send any other. Use it only over
//     TLS, and with a separate password.
//   - There is no timestamp and no signed ID, so deduplication by the hash of
//     the body is the only defense against replays. Azure does not document
//     whether a retry repeats the body byte for byte. The handler must
//     therefore accept the same status twice.
//   - User name and password are compared in constant time. The response does
//     not tell which of them was wrong.
//
// # Common mistakes
//
//   - If one pipeline is subscribed to stages and, with WithRuns, also to runs,
//     each deployment arrives twice under two IDs.
//   - Deliveries arrive out of order, so do not overwrite a stored status with
//     every new one. Call payload.Status.Transition first.
//   - A valid event is not harmless. Anyone who can deploy chooses some of its
//     texts.
package azure
