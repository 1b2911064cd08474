package payload

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ErrInvalid is wrapped by every error about a document's content. Use
// errors.Is(err, ErrInvalid) to tell an authentic but invalid document, which
// its sender must correct, from all other failures.
var ErrInvalid = errors.New("payload: invalid document")

// ErrIgnored is wrapped by decoder errors for other systems' events that are
// authentic and intact but not about a deployment. The text gives the reason.
// Acknowledge and drop such an event.
var ErrIgnored = errors.New("not a deployment event")

// maxFailures is the maximum number of failures that one error lists. It keeps
// the response to a very broken document shorter than the document. The first
// failures in the order of checking are listed, and the rest are counted.
const maxFailures = 32

// maxQuoted is the maximum number of bytes of a member name from the input that
// an error repeats.
const maxQuoted = 64

// errorPrefix begins the text of every ValidationError, as in the responses of
// Periscope's deployment webhook.
const errorPrefix = "Invalid payload: "

// A Failure is one broken rule.
type Failure struct {
	// Path names the member in the document's own spelling, such as
	// "commitSha", "commit.sha" or `metadata["build no"]`. It is empty if the
	// document as a whole is invalid. Names that come from the input are
	// escaped and cut to 64 bytes.
	Path string

	// Message states the rule that the member breaks, for example "must be a
	// valid hex string (5-40 characters)". It never repeats the rejected value.
	Message string
}

// String returns the path and the message as one sentence. It uses "body" for
// the document as a whole.
func (f Failure) String() string {
	if f.Path == "" {
		return "body " + f.Message
	}
	return f.Path + " " + f.Message
}

// ValidationError lists everything that is wrong with a document. It wraps
// [ErrInvalid].
//
// Its text is safe to show to the sender. It is valid UTF-8 of limited length,
// repeats no value from the document, and escapes member names.
type ValidationError struct {
	// Failures is never empty. Members of the wrong type come first, in the
	// order of the document. Broken rules follow, in the order of the fields in
	// the Go type. Each path is listed once.
	Failures []Failure

	// Omitted counts the failures after the first 32, which are not listed.
	Omitted int
}

// Error returns "Invalid payload: " and the failures, separated by "; ". The
// text for a single failure equals the response of Periscope's deployment
// webhook:
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

// Unwrap makes errors.Is(err, ErrInvalid) true.
func (e *ValidationError) Unwrap() error { return ErrInvalid }

// failures collects the failures of one document. The zero value is ready for
// use.
type failures struct {
	list    []Failure
	omitted int
}

// add records a failure. Only the first failure of a path counts, so that a
// member of the wrong type is not also reported as missing.
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

// err returns nil if there are no failures. It does not return a nil
// *ValidationError as an error, which would not equal nil.
func (f *failures) err() error {
	if len(f.list) == 0 {
		return nil
	}
	return &ValidationError{Failures: f.list, Omitted: f.omitted}
}

// whole returns the error for a document that could not be read to its end.
func whole(message string) error {
	return &ValidationError{Failures: []Failure{{Message: message}}}
}

// join appends a member name to a path, with a dot if the name is a plain word
// and otherwise quoted in brackets. The name may come from the input, so join
// escapes it to printable ASCII and cuts it.
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

// isWord reports whether name consists only of ASCII letters, digits, "_" and
// "-".
func isWord(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return name != ""
}
