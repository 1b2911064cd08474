package payload

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// The maximum lengths of strings, in characters, as JSON Schema counts them.
// They keep values small enough for database columns, log lines and headers,
// and far exceed what CI systems send. Texts for people (commit message, error,
// reason) have no limit.
const (
	maxID   = 255
	maxName = 1024
	maxURL  = 8192
)

// maxNumber is the upper limit for durations, sizes and counts. It is the
// largest integer that every JSON reader keeps exact.
const maxNumber = 1<<53 - 1

// Messages that several fields share.
const (
	isRequired     = "is required"
	validUTF8      = "must be valid UTF-8"
	validDate      = "must be a valid ISO 8601 date"
	dateRange      = "must be a date in the years 1970 to 9999"
	validURL       = "must be an absolute http or https URL of at most 8192 characters"
	noControl      = "must not contain control characters"
	numberRange    = "must be a number from 0 to 9007199254740991"
	statusCodeRule = "must be an integer from 0 to 999"
	attemptsRule   = "must be an integer from 0 to 2147483647"
	statusMessage  = "must be one of: pending, in_progress, success, failure, cancelled, rolled_back"
	terminalNeeds  = "is required when status is a terminal state (success, failure, cancelled, rolled_back)"
	hexMessage     = "must be a valid hex string (5-40 characters)"
	hexMessageLong = "must be a valid hex string (5-64 characters)"
	digestMessage  = "must be a digest such as sha256:… (at most 255 characters)"
	tooManyCommits = "must have at most 100 elements"
	visibleASCII   = "must be 1-255 visible ASCII characters"
	dottedWords    = "must be dotted lower-case words such as deploy.live (at most 128 characters)"
	hasField       = "must be set through its field, not through Extra"
)

// require records a failure if the string is empty.
func (f *failures) require(path, s string) {
	if s == "" {
		f.add(path, isRequired)
	}
}

// text checks an optional string without a maximum length.
func (f *failures) text(path, s string) {
	if !utf8.ValidString(s) {
		f.add(path, validUTF8)
	}
}

// short checks an optional string of at most limit characters.
func (f *failures) short(path, s string, limit int) {
	f.text(path, s)
	if tooLong(s, limit) {
		f.add(path, atMost(limit))
	}
}

func tooLong(s string, limit int) bool {
	return len(s) > limit && utf8.RuneCountInString(s) > limit
}

func atMost(limit int) string { return fmt.Sprintf("must be at most %d characters", limit) }

// id checks the ID of a deployment, which is required.
func (f *failures) id(path, s string) {
	f.require(path, s)
	f.short(path, s, maxID)
	if strings.ContainsFunc(s, isControl) {
		f.add(path, noControl)
	}
}

// isControl reports whether r is an ASCII control character. IDs must not
// contain them, because a line break would forge a log line and PostgreSQL
// refuses to store NUL.
func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// url checks an optional link. People click links, so javascript: and other
// schemes are refused.
func (f *failures) url(path, s string) {
	if s == "" {
		return
	}
	f.text(path, s)
	if _, ok := CleanURL(s); !ok {
		f.add(path, validURL)
	}
}

// date checks a date that was decoded or that the program set.
func (f *failures) date(path string, t time.Time) {
	if !t.IsZero() && !inRange(t) {
		f.add(path, dateRange)
	}
}

// measure checks an optional number.
func (f *failures) measure(path string, n *float64) {
	if n != nil && !(*n >= 0 && *n <= maxNumber) {
		// The negation also catches NaN.
		f.add(path, numberRange)
	}
}

// extra checks that no member of extra has the name of a field, because the
// encoded document would contain it twice.
func (f *failures) extra(parent string, extra Object, known func(name string) bool) {
	for name := range extra.All() {
		if known(name) {
			f.add(join(parent, name), hasField)
		}
	}
}

// isHex reports whether s consists of 5 to limit hexadecimal digits.
func isHex(s string, limit int) bool {
	if len(s) < 5 || len(s) > limit {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
			return false
		}
	}
	return true
}

// isVisibleASCII reports whether s consists of 1 to 255 characters from "!" to
// "~".
func isVisibleASCII(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != "" && len(s) <= maxID
}
