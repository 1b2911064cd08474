package cdevents

import (
	"strings"
	"unicode/utf8"
)

// encodeHeader encodes an attribute as an HTTP header value. It percent-encodes
// space, double quote, percent and everything outside U+0021 to U+007E as UTF-8
// (HTTP protocol binding 1.0.2, section 3.1.3.2).
func encodeHeader(value string) string {
	keep := func(c byte) bool { return c > ' ' && c < 0x7f && c != '"' && c != '%' }
	for i := range len(value) {
		if !keep(value[i]) {
			return string(appendPercent(nil, value, keep))
		}
	}
	return value
}

// decodeHeader reverses encodeHeader. It first removes quotes and their
// escapes, which senders of older versions use. Then it undoes exactly one
// round of percent-encoding. Like the binding, it refuses invalid UTF-8 and
// anything but printable ASCII.
func decodeHeader(value string) (string, bool) {
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			return "", false
		}
	}
	if strings.HasPrefix(value, `"`) {
		var ok bool
		if value, ok = unquoteHeader(value); !ok {
			return "", false
		}
	}
	decoded, ok := unpercent(value)
	return decoded, ok && utf8.ValidString(decoded)
}

// unquoteHeader reads a quoted-string (RFC 7230, section 3.2.6) that must be
// the whole value.
func unquoteHeader(value string) (string, bool) {
	var out strings.Builder
	for i := 1; i < len(value); i++ {
		switch value[i] {
		case '"':
			return out.String(), i == len(value)-1
		case '\\':
			if i++; i == len(value) {
				return "", false
			}
		}
		out.WriteByte(value[i])
	}
	return "", false
}
