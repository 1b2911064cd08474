package sender

import (
	"net/http"
	"strings"
)

// Directive is what an endpoint asks for with the header Webhook-Delivery of
// its answer, see [WithDeliveryControl]. The values are short texts for a log
// or a database.
type Directive string

const (
	// DirectiveNone means that the endpoint asked for nothing.
	DirectiveNone Directive = ""
	// DirectiveAbort asks for no more attempts of this delivery. After a 2xx it
	// changes nothing.
	DirectiveAbort Directive = "abort-message"
	// DirectiveDisable asks for no more deliveries. After a 2xx this delivery is
	// delivered, and the endpoint wants no other.
	DirectiveDisable Directive = "disable"
)

// WithDeliveryControl lets endpoints control their deliveries with the header
// Webhook-Delivery of an answer. Svix has the same header, and it is proposed
// for Standard Webhooks:
//
//	value          after a 2xx                      after any other status
//	abort-message  nothing changes                  Aborted: no more attempts of this delivery
//	disable        Delivered, disable the endpoint  Gone: no more attempts, disable the endpoint
//
// [Attempt].Directive has the value. The header may have several values,
// separated by commas or in several lines. Then disable is stronger. Upper and
// lower case are the same. Other values are ignored, and so are values with
// parameters. An answer of 410 is Gone, whatever the header says.
//
// Default: off, because an endpoint may have a header of that name for another
// purpose. The header is then ignored.
func WithDeliveryControl() Option {
	return optionFunc(func(c *config) { c.deliveryControl = true })
}

// directiveHeader is the canonical form of the header's name.
const directiveHeader = "Webhook-Delivery"

// directive returns what the header of an answer asks for.
func directive(h http.Header) Directive {
	found := DirectiveNone
	for _, line := range h[directiveHeader] {
		for value := range strings.SplitSeq(line, ",") {
			switch Directive(lowerASCII(strings.Trim(value, " \t"))) {
			case DirectiveDisable:
				return DirectiveDisable
			case DirectiveAbort:
				found = DirectiveAbort
			}
		}
	}
	return found
}

// lowerASCII leaves other letters as they are. Unicode would fold some of them
// into ASCII.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// obey applies the directive of an answer that was not a 2xx.
func (a *Attempt) obey(failure *AttemptError) {
	switch a.Directive {
	case DirectiveDisable:
		a.Outcome, a.Class, failure.cause = Gone, ClassDisabled, ErrGone
	case DirectiveAbort:
		a.Outcome, a.Class, failure.cause = Aborted, ClassAborted, ErrAborted
	default:
		return
	}
	failure.Class = a.Class
	failure.detail += " with " + directiveHeader + ": " + string(a.Directive)
}
