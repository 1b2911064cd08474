package payload

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// The functions in this file scan JSON that jsontext has already checked for
// syntax, UTF-8 and duplicate names. They check nothing themselves.

// maxDepth is the maximum nesting of objects and arrays in one member.
// Documents are passed on to other programs, and many JSON readers have a limit
// of about this size. CI systems send a tenth of it.
const maxDepth = 128

// maxMemberDepth is maxDepth for a value that becomes a member of an Object,
// which adds a level.
const maxMemberDepth = maxDepth - 1

// skipSpace returns the position of the first byte at or after i that is not
// white space.
func skipSpace(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r') {
		i++
	}
	return i
}

// skipString returns the position after the string that begins at i.
func skipString(s string, i int) int {
	for i++; ; i++ {
		i += strings.IndexByte(s[i:], '"')
		backslashes := 0
		for s[i-1-backslashes] == '\\' {
			backslashes++
		}
		if backslashes%2 == 0 { // an even number of backslashes does not escape the quote
			return i + 1
		}
	}
}

// skipValue returns the position after the value that begins at i.
func skipValue(s string, i int) int {
	switch s[i] {
	case '"':
		return skipString(s, i)
	case '{', '[':
		return skipNested(s, i)
	default:
		for i < len(s) && !strings.ContainsRune(",]} \n\t\r", rune(s[i])) {
			i++
		}
		return i
	}
}

// skipNested returns the position after the object or array that begins at i.
func skipNested(s string, i int) int {
	for depth := 0; ; i++ {
		switch s[i] {
		case '"':
			i = skipString(s, i) - 1
		case '{', '[':
			depth++
		case '}', ']':
			depth--
			if depth == 0 {
				return i + 1
			}
		}
	}
}

// deeperThan reports whether the objects and arrays in value are nested more
// than limit levels deep.
func deeperThan(value string, limit int) bool {
	depth := 0
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '"':
			i = skipString(value, i) - 1
		case '{', '[':
			depth++
			if depth > limit {
				return true
			}
		case '}', ']':
			depth--
		}
	}
	return false
}

// unquote returns the text of a string literal.
func unquote(literal string) string {
	inner := literal[1 : len(literal)-1]
	if strings.IndexByte(inner, '\\') < 0 {
		return inner
	}
	text, _ := jsontext.AppendUnquote(nil, literal) // The literal's syntax has been checked.
	return string(text)
}
