// Package redact removes credentials from texts of other authors, such as
// commit messages, links, variables of CI systems and answers of servers.
//
//	redact.Text("see https://ci:secret@git.example.com/shop?token=secret")
//	// see https://git.example.com/shop
//
// It removes two things from every URL in a text:
//
//   - the user name and the password,
//   - parameters whose name suggests a credential, such as token or password.
//
// It finds URLs inside URLs, percent-encoded at any depth, and with slashes
// that JSON escaped. It also removes the user and password of
// user:password@host, which git and docker accept without a scheme. When it is
// unsure where a password ends, it removes more rather than less.
package redact

import (
	"net/url"
	"regexp"
	"strings"
)

// The parts of a URL, unencoded and percent-encoded at any depth.
const (
	colon = `(?::|%(?:25)*3[aA])`
	slash = `(?:\\*/|%(?:25)*2[fF])`
	at    = `(?:@|%(?:25)*40)`
)

var (
	// separator is the "://" of a URL.
	separator = regexp.MustCompile(colon + slash + slash)
	// userEnd is the end of user name and password.
	userEnd = regexp.MustCompile(at)
	// hostEnd is the end of the host.
	hostEnd = regexp.MustCompile(`[?#]|%(?:25)*(?:3[fF]|23)|` + slash)
	// address begins an IPv6 address, which contains colons.
	address = regexp.MustCompile(`^(?:\[|%(?:25)*5[bB])`)
	// named is the beginning of a parameter, up to its value.
	named = regexp.MustCompile(`([?&#;]|%(?:25)*(?:3[fF]|26|23|3[bB]))` +
		`((?:[A-Za-z0-9_.\-\[\]]|%[0-9A-Fa-f]{2}|%(?:25)+[0-9A-Fa-f]{2})+?)` +
		`(?:=|%(?:25)*3[dD])`)
	// login is user:password@, without a scheme in front.
	login = regexp.MustCompile("[^\\s\"'<>()\\[\\]{}|`,;:@/\\\\]+:[^\\s\"<>`/]+@")
)

// Text returns s without the credentials of the URLs in it.
func Text(s string) string {
	if !strings.ContainsAny(s, "@%=") {
		return s
	}
	if separator.MatchString(s) {
		s = withoutUsers(s)
		s = withoutParameters(s)
	}
	return withoutLogins(s)
}

// withoutUsers removes user name and password from every URL.
func withoutUsers(s string) string {
	var b strings.Builder
	for {
		found := separator.FindStringIndex(s)
		if found == nil {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:found[1]])
		s = s[found[1]:]
		s = s[userLength(s):]
	}
}

// userLength returns the length of user name, password and "@" at the beginning
// of the text after "://", and 0 if there is no user name.
func userLength(s string) int {
	region := s
	// The next separator comes first. Otherwise a text of many URLs without a blank
	// would be read to its end for each of them.
	if next := separator.FindStringIndex(region); next != nil {
		region = region[:next[0]]
	}
	if end := strings.IndexFunc(region, endsURL); end >= 0 {
		region = region[:end]
	}
	authority := region
	if end := hostEnd.FindStringIndex(region); end != nil {
		authority = region[:end[0]]
	}
	if users := userEnd.FindAllStringIndex(authority, -1); users != nil {
		return users[len(users)-1][1]
	}
	// A token may contain an unescaped slash. The authority then seems to end
	// early, with a port that is not a number.
	if _, port, ok := cutColon(authority); ok && !address.MatchString(authority) && strings.Trim(port, "0123456789") != "" {
		if users := userEnd.FindAllStringIndex(region, -1); users != nil {
			return users[len(users)-1][1]
		}
	}
	return 0
}

var anyColon = regexp.MustCompile(colon)

func cutColon(s string) (before, after string, found bool) {
	i := anyColon.FindStringIndex(s)
	if i == nil {
		return s, "", false
	}
	return s[:i[0]], s[i[1]:], true
}

// endsURL reports whether r certainly ends a URL in running text. Commas and
// semicolons do not, because passwords may contain them.
func endsURL(r rune) bool {
	return r <= ' ' || r == 0x7f || r == 0x85 || r == 0xa0 || r >= 0x2000 && r <= 0x200a || r == 0x2028 || r == 0x2029 ||
		strings.ContainsRune("\"<>`", r)
}

// withoutParameters removes the parameters that hold a credential. A value ends
// at the end of a query's value, or of a URL in running text.
func withoutParameters(s string) string {
	var b strings.Builder
	// asks is true if a parameter was removed together with its question mark. The
	// "&" in front of the next one, where s begins, then becomes the question mark.
	asks := false
	write := func(text string) {
		if asks && text != "" {
			b.WriteByte('?')
			text, asks = text[1:], false
		}
		b.WriteString(text)
	}
	for {
		m := named.FindStringSubmatchIndex(s)
		if m == nil {
			write(s)
			return b.String()
		}
		start, end, mark, name := m[0], m[1], s[m[2]:m[3]], s[m[4]:m[5]]
		if !IsCredential(name) {
			write(s[:end]) // its value may be a URL
			s = s[end:]
			continue
		}
		first := mark == "?" || asks && start == 0
		write(s[:start])
		s = s[end:]
		if end = strings.IndexFunc(s, endsValue); end < 0 {
			return b.String()
		}
		s = s[end:]
		asks = first && s[0] == '&'
	}
}

func endsValue(r rune) bool { return r == '&' || r == '#' || r == ';' || endsURL(r) }

// withoutLogins removes user:password@ without a scheme in front. A password
// may be any text, so it also removes words such as 10:30@office. It leaves a
// text alone only if there is nothing between the colon and the @.
func withoutLogins(s string) string {
	if !strings.Contains(s, "@") {
		return s
	}
	return login.ReplaceAllString(s, "")
}

// IsCredential reports whether the name of a parameter suggests a credential.
// The name may be percent-encoded.
func IsCredential(name string) bool {
	for range 4 {
		decoded, err := url.PathUnescape(name)
		if err != nil || decoded == name {
			break
		}
		name = decoded
	}
	name = strings.ToLower(name)
	for _, word := range []string{"token", "secret", "passw", "passphrase", "pwd", "key", "sig", "auth", "jwt", "credential"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return name == "pw" || strings.HasSuffix(name, "pass") || strings.HasPrefix(name, "pass")
}
