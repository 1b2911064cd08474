package signer

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// withEscapes replaces every character of a JSON document that is not ASCII
// with its escape. Some encoders do so by default.
func withEscapes(document []byte) []byte {
	out := make([]byte, 0, len(document))
	for len(document) > 0 {
		r, size := utf8.DecodeRune(document)
		if r < utf8.RuneSelf || size == 1 { // size 1 beyond ASCII is no UTF-8
			out = append(out, document[:size]...)
		} else if high, low := utf16.EncodeRune(r); high != utf8.RuneError {
			out = appendEscape(appendEscape(out, high), low)
		} else {
			out = appendEscape(out, r)
		}
		document = document[size:]
	}
	return out
}

func appendEscape(out []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	return append(out, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}

// withCharacters replaces the escapes of a JSON document with their characters.
// It keeps the escapes that JSON requires. The document must be valid.
func withCharacters(document []byte) []byte {
	out := make([]byte, 0, len(document))
	for {
		i := bytes.IndexByte(document, '\\')
		if i < 0 {
			return append(out, document...)
		}
		out, document = append(out, document[:i]...), document[i:]
		r, size := unescape(document)
		if size == 0 {
			size = 2
			out = append(out, document[:size]...)
		} else {
			out = utf8.AppendRune(out, r)
		}
		document = document[size:]
	}
}

// unescape returns the character of an escape and the escape's length. The
// length is zero if the escape has to stay.
func unescape(document []byte) (rune, int) {
	if document[1] == '/' {
		return '/', 2
	}
	r := hexEscape(document)
	if utf16.IsSurrogate(r) {
		if r = utf16.DecodeRune(r, hexEscape(document[6:])); r != utf8.RuneError {
			return r, 12
		}
		return 0, 0
	}
	if r < ' ' || r == '"' || r == '\\' { // -1 is no escape
		return 0, 0
	}
	return r, 6
}

// hexEscape returns the code unit of an escape, or -1. JSON requires four
// digits after \u.
func hexEscape(document []byte) rune {
	digits, ok := bytes.CutPrefix(document, []byte(`\u`))
	if !ok {
		return -1
	}
	n, _ := strconv.ParseUint(string(digits[:4]), 16, 16)
	return rune(n)
}
