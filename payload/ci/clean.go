package ci

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/deployhook/deployhook/internal/redact"
	"github.com/deployhook/deployhook/payload"
)

// The maximum lengths of [payload.Deployment], and one for texts that have no
// limit there.
const (
	maxID   = 255
	maxName = 1024
	maxURL  = 8192
	maxText = 4096
)

// isCommit reports whether s is a commit hash of 7 to 40 SHA-1 digits or all 64
// SHA-256 digits.
func isCommit(s string) bool {
	if len(s) < 7 || len(s) > 40 && len(s) != 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return false
		}
	}
	return !isZeros(s)
}

// isZeros reports whether s is all zeros, which some systems write for "no
// commit".
func isZeros(s string) bool { return s != "" && strings.Trim(s, "0") == "" }

// line returns s as one clean line. If that is not possible, reason says why.
func line(s string) (text, reason string) {
	s = redact.Text(strings.ToValidUTF8(s, string(utf8.RuneError)))
	switch {
	case strings.ContainsFunc(s, unicode.IsControl):
		return "", "has a control character"
	case len(s) > maxName && utf8.RuneCountInString(s) > maxName:
		return "", "is longer than 1024 characters"
	default:
		return s, ""
	}
}

// text returns s without control characters. The text may have several lines
// and is cut to the maximum length.
func text(s string) string {
	s = redact.Text(strings.ToValidUTF8(s, string(utf8.RuneError)))
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return strings.TrimSpace(s)
}

// link returns s, which is known to be a link to a web page, as a clean URL. A
// reason with a URL says what was removed from it. A reason without a URL says
// why s is unusable.
func link(s string) (url, reason string) {
	anonymous := redact.Text(s)
	url, ok := payload.CleanURL(anonymous)
	switch {
	case len(s) > maxURL:
		return "", "is longer than 8192 characters"
	case !ok || !utf8.ValidString(s):
		return "", "is not an absolute http or https URL"
	case anonymous != s:
		return url, "had credentials, which were left out"
	default:
		return url, ""
	}
}

// escapeURL escapes bytes that are not allowed in a path or a query. It keeps
// slashes, because owner/name is two segments.
func escapeURL(s string) string { return escape(s, "-._~/") }

// escape percent-encodes all bytes except letters, digits and those in keep.
func escape(s, keep string) string {
	const digits = "0123456789ABCDEF"
	plain := 0
	for plain < len(s) && isPlain(s[plain], keep) {
		plain++
	}
	if plain == len(s) {
		return s
	}
	out := append(make([]byte, 0, len(s)+16), s[:plain]...)
	for i := plain; i < len(s); i++ {
		if c := s[i]; isPlain(c, keep) {
			out = append(out, c)
		} else {
			out = append(out, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(out)
}

func isPlain(c byte, keep string) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(keep, c) >= 0
}

// repositoryPath returns a path such as "acme/shop" for a repository. The input
// may be a path, a URL, git's host:path form, a Windows path, or AWS
// CodeCommit's form without a host. The result has no user name, password or
// host.
func repositoryPath(s string) string {
	scheme, rest, isURL := strings.Cut(s, "://")
	if !isURL {
		rest = strings.ReplaceAll(s, `\`, "/")
	}
	rest = rest[strings.LastIndexByte(rest, '@')+1:]
	rest, _, _ = strings.Cut(rest, "?")
	rest, _, _ = strings.Cut(rest, "#")
	switch {
	case strings.HasPrefix(scheme, "codecommit:") || scheme == "codecommit":
	case isURL:
		_, rest, _ = strings.Cut(rest, "/")
		rest = withoutDrive(rest)
	case len(rest) > 2 && rest[1] == ':' && rest[2] == '/':
		rest = withoutDrive(rest)
	default:
		if _, path, ok := strings.Cut(rest, ":"); ok {
			rest = path
		}
	}
	return strings.TrimSuffix(strings.Trim(rest, "/"), ".git")
}

// withoutDrive removes the drive letter from a Windows path such as C:\work.
func withoutDrive(path string) string {
	if len(path) > 2 && path[1] == ':' && path[2] == '/' {
		return path[2:]
	}
	return path
}

// personName returns the name from "Ann <ann@example.com>", the form in which
// git and GitLab write an author. It returns any other text unchanged.
func personName(s string) string {
	name, address, ok := strings.Cut(s, "<")
	if ok && strings.HasSuffix(address, ">") {
		return strings.TrimSpace(name)
	}
	return s
}

// lastSegment returns the text after the last slash.
func lastSegment(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
