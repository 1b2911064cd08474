// Package jenkins converts the notifications of Jenkins' Notification plugin to
// deployment records.
//
//	password, err := signer.NewLiteralSecret(os.Getenv("JENKINS_PASSWORD"))
//	if err != nil {
//		return err
//	}
//	verifier, err := jenkins.NewVerifier("jenkins", password)
//	if err != nil {
//		return err
//	}
//	decode, err := jenkins.NewDecoder(jenkins.WithEnvironment("production"))
//	if err != nil {
//		return err
//	}
//	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "jenkins"))
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /webhooks/jenkins", rcv.Records(decode, onDeployment))
//
// Add a notification endpoint to each job that deploys, and not to those that
// only build. Choose the format JSON, the protocol HTTP and the event "Job
// Completed" or "All Events". The URL contains the user name and the password,
// as in https://jenkins:PASSWORD@deploys.example.com/webhooks/jenkins. Keep it
// as a secret text among Jenkins' credentials.
//
// # Handling of events
//
//	QUEUED                      pending, or ignored without a commit
//	STARTED                     in_progress, or ignored without a commit
//	COMPLETED, FINALIZED with
//	    SUCCESS                 success
//	    UNSTABLE                success, or failure with WithPartialFailure
//	    FAILURE                 failure
//	    ABORTED, NOT_BUILT      cancelled
//	NONE, of the step
//	notifyEndpoints             ignored
//
// Ignored events are answered with 200 {"received":true,"ignored":true}. The
// error of [Decode] wraps [payload.ErrIgnored]. The metadata has the system's
// own word as originalStatus. RawPayload has the whole event if it has at most
// 64 KiB.
//
// A deployment is one build. Its ID is the path of the build, which is unique
// on one Jenkins. Use an endpoint and a source name for each Jenkins. Most
// builds check out their commit after they have started, so their first events
// have none and are ignored. FINALIZED has a later time than COMPLETED and no
// start of the build. Its own time is then also StartedAt, with metadata
// startedAtUnknown=true.
//
// # Security properties
//
//   - The plugin signs nothing. It takes a user name and a password from the
//     URL and sends them as basic authentication. They prove who sends, not
//     what is sent. Anyone who sees one request can send any other. Use them
//     only over TLS, and with a separate password.
//   - A request without the password is refused with 401.
//   - There is no signed timestamp and no signed ID, so deduplication by the
//     hash of the body is the only defense against replays, and only while its
//     store remembers the delivery.
//
// # Common mistakes
//
//   - The plugin does not look at the status of the answer. It repeats a
//     delivery only if the connection fails. Accept the delivery durably first,
//     as receiver/inbox does.
//   - The plugin can send lines of the build's log. RawPayload keeps them, so
//     leave their number at 0.
//   - A valid event is not harmless. Anyone who can deploy chooses some of its
//     texts.
package jenkins
