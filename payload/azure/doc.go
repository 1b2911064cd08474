// Package azure turns Azure DevOps service hooks about releases and pipeline stages into deployment records.
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
// # What becomes of an event
//
//	notStarted, queued, scheduled, notDeployed, undefined, waiting   pending
//	inProgress, running                                              in_progress
//	succeeded                                                        success
//	partiallySucceeded                                               success, or failure with WithPartialFailure
//	rejected, failed                                                 failure
//	canceled, skipped                                                cancelled
//	approvals, created and abandoned releases, jobs                  ignored
//
// Ignored events are answered with 200 {"received":true,"ignored":true}. The error of [Decode] wraps
// [payload.ErrIgnored].
// The system's own word is in metadata as originalStatus, the whole event of up to 64 KiB in RawPayload.
//
// A deployment of a classic release has the ID RELEASE-ENVIRONMENT, and RELEASE-ENVIRONMENT-ATTEMPT from the second
// attempt on, because that is what started and completed events both have. Azure's number of the deployment is in
// metadata as azureDeploymentId.
//
// Deployments of classic releases and stages of YAML pipelines are taken; by convention a stage has its environment's name.
// Runs are ignored, since they have no environment, except with [WithRuns].
//
// In the service hook choose "All" for the resource details to send. Even then the documented events name no commit. It is
// taken from a release's primary artifact or the run's own repository where those are there (general knowledge of the API,
// not a promise of the documentation); otherwise the event is an error, unless [WithComplete] knows the commit.
//
// # Security properties
//
//   - Azure DevOps signs nothing. The password proves who speaks, not what is said: whoever sees one request can send any
//     other. Use it only over TLS, with a password of its own.
//   - There is no timestamp and no signed ID, so dedupe by the hash of the body is the only replay defence.
//     Whether a retry repeats the body to the byte is not documented: let the handler expect a deployment's status twice.
//   - User name and password are compared in constant time, and one answer is given for either being wrong.
//
// # Misuses
//
//   - Subscribing one pipeline to stages and, with WithRuns, to runs: each deployment then comes twice, under two IDs.
//   - Overwriting a stored status with each that arrives: deliveries overtake each other. Ask payload.Status.Transition.
//   - Taking a valid event's texts for harmless: whoever can deploy chooses some of them.
package azure
