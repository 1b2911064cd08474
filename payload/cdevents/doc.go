// Package cdevents turns deployments and deployment events into CDEvents v0.5.1, in an envelope of CloudEvents 1.0, and
// back: for the event buses and delivery dashboards that speak CDEvents. It reads CDEvents 0.3, 0.4, 0.5 and the draft of
// 0.6, each by its own rules. Another version is an error that says so.
//
//	event, err := cdevents.FromDeployment(deployment, cdevents.Options{Source: "https://ci.example/acme/shop"})
//	if err != nil {
//		return err // what CDEvents require and the record lacks, by name
//	}
//	header, body := event.Binary() // sign body, send both
//
// And to receive, in either mode:
//
//	event, err := cdevents.Decode(r.Header, body)
//	if err != nil {
//		return err
//	}
//	deployment, err := event.Deployment(payload.Deployment{})
//	if errors.Is(err, payload.ErrIgnored) {
//		return nil // valid, but no deployment's status: acknowledge it
//	}
//
// # Mapping
//
// There is no "deployment failed" among the events of services, so runs of pipelines say that:
//
//	Deployment                   Event                 CDEvent
//	pending                      deploy.started (1)    pipelinerun.queued
//	in_progress                  deploy.started        pipelinerun.started, or taskrun.started (2)
//	                             build.completed       build.finished
//	                             health_check.passed   testsuiterun.finished, outcome success
//	success                      deploy.live           service.deployed
//	success, previousCommitSha   … previous_version    service.upgraded
//	failure                      deploy.failed         pipelinerun.finished, outcome failure
//	cancelled                    deploy.failed (1)     pipelinerun.finished, outcome cancel
//	rolled_back                  deploy.rolled_back    service.rolledback, artifactId is what is live again
//	                             other types           dev.cdeventsx.deployhook-<words>.<word>.0.1.0
//
// (1) by the event's status. (2) taskrun.started, of the task "deploy", where the pipeline's name or URL is not known:
// pipelinerun.started requires both.
//
// The deployment's ID is the chainId, and the subject's ID except for services, whose ID is the service's name. The
// artifactId is the package URL pkg:generic/<service>@<commit>. The timestamp is when the status was reached. The whole
// document is in customData, under "deployhookDeployment" or "deployhookEvent", so that the way back is lossless: to
// the byte for metadata, rawPayload and unknown members.
//
// Events of other producers have no such customData and are mapped by the same table, read from right to left, as far
// as it is certain: pipelinerun.*, taskrun.* of the task "deploy", service.deployed, .upgraded and .rolledback; outcome
// error is a failure as well. All others are [payload.ErrIgnored], among them service.removed, service.published,
// environment.*, incident.*, and runs that ended in success, which do not say what is live where. What such an event
// lacks comes from a base document or is an error that names the member; it is never guessed. A version counts as a
// commit only if it is one: of a generic, github, gitlab or bitbucket package, 40 hexadecimal digits, or 7 and more
// that are not a number.
//
// # Modes and content types
//
// [Event.Binary] has Content-Type application/json and [Event.Structured] has application/cloudevents+json. Package
// receiver takes both: [NewDecoder] is for its Records handler, which reads the body alone. In a handler behind its Wrap,
// call [Decode] with the request's header and body. Batches are refused.
//
// # Security
//
// A signature of the body does not cover the ce- headers of the binary mode. The body is the whole CDEvent and repeats
// every one of them, so [Decode] takes nothing from the headers, and refuses a message in which they differ from the
// body: a proxy that routes by ce-type and a handler that reads the body see the same event. In the same way an event
// that contradicts the document in its customData is refused, with [ErrMismatch].
//
// Verify the signature before decoding, and bound the body: this package limits neither its length nor its age. What
// comes out is well-formed, not harmless; see package payload.
//
// # Misuses
//
//   - Taking type, ID or subject from the ce- headers: ask the [Event].
//   - Making the event anew for each attempt: it has another ID each time, by which receivers tell duplicates, unless
//     Options.ID or the event's delivery ID fixes it.
//   - Answering [payload.ErrIgnored] with an error status: the peer would retry for nothing.
//   - Sending to people outside what must stay inside: customData is the whole document, rawPayload included.
package cdevents
