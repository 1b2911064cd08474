// Package receiver takes deployment webhooks safely: only authentic, fresh, first-time deliveries reach the handler, and
// a crash loses none.
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
// [Receiver.Events] calls a typed handler and [Mux] routes by event type. [Receiver.Records] takes the webhooks of other
// systems, which the packages under payload decode. [Receiver.Wrap] is plain middleware for bodies of any other kind. [PerRequest] serves one secret per tenant. Package deployments has the endpoint that takes whole records of
// deployments with an API key and keeps them.
//
// # What happens to a request
//
// In this order: method, content type, bounded read of the body, verification of the exact bytes, decoding and
// validation, claim, handler, completion, answer. Nothing is stored before the signature holds, and the answer is
// written last, so that a 200 can be relied on.
//
//	handled                                  200 {"received":true}
//	authentic, but not about a deployment    200 {"received":true,"ignored":true}
//	already handled                          200 {"received":true,"duplicate":true}
//	another instance is handling it          409, Retry-After
//	not POST                                 405, Allow
//	not JSON, or encoded                     415
//	over the size limit                      413
//	body too slow                            408
//	not authentic, for whatever reason       401 {"error":"Invalid signature"}, the same bytes for every reason
//	no API key, or one that is not known     401 {"error":"Invalid or missing API key"}, likewise
//	authentic but invalid                    400 {"error":"Invalid payload: …"}
//	handler failed or panicked               500, claim released
//	store down or full                       503, Retry-After
//
// # Security properties
//
//   - Fails closed: no verifier, no store, a store that is down or full, a verifier that can't decide: none of them lets
//     a request through.
//   - A delivery is claimed under a lease before it is handled and remembered after it. Of a thousand concurrent copies one
//     runs; after a crash the lease ends and a retry runs. A handler may run longer than the lease, which is renewed; one
//     that lost its lease all the same is told through its context and can't undo its successor's claim.
//   - Deliveries are told apart by the signed ID, or else by the hash of the signed body, within a source and a principal.
//     Headers that no signature covers neither deduplicate nor route.
//   - Bodies are bounded in size and time, and a declared length alone allocates next to nothing.
//   - The peer learns nothing from a refusal; the operator's log line says why, without body, signature or secret.
//
// # Misuses
//
//   - Returning nil before the work is done or safely stored: the delivery is then remembered as handled.
//   - Handlers that are not idempotent, on a store that can't commit with them: between the effect and its completion a
//     crash can still make a retry run. Use the delivery's ID, from [FromContext], to recognise it.
//   - A memory store behind a load balancer: each instance then remembers only its own deliveries.
//   - Middleware in front that reads the body and leaves none, which is answered with 500 and a log line.
//   - Middleware in front that re-writes the body, decompresses it, or hides the ResponseWriter's deadlines.
//   - One Receiver, or one source name, for two handlers that are both to see a delivery: the second finds a duplicate. Give
//     each its own source.
//   - Sharing a source name between unrelated senders, or one secret between tenants.
//
// # Tracing
//
// The handlers are plain [http.Handler] values, so OpenTelemetry's middleware wraps them as it does any other:
//
//	http.Handle("POST /webhooks/deploy", otelhttp.NewHandler(rcv.Events(onEvent), "deploy webhook"))
package receiver
