package cdevents

import (
	"net/url"
	"strings"
)

const upperHex = "0123456789ABCDEF"

// appendPercent appends s to out. It percent-encodes each byte that keep
// rejects, in upper-case hex.
func appendPercent(out []byte, s string, keep func(c byte) bool) []byte {
	for i := range len(s) {
		if c := s[i]; keep(c) {
			out = append(out, c)
		} else {
			out = append(out, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return out
}

// unpercent undoes one round of percent-encoding. A "%" without two hexadecimal
// digits after it is an error.
func unpercent(s string) (string, bool) {
	decoded, err := url.PathUnescape(s)
	return decoded, err == nil
}

// isURIChar reports whether RFC 3986 allows c in a URI. It returns false for
// "%".
func isURIChar(c byte) bool {
	return isAlnum(c) || strings.IndexByte("-._~:/?#[]@!$&'()*+,;=", c) >= 0
}

// isURIReference reports whether s is a URI-reference by RFC 3986. It is
// stricter than url.Parse, which also accepts spaces and "ü".
func isURIReference(s string) bool {
	for i := range len(s) {
		if !isURIChar(s[i]) && s[i] != '%' {
			return false
		}
	}
	if _, ok := unpercent(s); !ok {
		return false
	}
	_, err := url.Parse(s)
	return err == nil
}

// toURI converts a link as people write it, with characters such as "ü" and
// "|", to a URI. It returns "" if that is impossible.
func toURI(s string) string {
	encoded := string(appendPercent(nil, s, func(c byte) bool { return isURIChar(c) || c == '%' }))
	if !isURIReference(encoded) {
		return ""
	}
	return encoded
}

// A purl holds the parts of a package URL that this package needs.
type purl struct{ kind, version string }

// newPurl returns pkg:generic/<name>@<version>. The package URL specification
// keeps letters, digits, ".", "-", "_", "~" and ":" and percent-encodes the
// rest. That includes a "/" in a name, which would begin another segment.
func newPurl(name, version string) string {
	keep := func(c byte) bool { return isAlnum(c) || strings.IndexByte(".-_~:", c) >= 0 }
	out := appendPercent([]byte("pkg:generic/"), name, keep)
	out = append(out, '@')
	return string(appendPercent(out, version, keep))
}

// parsePurl reads scheme:type/namespace/name@version?qualifiers#subpath from
// the right, as the specification requires.
func parsePurl(s string) (p purl, ok bool) {
	if !isClean(s) || strings.Contains(s, " ") {
		return purl{}, false
	}
	s, _, _ = strings.Cut(s, "#")
	s, _, _ = strings.Cut(s, "?")
	scheme, rest, _ := strings.Cut(s, ":")
	if !strings.EqualFold(scheme, "pkg") {
		return purl{}, false
	}
	kind, rest, _ := strings.Cut(strings.TrimLeft(rest, "/"), "/")
	if !isPurlType(kind) {
		return purl{}, false
	}
	// The version begins at the last "@" of the name. An "@" before a "/"
	// belongs to a namespace, as in npm packages.
	name := rest[strings.LastIndexByte(rest, '/')+1:]
	if mark := strings.LastIndexByte(name, '@'); mark >= 0 {
		if p.version, ok = unpercent(name[mark+1:]); !ok || !isClean(p.version) {
			return purl{}, false
		}
		name = name[:mark]
	}
	p.kind = strings.ToLower(kind)
	return p, name != ""
}

func isPurlType(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && strings.IndexByte(".+-", s[i]) < 0 {
			return false
		}
	}
	return s != "" && (s[0] < '0' || s[0] > '9')
}

// commit returns the version if it is a commit, and "" for a tag, a date or the
// digest of an image. The package must be of a kind whose versions are commits.
// The version must have 40 hexadecimal digits, or be an abbreviation of at
// least seven digits that are not all decimal.
func (p purl) commit() string {
	switch p.kind {
	case "generic", "github", "gitlab", "bitbucket":
	default:
		return ""
	}
	v := p.version
	if len(v) < 7 || len(v) > 40 || strings.Trim(v, "0123456789abcdefABCDEF") != "" || strings.Trim(v, "0") == "" {
		return ""
	}
	if len(v) < 40 && isDigits(v) {
		return ""
	}
	return v
}
