package template

import (
	"strings"
	"unicode"

	"github.com/deployhook/deployhook/sender/internal/chat"
)

// markup are the characters with a meaning anywhere in a line of some kind of
// Markdown, before which CommonMark and similar formats take a backslash. See
// https://spec.commonmark.org/0.31.2/#backslash-escapes.
const markup = "\\`*_{}[]()#!~|"

func escapeMarkdown(before, r rune) string {
	switch {
	case r == ' ' && (before == '\n' || before == ' '): // four of them at the beginning of a line make it code
		return "\u00a0"
	case r == '.' && before == chat.AfterNumber: // an item of a list
		return "\\."
	case r == '=' && (before == '\n' || before == ' ' || before == 0): // a line of them makes a heading of the one above
		return "\u200b="
	case strings.ContainsRune(markup, r):
		return "\\" + string(r)
	case (r == '-' || r == '+') && !unicode.IsLetter(before) && !unicode.IsDigit(before):
		return "\\" + string(r)
	case r == '@': // a mention: there is no escape for it
		return "@\u200b"
	case r == '.' && before == chat.AfterWWW: // www.example.com becomes a link by itself
		return "\u200b."
	case r == '/' && before == ':': // an address becomes a link by itself
		return "\u200b/"
	case r == '&':
		return "&amp;"
	case r == '<':
		return "&lt;"
	case r == '>':
		return "&gt;"
	}
	return ""
}

func escapeHTML(_, r rune) string {
	switch r {
	case '&':
		return "&amp;"
	case '<':
		return "&lt;"
	case '>':
		return "&gt;"
	case '"':
		return "&#34;"
	case '\'':
		return "&#39;"
	}
	return ""
}
