// Package temps converts the deployment webhooks of Temps to deployment
// records.
//
//	secret, err := signer.NewLiteralSecret(os.Getenv("TEMPS_WEBHOOK_SECRET"))
//	if err != nil {
//		return err
//	}
//	verifier, err := temps.NewVerifier(secret)
//	if err != nil {
//		return err
//	}
//	decode, err := temps.NewDecoder()
//	if err != nil {
//		return err
//	}
//	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "temps"))
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /webhooks/temps", rcv.Records(decode, onDeployment))
//
// # Two forms
//
// The guide to deployment webhooks by Temps and the open-source server
// gotempsh/temps differ. This package accepts both on one endpoint:
//
//	                The server                    The guide
//	Headers         X-Webhook-Signature           X-Webhook-Signature or
//	                                              X-Temps-Signature
//	Signature       sha256= and hex               hex
//	Type of event   event_type, such as           event, such as deploy.live
//	                deployment_succeeded
//	Deployment      payload.deployment_id,        deployment_id, a string
//	                a number
//
// The guide's events are also those of package payload. A service that receives
// only these can take them whole with receiver.Events instead.
//
// # Handling of events
//
//	deployment_created                    pending
//	deployment_ready                      in_progress
//	deployment_succeeded                  success
//	deployment_failed                     failure
//	deployment_cancelled                  cancelled
//	events about projects, domains,
//	backups and email                     ignored
//	deploy.started                        in_progress
//	deploy.live                           success
//	deploy.failed                         failure
//	deploy.rolled_back                    rolled_back
//	build.completed, health_check.passed  ignored
//
// Ignored events are answered with 200 {"received":true,"ignored":true}. The
// error of [Decode] wraps [payload.ErrIgnored]. The metadata has the system's
// own word as originalStatus. RawPayload has the whole event if it has at most
// 64 KiB.
//
// A deployment of an image or of uploaded files has no commit, and older
// servers send none with some events. That is an error, unless [WithComplete]
// sets the commit. If an event has no start of the deployment, its own time is
// also StartedAt, with metadata startedAtUnknown=true.
//
// A deployment's number is unique on one server. Use an endpoint and a source
// name for each server.
//
// # Security properties
//
//   - The signature covers the body and the time, so an old delivery is
//     refused. It covers no ID. Deliveries are identified by the hash of the
//     body, which has the event's own ID. X-Webhook-Delivery is not signed and
//     is not used.
//   - The type of an event is read from the body. X-Webhook-Event is not signed
//     and is not used.
//   - A server sends a webhook without a secret unsigned. Such deliveries are
//     refused with 401.
//
// # Common mistakes
//
//   - A webhook's secret may be short in Temps. [signer.NewLiteralSecret] wants
//     at least 16 bytes.
//   - Deliveries arrive out of order, so do not overwrite a stored status with
//     every new one. Call payload.Status.Transition first.
//   - The server tries each delivery once, and again only if someone asks for
//     it in the delivery log. An answer other than 2xx may lose the delivery,
//     so accept it durably first, as receiver/inbox does.
//   - A valid event is not harmless. Anyone who can deploy chooses some of its
//     texts.
package temps
