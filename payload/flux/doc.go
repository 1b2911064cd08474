// Package flux converts alerts of Flux's notification controller to deployment
// records.
//
//	token, err := signer.NewLiteralSecret(os.Getenv("FLUX_TOKEN"))
//	if err != nil {
//		return err
//	}
//	verifier, err := flux.NewVerifier(token)
//	if err != nil {
//		return err
//	}
//	decode, err := flux.NewDecoder(flux.WithEnvironment("production"))
//	if err != nil {
//		return err
//	}
//	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "flux"))
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /webhooks/flux", rcv.Records(decode, onDeployment))
//
// In the cluster:
//
//   - Create a Provider of type generic-hmac with the address of the endpoint
//     and a Secret that has the token.
//   - Create an Alert with eventSeverity info for Kustomizations and
//     HelmReleases.
//   - Give Kustomizations wait or healthChecks, so that Flux reports when they
//     are healthy. Without, use [WithAppliedSuccess].
//
// # Handling of events
//
//	Kustomization
//	    severity error                   failure
//	    Progressing, what was applied    in_progress, or success with
//	                                     WithAppliedSuccess
//	    Progressing, health check passed success
//	    ReconciliationSucceeded          success
//	    without a revision, deletion,
//	    HealthCheckCanceled, or another
//	    reason                           ignored
//	HelmRelease
//	    InstallSucceeded, UpgradeSucceeded,
//	    TestSucceeded                    success
//	    InstallFailed, UpgradeFailed,
//	    TestFailed                       failure
//	    another reason                   ignored
//	other kinds                          ignored
//
// Ignored events are answered with 200 {"received":true,"ignored":true}. The
// error of [Decode] wraps [payload.ErrIgnored]. The metadata has Flux's reason
// as originalStatus. RawPayload has the whole event if it has at most 64 KiB.
//
// A deployment is one revision of one object. Its ID consists of the object's
// UID, the revision and, for a HelmRelease, the digest of its values. Two
// things follow from this:
//
//   - If a branch is set back to an earlier commit, the ID is that of the
//     earlier deployment. Use git revert, which makes a new commit.
//   - Flux retries a revision that failed. A success after that contradicts the
//     record, as payload.Status.Transition says.
//
// The event that a Helm release was rolled back is ignored. It names the chart
// that Helm returned to, and the upgrade that failed was reported before.
//
// The commit comes from the event's commit, origin revision or revision. A
// chart, or an OCI artifact without an origin revision, has no commit. That is
// an error, unless [WithComplete] sets it. An event has only its own time. That
// is also StartedAt, with metadata startedAtUnknown=true.
//
// # Security properties
//
//   - The signature covers only the body. It covers no timestamp and no ID, so
//     a captured delivery stays valid as long as the token. Deduplication is
//     the only defense against replays, and only while its store remembers the
//     delivery. Deliveries are identified by the hash of the body.
//   - A Provider of type generic signs nothing. If you must use one, give its
//     Secret the header Authorization with a token, and verify that with
//     [signer.NewAPIKeys].
//
// # Common mistakes
//
//   - Flux tries a delivery a few times within a minute, and then drops it.
//     Store deliveries durably if none may be lost, as receiver/inbox does.
//   - Flux drops an event that repeats one of the last five minutes.
//   - A failure repeats while Flux retries, with new times. The handler must
//     accept the same status twice.
//   - A valid event is not harmless. Anyone who can deploy chooses some of its
//     texts. The message of a failure may have the log of Helm.
package flux
