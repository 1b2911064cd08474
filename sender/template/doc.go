// Package template turns deployment events into messages for any service that takes JSON: a document whose strings are
// templates. Four are ready: [Mattermost], [RocketChat], [Teams] and [GoogleChat].
//
//	format, err := template.New(`{
//		"text": "{{.Title}}: {{.App}} {{.Version}}{{if .Error}} - {{.Error | firstLine | truncate 200}}{{end}}",
//		"priority": 5,
//		"link": {"$if": "{{.URL}}", "title": "Open", "href": "{{.URL}}"}
//	}`, template.Markdown)
//	if err != nil {
//		return err // names the place in the document
//	}
//	receipt, err := s.Send(ctx, sender.Endpoint{
//		URL: sender.NewURL(os.Getenv("CHAT_URL")), Signer: sender.InsecureUnsigned(), BodyFormat: format,
//	}, event)
//
// # Documents
//
// A string is a template of package text/template, with the fields of [Data]: {{.App}}. Numbers, booleans and names stay as
// they are. An object with the member "$if" is left out if that template comes out blank, and so is the member or element
// that it would be; if the document itself is, there is no message ([sender.ErrNoMessage]).
//
//	{{.Metadata "build"}}             a member of the event's metadata
//	{{.Error | truncate 200}}         at most 200 UTF-16 code units, the ellipsis included; no value gets longer than WithMaxValue
//	{{.Message | firstLine}}          its first line
//	{{.App | upper}}, lower           in capitals, in small letters
//	{{.Version | default "unknown"}}  a text for nothing
//	{{if …}}, {{with …}}, {{else}}    and, or, not, eq, ne, len
//
// Loops, variables, nested templates and other functions are not available, so that a template's length and time are
// bounded.
//
// # Security
//
//   - A document is read as JSON first, and what its templates make is encoded as JSON afterwards. No text, be it an
//     event's or a template's, can end a string or add a member.
//   - Every inserted value is escaped for the destination's markup, which [New] must be told; the author of a template
//     neither can nor has to. Constant text of the document is markup as it stands.
//   - Control characters, and those that turn the direction of writing around, are dropped from values.
//   - {{.URL}} is the only link that an event can bring: http or https, without user information.
//
// # Misuses
//
//   - Plain for a destination that reads Markdown or HTML: a commit message could then ping a channel or show a link that
//     leads elsewhere.
//   - A link of another field, such as [{{.App}}](https://ci.example/{{.App}}): the value is escaped as text, not as part of
//     an address.
//   - Markdown for what it can't do: an address without a scheme (www.example) may still become a link to what it says.
package template
