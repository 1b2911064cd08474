// Package template turns deployment events into messages for any service that
// takes JSON. A message is a JSON document whose strings are templates. Presets
// are [Mattermost], [RocketChat], [Teams] and [GoogleChat].
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
// A string is a template of package text/template with the fields of [Data],
// such as {{.App}}. Numbers, booleans and names stay as they are. An object may
// have the member "$if". If that template gives a blank text, the object is
// left out, together with the member or element that holds it. If the document
// itself is left out, there is no message ([sender.ErrNoMessage]).
//
//	{{.Metadata "build"}}             a member of the event's metadata
//	{{.Error | truncate 200}}         at most 200 UTF-16 code units, the ellipsis included; no value gets longer than WithMaxValue
//	{{.Message | firstLine}}          its first line
//	{{.App | upper}}, lower           in capitals, in small letters
//	{{.Version | default "unknown"}}  a text for nothing
//	{{if …}}, {{with …}}, {{else}}    and, or, not, eq, ne, len
//
// There are no loops, variables, nested templates or other functions, so that
// the length and the time of a template are bounded.
//
// # Security
//
//   - The document is read as JSON before its templates run, and their results
//     are encoded as JSON afterwards. No text of an event or a template can end
//     a string or add a member.
//   - Every inserted value is escaped for the destination's markup, which [New]
//     must be told. The author of a template does not have to escape anything.
//     Constant text of the document is not escaped.
//   - Control characters are dropped from values, and so are characters that
//     turn the direction of writing around.
//   - {{.URL}} is the only link that an event can bring. It is http or https,
//     without user information.
//
// # Misuses
//
//   - Using Plain for a destination that reads Markdown or HTML. A commit
//     message could then ping a channel or show a link that leads elsewhere.
//   - Building a link from another field, such as
//     [{{.App}}](https://ci.example/{{.App}}). The value is escaped as text,
//     not as part of an address.
//   - Expecting Markdown to stop links without a scheme. A service may still
//     turn www.example into a link to that host.
package template
