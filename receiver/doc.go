// Package receiver receives deployment webhooks. Its handlers see only
// authentic, fresh, first-time deliveries, and a crash loses none of them.
//
//	store, err := dedupe.NewMemory()
//	if err != nil {
//		return err
//	}
//	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "platform")) // scheme from package signer
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /webhooks/deploy", rcv.Events(func(ctx context.Context, e *payload.Event) error {
//		return announce(ctx, e.App, e.Type)
//	}))
//
// Choose the handler by what you receive:
//
//   - [Receiver.Events] takes the events of this SDK. [Mux] routes them by
//     type.
//   - [Receiver.Records] takes the webhooks of other systems. The packages
//     under payload decode them.
//   - [Receiver.Wrap] is plain middleware for any other signed JSON.
//   - Package deployments takes deployment records with an API key and keeps
//     them.
//
// [PerRequest] is a verifier with one secret per tenant.
//
// # What happens to a request
//
// The steps run in this order: method, content type, bounded read of the body,
// verification of the exact bytes, decoding and validation, claim, handler,
// completion, answer. Nothing is stored before the signature is verified. The
// answer is written last, so the sender can rely on a 200.
//
//	handled                                  200 {"received":true}
//	authentic, but not about a deployment    200 {"received":true,"ignored":true}
//	already handled                          200 {"received":true,"duplicate":true}
//	another instance is handling it          409, Retry-After
//	not POST                                 405, Allow
//	not JSON, or encoded                     415
//	over the size limit                      413
//	body too slow                            408
//	not authentic, for any reason            401 {"error":"Invalid signature"}, always the same bytes
//	missing or unknown API key               401 {"error":"Invalid or missing API key"}, always the same bytes
//	authentic but invalid                    400 {"error":"Invalid payload: …"}
//	handler failed or panicked               500, claim released
//	store down or full                       503, Retry-After
//
// # Security properties
//
//   - It fails closed. No request passes without a verifier and a store, with a
//     store that is down or full, or with a verifier that returns an error.
//   - A delivery is claimed with a lease before it is handled, and recorded
//     afterwards. Of a thousand concurrent copies one runs. After a crash the
//     lease ends and a retry runs.
//   - A handler may run longer than the lease, because the receiver renews it.
//     If the lease is lost, the handler's context ends. The handler cannot then
//     complete or release its successor's claim.
//   - A delivery is identified by its signed ID, or by the hash of the signed
//     body if there is no ID, within a source and a principal. Unsigned headers
//     never affect deduplication or routing.
//   - Bodies are limited in size and time. A Content-Length header alone
//     allocates at most 64 KiB.
//   - A 401 does not tell the sender the reason. The operator's log line does,
//     but never has a body, signature or secret.
//
// # Misuses
//
//   - Returning nil before the work is done or safely stored. The delivery is
//     then remembered as handled.
//   - A handler that is not idempotent, on a store that cannot commit with it.
//     A crash between the effect and its completion makes a retry run.
//     Recognise it by the delivery's ID, from [FromContext].
//   - A memory store behind a load balancer. Each instance then remembers only
//     its own deliveries.
//   - Middleware in front that reads the body without replacing it. The answer
//     is then 500, and the log line says why.
//   - Middleware in front that rewrites or decompresses the body, or hides the
//     ResponseWriter's deadlines.
//   - One Receiver, or one source name, for two handlers that must both see a
//     delivery. The second finds a duplicate. Give each handler its own source.
//   - One source name for unrelated senders, or one secret for several tenants.
//
// # Tests
//
// Package receivertest makes good and bad requests for every scheme, stores
// with faults, and handlers that record their calls. Tests with it need neither
// a network nor time.
//
// # Metrics and traces
//
// [WithTelemetry] counts requests and continues the sender's trace in the
// handler. The module receiver/otelreceiver implements it with OpenTelemetry:
//
//	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "platform"), receiver.WithTelemetry(otelreceiver.Open()))
//
// The handlers are plain [http.Handler] values, so that other middleware can
// wrap them.
package receiver
