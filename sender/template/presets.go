package template

import _ "embed" // the documents

var (
	//go:embed presets/mattermost.json
	mattermost string
	//go:embed presets/rocketchat.json
	rocketChat string
	//go:embed presets/teams.json
	teams string
	//go:embed presets/googlechat.json
	googleChat string
)

// Mattermost returns a Format for Mattermost's incoming webhooks, with message
// attachments
// (https://developers.mattermost.com/integrate/reference/message-attachments/).
func Mattermost(opts ...Option) (*Format, error) { return New(mattermost, Markdown, opts...) }

// RocketChat returns a Format for Rocket.Chat's incoming webhooks
// (https://docs.rocket.chat/docs/integrations).
func RocketChat(opts ...Option) (*Format, error) { return New(rocketChat, Markdown, opts...) }

// Teams returns a Format for webhooks of Microsoft Teams, which the workflow
// "Post to a channel when a webhook request is received" makes. A message is an
// Adaptive Card of at most 28 KB
// (https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook).
// Its texts are runs of a RichTextBlock, which has no markup
// (https://adaptivecards.io/explorer/TextRun.html). Clients that can't show the
// card show only the kind of event, because they may read Markdown there.
func Teams(opts ...Option) (*Format, error) { return New(teams, Plain, opts...) }

// GoogleChat returns a Format for Google Chat's incoming webhooks. A message is
// a card of at most 32,000 bytes
// (https://developers.google.com/workspace/chat/create-messages). Its texts are
// a subset of HTML
// (https://developers.google.com/workspace/chat/format-messages#card-formatting).
func GoogleChat(opts ...Option) (*Format, error) { return New(googleChat, HTML, opts...) }
