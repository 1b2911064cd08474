package ci

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/deployhook/deployhook/payload"
)

// The bounds of [payload.Deployment], and one for texts that have none there.
const (
	maxID   = 255
	maxName = 1024
	maxURL  = 8192
	maxText = 4096
)

// isCommit reports whether s is a commit's hash: 7 to 40 digits of SHA-1, or all 64 of SHA-256.
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

// isZeros reports whether s is what systems write for "no commit".
func isZeros(s string) bool { return s != "" && strings.Trim(s, "0") == "" }

// line makes one clean line of s; reason is why that is not possible, or "".
func line(s string) (text, reason string) {
	s = scrub(strings.ToValidUTF8(s, string(utf8.RuneError)))
	switch {
	case strings.ContainsFunc(s, unicode.IsControl):
		return "", "has a control character"
	case len(s) > maxName && utf8.RuneCountInString(s) > maxName:
		return "", "is longer than 1024 characters"
	default:
		return s, ""
	}
}

// text makes clean text of s, which may have several lines, and cuts it to a bearable length.
func text(s string) string {
	s = scrub(strings.ToValidUTF8(s, string(utf8.RuneError)))
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return strings.TrimSpace(s)
}

// scrub takes credentials out of every URL in s: https://user:token@host, and user:token@host:path.
func scrub(s string) string {
	if !strings.Contains(s, "@") {
		return s
	}
	var b strings.Builder
	for s != "" {
		n := strings.IndexFunc(s, endsWord)
		if n < 0 {
			n = len(s)
		}
		b.WriteString(scrubWord(s[:n]))
		s = s[n:]
		_, size := utf8.DecodeRuneInString(s)
		b.WriteString(s[:size])
		s = s[size:]
	}
	return b.String()
}

// endsWord reports what ends a URL in running text.
func endsWord(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune("\"<>`|\\^,;", r)
}

func scrubWord(word string) string {
	if i := strings.Index(word, "://"); i >= 0 {
		return word[:i+3] + withoutUserinfo(word[i+3:])
	}
	if colon := strings.IndexByte(word, ':'); colon >= 0 {
		if at := strings.LastIndexByte(word, '@'); at > colon {
			return word[at+1:]
		}
	}
	return word
}

// withoutUserinfo takes the user name and password from what follows "://". Tokens may have a slash, and not
// everybody escapes it: then the authority seems to end early, with a port that is no number.
func withoutUserinfo(rest string) string {
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	if at := strings.LastIndexByte(rest[:end], '@'); at >= 0 {
		return rest[at+1:]
	}
	if _, port, ok := strings.Cut(rest[:end], ":"); ok && strings.Trim(port, "0123456789") != "" {
		return rest[strings.LastIndexByte(rest, '@')+1:]
	}
	return rest
}

// link makes a clean URL of s, which is known to be a link to a web page. A reason with a URL says what was taken out
// of it, one without why there is none.
func link(s string) (url, reason string) {
	scheme, rest, _ := strings.Cut(s, "://")
	anonymous := withoutCredentials(withoutUserinfo(rest))
	url, ok := payload.CleanURL(scheme + "://" + anonymous)
	switch {
	case len(s) > maxURL:
		return "", "is longer than 8192 characters"
	case !ok || !utf8.ValidString(s):
		return "", "is not an absolute http or https URL"
	case anonymous != rest:
		return url, "had credentials, which were left out"
	default:
		return url, ""
	}
}

// withoutCredentials takes the parameters out of a URL that look as if they let somebody in.
func withoutCredentials(url string) string {
	start := strings.IndexAny(url, "?#")
	if start < 0 {
		return url
	}
	kept := url[:start]
	for rest := url[start:]; rest != ""; {
		end := strings.IndexAny(rest[1:], "?&#;") + 1
		if end == 0 {
			end = len(rest)
		}
		if name, _, _ := strings.Cut(rest[1:end], "="); !isCredential(name) {
			kept += rest[:end]
		}
		rest = rest[end:]
	}
	if len(kept) > start && kept[start] == '&' {
		kept = kept[:start] + "?" + kept[start+1:]
	}
	return kept
}

func isCredential(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"token", "secret", "passw", "pwd", "key", "sig", "auth", "jwt", "credential"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// escapeURL escapes what cannot stand for itself in a path or a query. Slashes stay: owner/name is two segments.
func escapeURL(s string) string { return escape(s, "-._~/") }

// escape writes all bytes but letters, digits and those in keep as % and two hexadecimal digits.
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

// repositoryPath makes "acme/shop" of what systems say of a repository: its path, a URL, or git's host:path. User name,
// password and host are left out.
func repositoryPath(s string) string {
	_, rest, isURL := strings.Cut(s, "://")
	if !isURL {
		rest = s
	}
	rest = rest[strings.LastIndexByte(rest, '@')+1:]
	rest, _, _ = strings.Cut(rest, "?")
	rest, _, _ = strings.Cut(rest, "#")
	if isURL {
		_, rest, _ = strings.Cut(rest, "/")
	} else if _, path, ok := strings.Cut(rest, ":"); ok {
		rest = path
	}
	return strings.TrimSuffix(strings.Trim(rest, "/"), ".git")
}

// lastSegment returns what follows the last slash.
func lastSegment(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
