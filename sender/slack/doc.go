// Package slack turns deployment events into messages for Slack's incoming webhooks: a header, the facts beside a bar
// whose colour says how it went, who started it and when, and a button that opens the app.
//
//	format, err := slack.New()
//	if err != nil {
//		return err
//	}
//	receipt, err := s.Send(ctx, sender.Endpoint{
//		URL:        sender.NewURL(os.Getenv("SLACK_INCIDENTS_URL")), // the credential: Slack checks no signature
//		Signer:     sender.InsecureUnsigned(),
//		BodyFormat: format,
//		Events:     []string{"deploy.failed", "deploy.rolled_back"},
//	}, event)
//
// One webhook is one channel: have an endpoint for each and let its Events say what goes there.
//
// # Security
//
//   - An event's texts come from whoever could trigger a deployment: the author of a commit, a build's log. They stand in
//     plain_text objects only, where <!channel>, <@U123>, @here, links, emoji codes and formatting are what they look like:
//     text. &, < and > are escaped besides.
//   - Control characters, and those that turn the direction of writing around, are dropped.
//   - The button leads to the event's URL, http or https, without user information. It is the only link.
//   - Every text, and the sum of all of them, is cut to what Slack takes, counted after escaping, never inside an escape or an emoji. A message over a
//     limit would be refused as a whole: the longest error would be the one that nobody sees.
//
// # Misuses
//
//   - Using the webhook's URL in a log or as an ID: whoever has it can post. An endpoint shows scheme and host only.
//   - Putting members of the metadata on show (WithMetadata) that not everybody in the channel may see.
//
// A message's button sends an interaction to the app that owns the webhook; if that app takes none, Slack may show a
// warning sign beside a button that works. WithButton("") leaves it out.
package slack
