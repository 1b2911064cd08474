// Package cdevents turns deployment events into CDEvents, each in a CloudEvent of the structured mode: for event buses and
// delivery dashboards.
//
//	format, err := cdevents.New("https://ci.example/acme/shop")
//	if err != nil {
//		return err
//	}
//	receipt, err := s.Send(ctx, sender.Endpoint{URL: sender.NewURL(url), Signer: scheme, BodyFormat: format}, event)
//
// The mapping is that of [github.com/deployhook/deployhook/payload/cdevents], which also reads what this package sends. The
// Content-Type is application/cloudevents+json; everything is in the body, so that a signature of the body covers all of
// it.
//
// # Security
//
//   - The CDEvent's ID is the delivery's, which the signature covers: all attempts carry the same one, and receivers
//     recognise a repetition by it.
//   - The whole event goes along in customData, metadata and unknown members included, so that the way back is lossless.
//
// # Misuses
//
//   - Sending to people outside what must stay inside: see above.
//   - An endpoint of package receiver that takes application/json only: it answers 415.
package cdevents
