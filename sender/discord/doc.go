// Package discord turns deployment events into messages for Discord's webhooks: one embed with the facts, a bar whose
// colour says how it went, and the app's address behind the title.
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
//   - An event's texts come from whoever could trigger a deployment: the author of a commit, a build's log. A backslash
//     stands before every character with a meaning in Discord's Markdown, and addresses in them are no links.
//   - Nobody is pinged: allowed_mentions permits no mention, whatever a text says.
//   - Control characters, and those that turn the direction of writing around, are dropped.
//   - The title leads to the event's URL, http or https, without user information. It is the only link. A host without a
//     dot, such as localhost, gets none: Discord would refuse the message.
//   - Every text is cut to what Discord takes, counted after escaping, never inside an escape or an emoji, and so is their
//     sum. A message over a limit, or with an empty value, would be refused as a whole.
//
// # Misuses
//
//   - Using the webhook's URL in a log or as an ID: whoever has it can post. An endpoint shows scheme and host only.
//   - Putting members of the metadata on show (WithMetadata) that not everybody in the channel may see.
package discord
