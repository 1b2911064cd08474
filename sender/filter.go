package sender

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/deployhook/deployhook/payload"
)

// maxPattern is the longest pattern in bytes: as long as the longest event
// type.
const maxPattern = 128

// Filter says which types of event an endpoint gets. The zero Filter takes all.
// A Filter is immutable and safe for concurrent use.
type Filter struct {
	patterns []string
}

// ParseFilter checks patterns and returns their filter. An event passes if any
// of them matches. A pattern is
//
//   - "*", for every event
//   - a family such as "deploy.*", for every event whose type begins with
//     "deploy.", at any depth
//   - an exact type such as "deploy.failed", which is two or more words of a-z,
//     0-9 and "_", joined by dots
//
// No pattern at all means every event. An error names the pattern and lists the
// types that there are.
//
// A filter that never matches goes unnoticed until an event is missed.
// ParseFilter therefore refuses such patterns, by a rule that depends on
// declared:
//
//   - Without declared types, a pattern is refused if it matches no type of
//     package payload although it is in one of their families
//     ("deploy.success", "deploy.*.x"), or its first word looks like one
//     ("deply.*", "deployments.*").
//   - With declared types, each pattern must match one of them. They replace
//     those of package payload, so declare all that are sent.
func ParseFilter(patterns []string, declared ...payload.Type) (Filter, error) {
	for _, p := range patterns {
		if err := checkPattern(p); err != nil {
			return Filter{}, err
		}
		if err := checkKnown(p, declared); err != nil {
			return Filter{}, err
		}
	}
	return Filter{slices.Clone(patterns)}, nil
}

// Accepts reports whether the filter takes events of type t.
func (f Filter) Accepts(t payload.Type) bool { return Endpoint{Events: f.patterns}.Accepts(t) }

// Patterns returns a copy of what the filter was made from.
func (f Filter) Patterns() []string { return slices.Clone(f.patterns) }

// matches reports whether pattern takes the type t. It never reports true for a
// malformed pattern.
func matches(pattern, t string) bool {
	if pattern == "*" {
		return true
	}
	if family, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasSuffix(family, ".") && len(t) > len(family) && strings.HasPrefix(t, family) &&
			checkPattern(pattern) == nil
	}
	return pattern == t && checkPattern(pattern) == nil
}

// checkPattern checks a pattern's form.
func checkPattern(p string) error {
	if p == "*" {
		return nil
	}
	if len(p) > maxPattern {
		return fmt.Errorf("a pattern is longer than %d bytes", maxPattern)
	}
	words, family := strings.CutSuffix(p, ".*")
	if !wellFormed(words) {
		return fmt.Errorf("pattern %q: want *, a family such as deploy.* or an exact type such as deploy.failed "+
			"(lower-case words of a-z, 0-9 and _, joined by dots)", p)
	}
	if !family && !strings.Contains(words, ".") {
		return fmt.Errorf("pattern %q can't match: a type has at least two words; did you mean %q?", p, p+".*")
	}
	return nil
}

// wellFormed reports whether s is words joined by dots.
func wellFormed(s string) bool {
	start := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.':
			if i == start {
				return false
			}
			start = i + 1
		case !isWordByte(c):
			return false
		}
	}
	return start < len(s)
}

// knownTypes are the types that have a meaning here.
func knownTypes() []payload.Type {
	return []payload.Type{
		payload.DeployStarted, payload.BuildCompleted, payload.HealthCheckPassed,
		payload.DeployLive, payload.DeployFailed, payload.DeployRolledBack,
	}
}

// checkKnown refuses a well-formed pattern that can't match, see [ParseFilter].
func checkKnown(p string, declared []payload.Type) error {
	types := declared
	if len(types) == 0 {
		types = knownTypes()
	}
	if slices.ContainsFunc(types, func(t payload.Type) bool { return p == "*" || matches(p, string(t)) }) {
		return nil
	}
	if len(declared) == 0 && !isOurs(p) {
		return nil
	}
	list := make([]string, len(types))
	for i, t := range types {
		list[i] = string(t)
	}
	meant := ""
	if guess := closest(p, types); guess != "" {
		meant = fmt.Sprintf("; did you mean %q?", guess)
	}
	hint := ""
	if len(declared) == 0 {
		hint = " (a type of your own that is spelled like this must be declared with WithEventTypes)"
	}
	return fmt.Errorf("pattern %q matches no known type%s The types are %s%s",
		p, cmp.Or(meant, "."), strings.Join(list, ", "), hint)
}

// isOurs reports whether the first word of a pattern is, or resembles, that of
// a type of package payload.
func isOurs(p string) bool {
	first, _, _ := strings.Cut(p, ".")
	return slices.ContainsFunc(knownTypes(), func(t payload.Type) bool {
		family, _, _ := strings.Cut(string(t), ".")
		return first == family || oneSlip(first, family)
	}) || first == "deployment" || first == "deployments"
}

// closest returns the type or family that p is one typing mistake away from, or
// "".
func closest(p string, types []payload.Type) string {
	words, family := strings.CutSuffix(p, ".*")
	for _, t := range types {
		meant := string(t)
		if family {
			meant, _, _ = strings.Cut(meant, ".")
		}
		if oneSlip(words, meant) && family {
			return meant + ".*"
		}
		if oneSlip(words, meant) {
			return meant
		}
	}
	return ""
}

// oneSlip reports whether a and b differ by one missing, added or wrong letter,
// or by two swapped letters.
func oneSlip(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	switch len(b) - len(a) {
	case 0:
		return i < len(a) && (a[i+1:] == b[i+1:] ||
			i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:])
	case 1:
		return a[i:] == b[i+1:]
	}
	return false
}

// checkOwnTypes checks what WithEventTypes was given.
func checkOwnTypes(types []payload.Type) error {
	for _, t := range types {
		if len(t) > maxPattern || !wellFormed(string(t)) || !strings.Contains(string(t), ".") {
			return fmt.Errorf("%q is not an event type: want lower-case words joined by dots", string(t))
		}
	}
	if len(types) == 0 {
		return errors.New("names no type; leave it out")
	}
	return nil
}
