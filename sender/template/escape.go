package template

import (
	"strings"
	"unicode"
)

// markup are the characters with a meaning in some kind of Markdown, anywhere in a line, before which CommonMark and its
// relatives take a backslash: https://spec.commonmark.org/0.31.2/#backslash-escapes.
const markup = "\\`*_{}[]()#!~|"

func escapeMarkdown(before, r rune) string {
	switch {
	case strings.ContainsRune(markup, r):
		return "\\" + string(r)
	case (r == '-' || r == '+') && !unicode.IsLetter(before) && !unicode.IsDigit(before):
		return "\\" + string(r)
	case r == '@': // a mention: there is no escape for it
		return "@\u200b"
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
