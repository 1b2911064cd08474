package ci

import (
	"strings"

	"github.com/deployhook/deployhook/internal/redact"
)

// The columns of the table are expressions, similar to the notation in the
// documentation of CI systems:
//
//	$NAME         the environment variable; ${odd.name} for a name with
//	              characters other than letters, digits and _
//	@path         a value from the file that the system points to, see the
//	              row's column read
//	text          itself
//	[...]         left out unless all variables in it are set
//	A -> B        A; or B if a variable in A is not set or A comes out empty
//	$NAME{CASE …} the first case that matches; not set if none does
//
// A CASE is separated by a space and has one of these forms:
//
//	main          the value must be "main"
//	refs/heads/*  the value must begin so, and the part that * stands for
//	              becomes the value; a second * takes the rest
//	1=success     the value must be "1", and becomes "success"
//	merge=!       the value must be "merge", and then counts as not set
//	branch=       the value must be "branch", and becomes empty: a condition
//	              for the text that follows
//
// An empty variable counts as not set.

// eval returns the value of an expression, and the last variable that it used.
func (s *scan) eval(expr string) (text, from string) { return s.choose(expr, false) }

// evalURL is eval with escaped values. It does not escape a value at the
// beginning, which is a URL itself.
func (s *scan) evalURL(expr string) (text, from string) { return s.choose(expr, true) }

func (s *scan) choose(expr string, escape bool) (text, from string) {
	for rest, more := expr, expr != ""; more; {
		var term string
		term, rest, more = strings.Cut(rest, " -> ")
		if text, from, ok := s.term(term, escape); ok && text != "" {
			return text, from
		}
	}
	return "", ""
}

// term evaluates an expression without "->". ok is false if a variable in it is
// not set.
func (s *scan) term(term string, escape bool) (text, from string, ok bool) {
	for i := 0; i < len(term); {
		switch term[i] {
		case '$', '@':
			n := reference(term[i:])
			value, name, found := s.variable(term[i : i+n])
			if !found {
				return "", "", false
			}
			if value != "" {
				from = name
			}
			if escape && i > 0 {
				// Redact credentials before @ and : are escaped, because
				// afterwards the rest looks like a path.
				value = escapeURL(redact.Text(value))
			}
			i += n
			if escape && i < len(term) && term[i] == '/' {
				// server addresses come with and without the slash
				value = strings.TrimSuffix(value, "/")
			}
			text += value
		case '[':
			n := strings.IndexByte(term[i:], ']')
			if optional, _, found := s.term(term[i+1:i+n], escape); found {
				text += optional
			}
			i += n + 1
		default:
			n := strings.IndexAny(term[i:], "$@[")
			if n < 0 {
				n = len(term) - i
			}
			text += term[i : i+n]
			i += n
		}
	}
	return text, from, true
}

// reference returns the length of the variable reference at the start of ref.
func reference(ref string) int {
	n := 1
	if strings.HasPrefix(ref, "${") {
		n = strings.IndexByte(ref, '}') + 1
	} else {
		for n < len(ref) && isNameByte(ref[n], ref[0] == '@') {
			n++
		}
	}
	if n < len(ref) && ref[n] == '{' {
		n += strings.IndexByte(ref[n:], '}') + 1
	}
	return n
}

func isNameByte(c byte, path bool) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || path && c == '.'
}

// variable looks up a reference and applies its cases.
func (s *scan) variable(ref string) (value, name string, ok bool) {
	var cases string
	switch name = ref[1:]; {
	case strings.HasPrefix(name, "{"):
		name, _, _ = strings.Cut(name[1:], "}")
	case strings.HasSuffix(name, "}"):
		name, cases, _ = strings.Cut(name[:len(name)-1], "{")
	}
	if ref[0] == '@' {
		value, name = present(s.file[name]), s.fileVariable
	} else {
		value = present(s.env.Getenv(name))
	}
	if value == "" {
		return "", name, false
	}
	if cases == "" {
		return value, name, true
	}
	value, ok = applyCases(cases, value)
	return value, name, ok
}

func applyCases(cases, value string) (string, bool) {
	for rest, more := cases, true; more; {
		var one string
		one, rest, more = strings.Cut(rest, " ")
		pattern, result, mapped := strings.Cut(one, "=")
		captured, ok := match(pattern, value)
		switch {
		case !ok:
		case !mapped:
			return captured, true
		default:
			return result, result != "!"
		}
	}
	return "", false
}

// match reports whether value matches the pattern. It returns the part that the
// first * stands for, or the value if the pattern has no *.
func match(pattern, value string) (captured string, ok bool) {
	prefix, suffix, star := strings.Cut(pattern, "*")
	if !star {
		return value, value == pattern
	}
	rest, ok := strings.CutPrefix(value, prefix)
	if !ok {
		return "", false
	}
	middle, _, second := strings.Cut(suffix, "*")
	if second {
		captured, _, ok = strings.Cut(rest, middle)
		return captured, ok
	}
	return strings.CutSuffix(rest, suffix)
}

// present returns the value of a variable without surrounding white space. A
// reference that the system did not resolve, such as Azure's $(Build.Reason),
// counts as empty. A UUID loses the braces that Bitbucket adds.
//
// This applies only to values that are nothing but a name or a UUID. Any other
// value may be a text from a person, such as "{api} rename {id}".
func present(value string) string {
	value = strings.TrimSpace(value)
	switch {
	case enclosed(value, "$(", ")", isReferenceByte), enclosed(value, "${", "}", isReferenceByte):
		return ""
	case enclosed(value, "{", "}", isUUIDByte):
		return value[1 : len(value)-1]
	default:
		return value
	}
}

// enclosed reports whether value consists of prefix, one or more bytes that
// allowed accepts, and suffix.
func enclosed(value, prefix, suffix string, allowed func(byte) bool) bool {
	inner, ok := strings.CutPrefix(value, prefix)
	inner, closed := strings.CutSuffix(inner, suffix)
	if !ok || !closed || inner == "" {
		return false
	}
	for i := range len(inner) {
		if !allowed(inner[i]) {
			return false
		}
	}
	return true
}

func isReferenceByte(c byte) bool { return isNameByte(c, true) || c == '-' }

func isUUIDByte(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' || c == '-'
}
