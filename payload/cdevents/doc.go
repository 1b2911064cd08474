// Package cdevents converts deployments and deployment events to CDEvents
// v0.5.1 in a CloudEvents 1.0 envelope, and back. Use it for event buses and
// delivery dashboards that speak CDEvents. It reads CDEvents 0.3, 0.4, 0.5 and
// the draft of 0.6, each by its own rules. It returns an error for any other
// version.
//
//	event, err := cdevents.FromDeployment(deployment, cdevents.Options{
//		Source: "https://ci.example/acme/shop",
//	})
//	if err != nil {
//		return err // names the members that the record lacks
//	}
//	header, body := event.Binary() // sign body, send both
//
// To receive an event in either mode:
//
//	event, err := cdevents.Decode(r.Header, body)
//	if err != nil {
//		return err
//	}
//	deployment, err := event.Deployment(payload.Deployment{})
//	if errors.Is(err, payload.ErrIgnored) {
//		return nil // valid, but not the status of a deployment: acknowledge it
//	}
//
// # Mapping
//
// CDEvents have no event for a failed deployment. Pipeline runs report that
// instead:
//
//	Deployment            Event                 CDEvent
//	pending               deploy.started (1)    pipelinerun.queued
//	in_progress           deploy.started        pipelinerun.started, or
//	                                            taskrun.started (2)
//	                      build.completed       build.finished
//	                      health_check.passed   testsuiterun.finished,
//	                                            outcome success
//	success               deploy.live           service.deployed
//	success, with         deploy.live, with     service.upgraded
//	previousCommitSha     previous_version
//	failure               deploy.failed         pipelinerun.finished,
//	                                            outcome failure
//	cancelled             deploy.failed (1)     pipelinerun.finished,
//	                                            outcome cancel
//	rolled_back           deploy.rolled_back    service.rolledback, with the
//	                                            restored version in artifactId
//	                      other types           dev.cdeventsx.deployhook-
//	                                            <words>.<word>.0.1.0
//
// (1) The event's status decides. (2) If the pipeline's name or URL is unknown,
// the event is a taskrun.started of the task "deploy", because
// pipelinerun.started requires both.
//
// The other members are:
//
//	chainId      the deployment's ID
//	subject.id   the service's name for services, else the deployment's ID
//	artifactId   the package URL pkg:generic/<service>@<commit>
//	timestamp    when the status was reached
//	customData   the whole document, in deployhookDeployment or
//	             deployhookEvent
//
// The conversion back loses nothing because of customData. Metadata, rawPayload
// and unknown members keep their exact bytes.
//
// Events of other producers have no such customData. They are mapped by the
// same table, read from right to left, if their meaning is certain:
//
//   - pipelinerun.* events
//   - taskrun.* events of the task "deploy"
//   - service.deployed, service.upgraded and service.rolledback
//
// The outcome error is also a failure. For all other events the error wraps
// [payload.ErrIgnored]. They include service.removed, service.published,
// environment.* and incident.*, which [Event.Incident] reads. They also include
// runs that ended in success, because these do not tell which version is live
// in which environment. Members that such an event lacks come from a base
// document. If they are missing there too, the error names them. They are never
// guessed.
//
// A version counts as a commit only in a generic, github, gitlab or bitbucket
// package. It must have 40 hexadecimal digits, or at least 7 that are not all
// decimal.
//
// # Modes and content types
//
// [Event.Binary] has Content-Type application/json and [Event.Structured] has
// application/cloudevents+json. Package receiver accepts both. [NewDecoder] is
// for its Records handler, which reads only the body. In a handler behind its
// Wrap, call [Decode] with the request's header and body. Batches are refused.
//
// # Security
//
// A signature of the body does not cover the ce- headers of the binary mode.
// The body is the whole CDEvent and repeats every one of them. [Decode]
// therefore takes nothing from the headers, and refuses a message whose headers
// differ from the body. A proxy that routes by ce-type then sees the same event
// as a handler that reads the body. [Decode] also refuses an event that
// contradicts the document in its customData. The error is [ErrMismatch].
//
// Verify the signature before decoding, and limit the size of the body. This
// package limits neither its length nor its age. A valid event is well-formed
// but not harmless, see package payload.
//
// # Common mistakes
//
//   - Do not take type, ID or subject from the ce- headers. Call the methods of
//     [Event].
//   - Do not create a new event for each attempt. Receivers detect duplicates
//     by the event's ID, which is new each time unless Options.ID or the
//     event's delivery ID sets it.
//   - Do not answer [payload.ErrIgnored] with an error status. The sender would
//     retry in vain.
//   - customData contains the whole document with rawPayload. Do not send
//     internal data to external receivers.
package cdevents
