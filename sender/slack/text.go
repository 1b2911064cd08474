package slack

import (
	"strings"

	"github.com/deployhook/deployhook/sender/internal/chat"
)

// The parts of a message, from
// https://docs.slack.dev/messaging/formatting-message-text and
// https://docs.slack.dev/reference/block-kit.
type (
	message struct {
		Text string `json:"text"`
		// Markup off for Text, which some clients show instead of the blocks.
		Markup      bool         `json:"mrkdwn"`
		Blocks      []block      `json:"blocks"`
		Attachments []attachment `json:"attachments"`
	}

	attachment struct {
		// Fallback is the preview of the attachment
		// (https://docs.slack.dev/legacy/legacy-messaging/legacy-secondary-message-attachments).
		Fallback string  `json:"fallback"`
		Color    string  `json:"color"`
		Blocks   []block `json:"blocks"`
	}

	block struct {
		Type     string `json:"type"`
		Text     *text  `json:"text,omitempty"`
		Fields   []text `json:"fields,omitempty"`
		Elements []any  `json:"elements,omitempty"`
	}

	text struct {
		Type string `json:"type"`
		Text string `json:"text"`
		// Emoji says whether :smile: becomes a picture. Only plain_text has it,
		// and there the default is true.
		Emoji *bool `json:"emoji,omitempty"`
		// Verbatim says that Slack must not look for names of channels and
		// people. Only mrkdwn has it.
		Verbatim bool `json:"verbatim,omitempty"`
	}

	button struct {
		Type string `json:"type"`
		Text text   `json:"text"`
		URL  string `json:"url"`
	}
)

// plain is for every text that may come from an event. A plain_text object has
// no markup, mentions or links. Escaping &, < and > keeps the text harmless if
// it is copied into another field.
func plain(s string, max int) text {
	return text{Type: "plain_text", Text: chat.Cut(s, max, escape), Emoji: new(false)}
}

// label is for names that this package or its options chose.
func label(s string) text {
	s = strings.ReplaceAll(chat.Line(s), "*", "")
	return text{Type: "mrkdwn", Text: "*" + chat.Cut(s, maxField-2, escape) + "*", Verbatim: true}
}

// escape replaces the three characters that Slack gives a meaning to
// (https://docs.slack.dev/messaging/formatting-message-text#escaping).
func escape(_, r rune) string {
	switch r {
	case '&':
		return "&amp;"
	case '<':
		return "&lt;"
	case '>':
		return "&gt;"
	}
	return ""
}

// escapeFallback also breaks up @here and @channel, because an app that links
// names finds mentions in a text without any markup.
func escapeFallback(before, r rune) string {
	if r == '@' {
		return "@\u200b"
	}
	return escape(before, r)
}

func escaped(s string) string { return chat.Cut(s, 1<<20, escape) }
