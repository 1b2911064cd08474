package ci

import (
	"strings"

	"github.com/deployhook/deployhook/internal/redact"
)

// The columns of the table are expressions, close to how the documentation of CI systems writes them:
//
//	$NAME             the environment variable; ${odd.name} for one that is not just letters, digits and _
//	@path             a value from the file that the system points to: see the row's column read
//	text              itself
//	[...]             left out unless all variables in it are there
//	A -> B            A; B if a variable in A is not there, or A comes out empty
//	$NAME{CASE ...}   the first case that fits; not there if none does. A CASE is separated by a space and is
//	    main          the value must be "main"
//	    refs/heads/*  must begin so, and what * stands for becomes the value; a second * takes the rest
//	    1=success     must be "1", and becomes "success"
//	    merge=!       must be "merge", and then counts as not there
//	    branch=       must be "branch", and becomes nothing: a condition for what follows
//
// A variable that is empty is not there.

// eval returns the value of an expression, and the last variable that it came from.
func (s *scan) eval(expr string) (text, from string) { return s.choose(expr, false) }

// evalURL is eval with the values escaped, except one at the beginning, which is a URL itself.
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

// term evaluates an expression without "->"; ok is false if a variable in it is not there.
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
				value = escapeURL(redact.Text(value)) // before @ and : are escaped and the rest of it looks like a path
			}
			i += n
			if escape && i < len(term) && term[i] == '/' {
				value = strings.TrimSuffix(value, "/") // servers' addresses are given with and without it
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

// reference returns the length of the reference to a variable that ref begins with.
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

// match reports whether value fits the pattern, and returns what the first * stands for; without *, the value.
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

// present returns the value of a variable without the white space around it. A
// reference that the system did not resolve, such as Azure's $(Build.Reason), is
// nothing. A UUID loses the braces that Bitbucket writes.
//
// Only a value that is nothing but a name or a UUID is treated like that. All else
// may be text that a person wrote, such as "{api} rename {id}".
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

// enclosed reports whether value is prefix, at least one of the bytes that allowed
// reports, and suffix.
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
