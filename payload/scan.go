package payload

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// The functions of this file find their way through JSON that is known to be valid: it has been through jsontext, which
// checks syntax, UTF-8 and duplicate names. That is why they check nothing.

// maxDepth bounds how deeply the objects and arrays of one member may be nested. A document is carried on to other
// programs, and their readers have bounds of about this size; what CI systems send is a tenth as deep.
const maxDepth = 128

// maxMemberDepth is the same for a value that is to be a member of an Object, which adds a level.
const maxMemberDepth = maxDepth - 1

// skipSpace returns the position of the first byte at or after i that is not white space.
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
		if backslashes%2 == 0 { // none of them escapes the quote
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

// deeperThan reports whether objects and arrays are nested more than limit deep in a value.
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
	text, _ := jsontext.AppendUnquote(nil, literal)
	return string(text)
}
