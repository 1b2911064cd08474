package payload

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ErrInvalid is what every error about a document's content wraps: errors.Is(err, ErrInvalid) tells an authentic but
// invalid document, which the peer has to mend, from every other kind of failure.
var ErrInvalid = errors.New("payload: invalid document")

// ErrIgnored is wrapped by the errors of decoders for other systems' events that
// are authentic and intact but not about a deployment. The text says why. Such an
// event is acknowledged and dropped.
var ErrIgnored = errors.New("not a deployment event")

// maxFailures bounds the failures that one error lists, so that a document made of nothing but mistakes does not get
// an answer that is longer than itself. The first ones in the order of checking are kept, the rest are counted.
const maxFailures = 32

// maxQuoted bounds how much of a member name that came from the input is repeated in an error, in bytes.
const maxQuoted = 64

// errorPrefix begins the text of every ValidationError, as in the answers of Periscope's deployment webhook.
const errorPrefix = "Invalid payload: "

// A Failure is one broken rule.
type Failure struct {
	// Path names the member, in the document's own spelling: "commitSha", "commit.sha", `metadata["build no"]`.
	// It is empty when the document as a whole is at fault. Names that come from the input are escaped and cut to
	// 64 bytes.
	Path string

	// Message says what the member must be, for example "must be a valid hex string (5-40 characters)". It never
	// repeats the rejected value.
	Message string
}

// String is the path and the message in one sentence; "body" stands for the document as a whole.
func (f Failure) String() string {
	if f.Path == "" {
		return "body " + f.Message
	}
	return f.Path + " " + f.Message
}

// ValidationError lists everything that is wrong with a document. It wraps [ErrInvalid].
//
// Its text may be shown to the peer: it is valid UTF-8 of bounded length, holds no value from the document, and names
// members only in escaped form.
type ValidationError struct {
	// Failures is never empty. It holds members of the wrong kind first, in the order of the document, then broken
	// rules, in the order of the fields in the Go type. Each path is listed once.
	Failures []Failure

	// Omitted counts the failures beyond the first 32, which are not listed.
	Omitted int
}

// Error is "Invalid payload: " and the failures, joined by "; ". The text for a single failure is the one that
// Periscope's deployment webhook answers with:
//
//	Invalid payload: commitSha must be a valid hex string (5-40 characters)
func (e *ValidationError) Error() string {
	var text strings.Builder
	text.WriteString(errorPrefix)
	for i, failure := range e.Failures {
		if i > 0 {
			text.WriteString("; ")
		}
		text.WriteString(failure.String())
	}
	if e.Omitted > 0 {
		text.WriteString("; and " + strconv.Itoa(e.Omitted) + " more")
	}
	return text.String()
}

// Unwrap makes errors.Is(err, ErrInvalid) hold.
func (e *ValidationError) Unwrap() error { return ErrInvalid }

// failures collects what is wrong with one document. The zero value is ready for use.
type failures struct {
	list    []Failure
	omitted int
}

// add notes a failure. Only the first one of a path counts: a member of the wrong kind is not missing as well.
func (f *failures) add(path, message string) {
	for _, seen := range f.list {
		if seen.Path == path {
			return
		}
	}
	if len(f.list) == maxFailures {
		f.omitted++
		return
	}
	f.list = append(f.list, Failure{Path: path, Message: message})
}

// err returns nil (and not a nil *ValidationError in an interface) when nothing failed.
func (f *failures) err() error {
	if len(f.list) == 0 {
		return nil
	}
	return &ValidationError{Failures: f.list, Omitted: f.omitted}
}

// whole is the error for a document that could not be read to its end.
func whole(message string) error {
	return &ValidationError{Failures: []Failure{{Message: message}}}
}

// join appends a member name to a path: with a dot when the name is a plain word, else quoted in brackets. The name may
// come from the input, so it is escaped to printable ASCII and cut.
func join(path, name string) string {
	if isWord(name) && len(name) <= maxQuoted {
		if path == "" {
			return name
		}
		return path + "." + name
	}
	if len(name) > maxQuoted {
		cut := maxQuoted
		for cut > 0 && !utf8.RuneStart(name[cut]) {
			cut--
		}
		name = name[:cut] + "..."
	}
	return path + "[" + strconv.QuoteToASCII(name) + "]"
}

// isWord reports whether name is made of ASCII letters, digits, "_" and "-" only.
func isWord(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return name != ""
}
