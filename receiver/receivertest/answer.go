package receivertest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/deployhook/deployhook/receiver"
)

// Answer is the answer to one request. Its Want methods fail the test if the
// answer is another one, and return the answer, so that they can be chained.
type Answer struct {
	// Status is the status code, or 0 if there was no answer.
	Status int
	// Header is the header of the answer.
	Header http.Header
	// Body is the body of the answer.
	Body string
	// Err says why there was no answer, or not the whole of it. A handler that
	// panics with [http.ErrAbortHandler] ends the connection like that.
	Err error
	// Took is the time until the end of the answer.
	Took time.Duration

	t    testing.TB
	what string
}

// Outcome returns the outcome that the answer stands for. A panic in a handler
// looks like any other failure, so it gives [receiver.Failed]. The outcome is
// empty if there was no answer.
func (a *Answer) Outcome() receiver.Outcome {
	switch a.Status {
	case 0:
		return ""
	case http.StatusAccepted:
		return receiver.Accepted
	case http.StatusConflict:
		return receiver.InFlight
	case http.StatusUnauthorized:
		return receiver.Unauthenticated
	case http.StatusServiceUnavailable:
		return receiver.Unavailable
	case http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType, http.StatusRequestEntityTooLarge, http.StatusRequestTimeout:
		return receiver.Refused
	case http.StatusBadRequest:
		if strings.HasPrefix(a.Body, `{"error":"Invalid payload`) {
			return receiver.Invalid
		}
		return receiver.Refused
	}
	switch {
	case a.Body == `{"received":true,"duplicate":true}`:
		return receiver.Duplicate
	case a.Body == `{"received":true,"ignored":true}`:
		return receiver.Ignored
	case a.Status >= 200 && a.Status <= 299:
		return receiver.Handled
	}
	return receiver.Failed
}

// Want fails the test if the answer stands for another outcome. Panicked and
// Failed have the same answer.
func (a *Answer) Want(want receiver.Outcome) *Answer {
	a.t.Helper()
	if want == receiver.Panicked {
		want = receiver.Failed
	}
	if a.Outcome() != want {
		a.t.Errorf("receivertest: %s: got %v, want %s", a.what, a, want)
	}
	return a
}

// WantStatus fails the test if the answer has another status code.
func (a *Answer) WantStatus(want int) *Answer {
	a.t.Helper()
	if a.Status != want {
		a.t.Errorf("receivertest: %s: got %v, want the status %d %s", a.what, a, want, http.StatusText(want))
	}
	return a
}

// WantHeader fails the test if the answer's header has another value.
func (a *Answer) WantHeader(name, want string) *Answer {
	a.t.Helper()
	if got := a.Header.Get(name); got != want {
		a.t.Errorf("receivertest: %s: got the header %s: %q, want %q; the answer is %v", a.what, name, got, want, a)
	}
	return a
}

// WantBody fails the test if the answer has another body.
func (a *Answer) WantBody(want string) *Answer {
	a.t.Helper()
	if a.Body != want {
		a.t.Errorf("receivertest: %s: got %v, want the body %s", a.what, a, want)
	}
	return a
}

// String is for the text of a failure.
func (a *Answer) String() string {
	if a.Status == 0 {
		return fmt.Sprintf("no answer (%v)", a.Err)
	}
	return fmt.Sprintf("%s (%d %s)", a.Outcome(), a.Status, a.Body)
}

// Answers are the answers to requests that were posted at the same time.
type Answers struct {
	// All has the answers in the order of the requests.
	All []*Answer

	t testing.TB
}

// Count returns how many answers stand for the outcome.
func (a *Answers) Count(outcome receiver.Outcome) (n int) {
	for _, answer := range a.All {
		if answer.Outcome() == outcome {
			n++
		}
	}
	return n
}

// Want fails the test if not exactly n answers stand for the outcome.
func (a *Answers) Want(outcome receiver.Outcome, n int) *Answers {
	a.t.Helper()
	if got := a.Count(outcome); got != n {
		a.t.Errorf("receivertest: %d of %d answers are %s, want %d; got%s", got, len(a.All), outcome, n, a.summary())
	}
	return a
}

// WantOneHandled fails the test if not exactly one request was handled, or if
// another got an answer that tells its sender anything but to wait or to stop.
// It is for copies whose handler may end at any time.
func (a *Answers) WantOneHandled() *Answers {
	a.t.Helper()
	handled := a.Count(receiver.Handled) + a.Count(receiver.Accepted)
	if handled != 1 || handled+a.Count(receiver.Duplicate)+a.Count(receiver.InFlight) != len(a.All) {
		a.t.Errorf("receivertest: want one copy handled and the others %s or %s; got%s", receiver.Duplicate, receiver.InFlight, a.summary())
	}
	return a
}

func (a *Answers) summary() string {
	counts := map[string]int{}
	for _, answer := range a.All {
		counts[answer.String()]++
	}
	var out strings.Builder
	for _, text := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&out, "\n\t%d × %s", counts[text], text)
	}
	return out.String()
}
