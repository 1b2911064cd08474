// Package discord turns deployment events into messages for Discord's webhooks.
// A message has one embed with the facts, a bar whose colour shows the result,
// and a title that links to the app.
//
//	format, err := discord.New()
//	if err != nil {
//		return err
//	}
//	receipt, err := s.Send(ctx, sender.Endpoint{
//		URL:        sender.NewURL(os.Getenv("DISCORD_URL")), // the credential: Discord checks no signature
//		Signer:     sender.InsecureUnsigned(),
//		BodyFormat: format,
//		Events:     []string{"deploy.*"},
//	}, event)
//
// # Security
//
//   - Anyone who can trigger a deployment chooses an event's texts, for example
//     as the author of a commit. A backslash stands before every character with
//     a meaning in Discord's Markdown, and addresses in the texts are no links.
//   - No text can ping a person, because allowed_mentions permits no mention.
//   - Control characters are dropped, and so are characters that turn the
//     direction of writing around.
//   - The title leads to the event's URL, which is http or https, without user
//     information. It is the only link. A host without a dot, such as
//     localhost, gets no link, because Discord would refuse the message.
//   - Every text and the sum of all texts are cut to Discord's limits. The
//     limits count after escaping, and a cut never falls inside an escape or an
//     emoji. Discord refuses a whole message over a limit or with an empty
//     value.
//
// # Misuses
//
//   - Using the webhook's URL in a log or as an ID. Anyone who has it can post.
//     An endpoint shows scheme and host only.
//   - Showing members of the metadata (WithMetadata) that some people in the
//     channel may not see.
package discord
