// Package cdevents turns deployment events into CDEvents, each in a CloudEvent
// of the structured mode. They are for event buses and delivery dashboards.
//
//	format, err := cdevents.New("https://ci.example/acme/shop")
//	if err != nil {
//		return err
//	}
//	receipt, err := s.Send(ctx, sender.Endpoint{URL: sender.NewURL(url), Signer: scheme, BodyFormat: format}, event)
//
// The mapping is that of [github.com/deployhook/deployhook/payload/cdevents],
// which also reads what this package sends. The Content-Type is
// application/cloudevents+json. Everything is in the body, so a signature of
// the body covers all of it.
//
// # Security
//
//   - The CDEvent's ID is the delivery's ID, which the signature covers. All
//     attempts carry the same ID, so receivers recognise a repetition by it.
//   - customData has the whole event, metadata and unknown members included, so
//     that reading it back loses nothing.
//
// # Misuses
//
//   - Sending to outsiders an event with internal metadata. customData carries
//     all of it.
//   - Sending to an endpoint of package receiver that takes application/json
//     only. It answers 415.
package cdevents
