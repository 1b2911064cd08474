// Package slack turns deployment events into messages for Slack's incoming
// webhooks. A message has a header, the facts next to a bar whose colour shows
// the result, the person who started the deployment, and a button that opens
// the app.
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
// A webhook posts to one channel. Make an endpoint for each channel, and choose
// its events with Endpoint.Events.
//
// # Security
//
//   - Anyone who can trigger a deployment chooses an event's texts, for example
//     as the author of a commit. The texts stand in plain_text objects only.
//     There <!channel>, <@U123>, @here, links, emoji codes and formatting are
//     plain text. The characters &, < and > are also escaped.
//   - Control characters are dropped, and so are characters that turn the
//     direction of writing around.
//   - The button leads to the event's URL, which is http or https, without user
//     information. It is the only link.
//   - Every text and the sum of all texts are cut to Slack's limits. The limits
//     count after escaping, and a cut never falls inside an escape or an emoji.
//     Slack refuses a whole message over a limit, so the longest error would
//     otherwise never be seen.
//
// # Misuses
//
//   - Using the webhook's URL in a log or as an ID. Anyone who has it can post.
//     An endpoint shows scheme and host only.
//   - Showing members of the metadata (WithMetadata) that some people in the
//     channel may not see.
//
// Slack sends an interaction for each click on the button to the app that owns
// the webhook. If that app takes none, Slack may show a warning sign next to a
// working button. WithButton("") leaves the button out.
package slack
