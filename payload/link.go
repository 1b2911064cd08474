package payload

import (
	"strings"
	"unicode/utf8"
)

// CleanURL returns s as a link that a person can follow, and reports whether s
// can be one. It applies to the members that hold a link: pipelineUrl of a
// [Deployment] and url of an [Event].
//
// A link uses http or https and has a host. CleanURL repairs s as a browser
// would:
//
//   - It removes tabs and line breaks, and white space around the link.
//   - It removes the user name and password, because links are passed on to
//     others.
//   - It percent-encodes blanks and all other characters that RFC 3986 does not
//     allow after the host.
//
// A link has at most 8192 characters. CleanURL(CleanURL(s)) is CleanURL(s).
func CleanURL(s string) (link string, ok bool) {
	if isPlainURL(s) {
		return s, true
	}
	if strings.ContainsFunc(s, isControlOrSpace) { // rare, and slow to repair
		s = strings.NewReplacer("\t", "", "\r", "", "\n", "").Replace(s)
		s = strings.TrimFunc(s, isControlOrSpace)
	}
	scheme, rest, found := strings.Cut(s, "://")
	if !found || !isWebScheme(scheme) {
		return "", false
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host := rest[strings.LastIndexByte(rest[:end], '@')+1 : end]
	// Browsers read a backslash as a slash. Other readers do not, so the two
	// would see different hosts in https://one.example\@two.example.
	if strings.IndexByte(rest[:end], '\\') >= 0 || !isHost(host) {
		return "", false
	}
	if tail := escapeTail(rest[end:]); len(host) != end || len(tail) != len(rest)-end {
		s = scheme + "://" + host + tail
	}
	if len(s) > maxURL && utf8.RuneCountInString(s) > maxURL {
		return "", false
	}
	return s, true
}

// isPlainURL recognizes the links that nearly all senders send, with one look
// at each byte. It may return false for a clean link.
func isPlainURL(s string) bool {
	rest, ok := strings.CutPrefix(s, "https://")
	if !ok || len(s) > maxURL {
		return false
	}
	end := 0
	for end < len(rest) && (rest[end] == '.' || rest[end] == '-' || isAlnum(rest[end])) {
		end++
	}
	if end == 0 || end < len(rest) && rest[end] != '/' {
		return false
	}
	for i := end; i < len(rest); i++ {
		if !isURLByte(rest[i]) {
			return false
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// isControlOrSpace reports whether browsers remove r at both ends of a link.
func isControlOrSpace(r rune) bool { return r <= ' ' }

// isWebScheme lowers the case before it compares. strings.EqualFold would also
// accept "httpſ", because Unicode folds the long s to s.
func isWebScheme(scheme string) bool {
	scheme = strings.ToLower(scheme)
	return scheme == "http" || scheme == "https"
}

// isHost reports whether s is a host with an optional port.
func isHost(s string) bool {
	name, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		name, port = s[:i], s[i+1:]
	}
	if strings.Trim(port, "0123456789") != "" || len(port) > 5 {
		return false
	}
	if inner, ok := strings.CutPrefix(name, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		return ok && inner != "" && strings.Trim(inner, "0123456789abcdefABCDEF:.") == ""
	}
	for i := range len(name) {
		switch c := name[i]; c {
		case '[', ']', ':', '%':
			return false
		default:
			if c < 0x80 && !isURLByte(c) {
				return false
			}
		}
	}
	return name != "" && utf8.ValidString(name)
}

// escapeTail percent-encodes the bytes of path, query and fragment that RFC
// 3986 does not allow. It leaves percent signs unchanged, as browsers do.
func escapeTail(s string) string {
	const digits = "0123456789ABCDEF"
	bad := 0
	for i := range len(s) {
		if !isURLByte(s[i]) {
			bad++
		}
	}
	if bad == 0 {
		return s
	}
	out := make([]byte, 0, len(s)+2*bad)
	for i := range len(s) {
		if c := s[i]; isURLByte(c) {
			out = append(out, c)
		} else {
			out = append(out, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(out)
}

// isURLByte reports whether c may appear unescaped after the host. RFC 3986
// does not allow square brackets in paths and queries, but every browser sends
// them unescaped.
func isURLByte(c byte) bool {
	switch c {
	case '"', '<', '>', '\\', '^', '{', '|', '}', '`':
		return false
	default:
		return c > ' ' && c < 0x7f
	}
}
