// Package periscope turns deployment events into the records that Periscope's deployment webhook takes, or any receiver
// that is compatible with it.
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
// Events of one deployment update one record, by the deployment's ID. An event becomes a record by
// [payload.Event.Deployment]; see [Format] for where startedAt comes from.
//
// # Security
//
//   - Records are validated before they are sent: what Periscope would refuse is an error here.
//   - Nothing is invented without saying so: a start that is only the event's time is marked in the record.
//   - The API key is a credential of the whole organization. It goes into no record and no error.
//
// # Misuses
//
//   - Events without Endpoint.Events: a build.completed has no record, and Send then returns an error that wraps
//     sender.ErrNoMessage.
//   - deploy.live without a start: after a deploy.started with the right one it overwrites that. Put "startedAt" into the
//     metadata of a deployment's events, or remember it (WithStartTimes).
package periscope
