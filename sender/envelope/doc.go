// Package envelope sends deployment events in the body that the Standard
// Webhooks specification recommends.
//
//	receipt, err := s.Send(ctx, sender.Endpoint{URL: sender.NewURL(url), Signer: scheme, BodyFormat: envelope.New()}, event)
//
// The body has three members. All members of the event other than its type and
// timestamp are in data, under their own names, with the delivery's ID:
//
//	{"type":"deploy.live","timestamp":"2026-03-12T14:22:01Z","data":{"delivery_id":"whk_…","deployment_id":"dep_1",…}}
//
// [github.com/deployhook/deployhook/payload.DecodeEnvelope] reads it back
// without loss, and so does a receiver with WithEnvelope. An outbox has this
// format under the name "envelope", and stores an event once for all endpoints
// with it.
//
// # Security
//
//   - The envelope has the values of the event and no others. It carries the
//     metadata and the unknown members of the event, too.
//   - A signature of the body covers all of it. The Standard scheme also signs
//     the delivery's ID, as the header Webhook-Id. The copy in data has the
//     same value, and a receiver should use the header's.
//
// # Misuses
//
//   - Sending it to a receiver that expects events in their own form. It
//     answers 400. One of package receiver needs the option WithEnvelope.
//   - Reading timestamp as the time of sending. It is the time of the event,
//     and the same in all attempts. The header Webhook-Timestamp is the
//     attempt's.
package envelope
