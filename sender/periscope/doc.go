// Package periscope turns deployment events into records for Periscope's
// deployment webhook, or for any compatible receiver.
//
//	format, err := periscope.New(periscope.WithBase(payload.Deployment{Environment: "production"}))
//	if err != nil {
//		return err
//	}
//	secret, err := signer.NewLiteralSecret(os.Getenv("PERISCOPE_API_KEY"))
//	if err != nil {
//		return err
//	}
//	key, err := signer.NewBearer(secret)
//	if err != nil {
//		return err
//	}
//	receipt, err := s.Send(ctx, sender.Endpoint{
//		URL:        sender.NewURL("https://app.periscope.sh/api/webhooks/deployments"),
//		Signer:     key,
//		BodyFormat: format,
//		Events:     []string{"deploy.*"},
//	}, event)
//
// Events of one deployment update one record, by the deployment's ID. An event
// becomes a record by [payload.Event.Deployment]. [Format] says where startedAt
// comes from.
//
// # Security
//
//   - Records are validated before they are sent. A record that Periscope would
//     refuse is an error here.
//   - A start that is only the event's time is marked in the record.
//   - The API key is a credential of the whole organization. It is in no record
//     and no error.
//
// # Misuses
//
//   - Leaving out Endpoint.Events. A build.completed has no record, and Send
//     then returns an error that wraps sender.ErrNoMessage.
//   - Sending a deploy.live without a start. It overwrites the right start of
//     an earlier deploy.started. Put "startedAt" into the metadata of a
//     deployment's events, or remember it (WithStartTimes).
package periscope
