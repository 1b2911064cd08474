// Package chat is shared by the formats for chat services. It chooses the facts
// of an event that people want to see, and makes untrusted texts safe for a
// message.
package chat

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Escape returns the text for r in a destination's markup, or "" for r itself.
// It gets the rune before r. At the start of a text that is 0, and in some
// other places [AfterNumber] or [AfterWWW].
type Escape func(before, r rune) string

// AfterNumber is passed to an [Escape] as the rune before r, if r is between a
// number at the beginning of a line and a blank. If r is a dot or a
// parenthesis, Markdown turns the line into an item of a list.
const AfterNumber = -1

// AfterWWW is passed to an [Escape] as the rune before r, if r is a dot after
// the word www. Some kinds of Markdown turn such a text into a link.
const AfterWWW = -2

// Plain is the Escape of a destination without markup.
func Plain(_, _ rune) string { return "" }

// Length returns the length of s in UTF-16 code units. Services count
// "characters", by which they mean code points, UTF-16 units or what a reader
// sees as one. A text never has fewer UTF-16 units than any of these, so a text
// within the limit is within it by any count.
func Length(s string) int {
	n := 0
	for _, r := range s {
		n += units(r)
	}
	return n
}

func units(r rune) int {
	if r > 0xffff {
		return 2
	}
	return 1
}

// ellipsis marks what was cut.
const ellipsis = "…"

// Cut cleans and escapes s and cuts the result to max UTF-16 units, the
// ellipsis included. It never cuts inside an escape, a surrogate pair, or an
// emoji of several code points.
func Cut(s string, max int, escape Escape) string {
	if max <= 0 {
		return ""
	}
	s = Clean(head(s, 4*max+64)) // a unit is 4 bytes at most
	var b strings.Builder
	b.Grow(min(len(s), 2*max))
	length, fits := 0, 0 // fits is the part of b that leaves room for the ellipsis
	before, line, ws := rune(0), lineStart, 0
	for len(s) > 0 {
		size := cluster(s)
		for _, r := range s[:size] {
			if line == lineNumber && !digit(r) && blankAt(s, size) {
				before = AfterNumber
			}
			line = line.next(r)
			if r == '.' && ws == 3 {
				before = AfterWWW
			}
			ws = nextW(ws, before, r)
			if text := escape(before, r); text != "" {
				b.WriteString(text)
				length += Length(text)
			} else {
				b.WriteRune(r)
				length += units(r)
			}
			before = r
		}
		if length > max {
			return strings.TrimRightFunc(b.String()[:fits], unicode.IsSpace) + ellipsis
		}
		if length < max {
			fits = b.Len()
		}
		s = s[size:]
	}
	return b.String()
}

// nextW counts the letters w at the beginning of a word. It returns 0 in all
// other words.
func nextW(ws int, before, r rune) int {
	if r != 'w' && r != 'W' || ws == 0 && (unicode.IsLetter(before) || unicode.IsDigit(before)) {
		return 0
	}
	return ws + 1
}

// position is where in a line a text is.
type position int

const (
	lineStart  position = iota // nothing but blanks
	lineNumber                 // a number, and nothing before it
	lineText
)

func (p position) next(r rune) position {
	switch {
	case r == '\n':
		return lineStart
	case p == lineStart && r == ' ':
		return lineStart
	case p != lineText && digit(r):
		return lineNumber
	}
	return lineText
}

// blankAt reports whether white space begins at s[i], or s ends there.
func blankAt(s string, i int) bool { return i >= len(s) || s[i] == ' ' || s[i] == '\n' }

func digit(r rune) bool { return r >= '0' && r <= '9' }

// maxScanned is the number of bytes that are searched for the first line of a
// text, or for a character that is not blank.
const maxScanned = 16 << 10

// head returns the first n bytes of s, so that the work does not grow with an
// untrusted text. It reports whether it left something out.
func head(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + ellipsis
}

// cluster returns the length in bytes of the first character of s, as a reader
// sees it. It is a simple form of the extended grapheme clusters of Unicode
// Standard Annex 29, with at most 32 code points.
func cluster(s string) int {
	first, size := utf8.DecodeRuneInString(s)
	last, flags := first, isFlag(first)
	for range 31 {
		if len(s) > size && s[size] < utf8.RuneSelf {
			break
		}
		r, n := utf8.DecodeRuneInString(s[size:])
		if n == 0 || first < ' ' || !(extends(r) || last == zeroWidthJoiner || flags && isFlag(r)) {
			break
		}
		flags = false // two of them make a flag
		size += n
		last = r
	}
	return size
}

const zeroWidthJoiner = '\u200d'

// extends reports whether r belongs to the character before it. Such runes are
// combining marks, joiners, skin tones and tags.
func extends(r rune) bool {
	return r >= 0x300 && unicode.In(r, unicode.M) || r == zeroWidthJoiner || r >= 0x1f3fb && r <= 0x1f3ff || r >= 0xe0020 && r <= 0xe007f
}

func isFlag(r rune) bool { return r >= 0x1f1e6 && r <= 0x1f1ff }

// Clean returns s as valid UTF-8 with \n for every line break. It drops control
// characters, and those that turn the direction of writing around (U+202A to
// U+202E, U+2066 to U+2069), because they make a text look different from what
// it says. It also drops white space at both ends, as services do.
func Clean(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\r\n", "\n")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\u0085' || r == '\u2028' || r == '\u2029':
			return '\n'
		case r == '\t':
			return ' '
		case unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == '\ufeff':
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}

// Blank reports whether there is nothing in s to show.
func Blank(s string) bool { return Clean(head(s, maxScanned)) == "" }

// Line returns s as one line.
func Line(s string) string { return strings.Join(strings.Fields(Clean(head(s, maxScanned))), " ") }

// FirstLine returns the first line of s that is not blank.
func FirstLine(s string) string {
	line, _, _ := strings.Cut(Clean(head(s, maxScanned)), "\n")
	return Line(line)
}

// Link returns raw as a link that is safe to click, or "". A link is http or
// https, in ASCII, with a possible host, and has at most max bytes. User
// information is left out, because it is a credential or a name that pretends
// to be the host. Services refuse a whole message if one address in it is
// malformed.
func Link(raw string, max int) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	u.User = nil
	link := u.String()
	if len(link) > max || !isHost(u.Hostname()) || !isPort(u.Port()) || strings.ContainsFunc(link, notLink) {
		return ""
	}
	return link
}

// isHost refuses names that are not ASCII, because they can look like another
// name. It also refuses encoded and malformed names.
func isHost(name string) bool {
	if addr, err := netip.ParseAddr(name); err == nil {
		return addr.Zone() == ""
	}
	name = strings.TrimSuffix(name, ".")
	return len(name) <= 253 && !slices.ContainsFunc(strings.Split(name, "."), notLabel)
}

// notLabel reports whether a text can't stand between the dots of a name.
// Underscores are allowed, because existing names have them.
func notLabel(s string) bool {
	return s == "" || len(s) > 63 || strings.ContainsFunc(s, func(r rune) bool {
		return !digit(r) && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '_'
	})
}

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return text == "" || err == nil && n > 0
}

func notLink(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("<>\"|\\^`{}", r) }
