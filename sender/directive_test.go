package sender_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// control is a Sender that honours Webhook-Delivery and gets this answer.
func control(t *testing.T, status int, values ...string) *sender.Sender {
	t.Helper()
	s := newSender(t, sender.WithDeliveryControl())
	var fields []string
	for _, v := range values {
		fields = append(fields, "Webhook-Delivery", v)
	}
	fake(s, answers(status, fields...))
	return s
}

// directiveCases are values of the header. Each is a seed of FuzzDirective.
var directiveCases = map[string]sender.Directive{
	"abort-message":                      sender.DirectiveAbort,
	" \tABORT-Message\t ":                sender.DirectiveAbort,
	"later, abort-message":               sender.DirectiveAbort,
	"later,abort-message,,":              sender.DirectiveAbort,
	"disable":                            sender.DirectiveDisable,
	"Disable ":                           sender.DirectiveDisable,
	"abort-message, disable":             sender.DirectiveDisable,
	"disable,abort-message":              sender.DirectiveDisable,
	strings.Repeat(",", 999) + "disable": sender.DirectiveDisable,
	"":                                   sender.DirectiveNone,
	" , ,":                               sender.DirectiveNone,
	"retry":                              sender.DirectiveNone,
	"disabled":                           sender.DirectiveNone,
	"dis able":                           sender.DirectiveNone,
	"abort-message disable":              sender.DirectiveNone,
	"abort_message":                      sender.DirectiveNone,
	`"disable"`:                          sender.DirectiveNone,
	"disable;reason=moved":               sender.DirectiveNone,
	"disable\u00a0":                      sender.DirectiveNone,
	"di\u017fable":                       sender.DirectiveNone, // Unicode folds the long s to s
	"dis\xffable":                        sender.DirectiveNone,
}

func directiveOf(t *testing.T, s *sender.Sender) sender.Directive {
	t.Helper()
	return attempt(t, s, sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t)}).Directive
}

func TestDeliveryControl_Values(t *testing.T) {
	t.Parallel()
	for value, want := range directiveCases {
		require.Equal(t, want, directiveOf(t, control(t, 500, value)), "%.80q", value)
	}
	for want, lines := range map[sender.Directive][]string{
		sender.DirectiveNone:    nil,
		sender.DirectiveAbort:   {"later", "abort-message"},
		sender.DirectiveDisable: {"disable, later", "abort-message"},
	} {
		require.Equal(t, want, directiveOf(t, control(t, 500, lines...)), "%q", lines)
	}
}

// FuzzDirective compares the parser with a regular expression. The flag i would
// fold letters that are not ASCII.
func FuzzDirective(f *testing.F) {
	addKeys(f, directiveCases)
	disable := regexp.MustCompile(`(^|,)[ \t]*[dD][iI][sS][aA][bB][lL][eE][ \t]*(,|$)`)
	abort := regexp.MustCompile(`(^|,)[ \t]*[aA][bB][oO][rR][tT]-[mM][eE][sS][sS][aA][gG][eE][ \t]*(,|$)`)
	f.Fuzz(func(t *testing.T, value string) {
		want := sender.DirectiveNone
		switch {
		case disable.MatchString(value):
			want = sender.DirectiveDisable
		case abort.MatchString(value):
			want = sender.DirectiveAbort
		}
		require.Equal(t, want, directiveOf(t, control(t, 500, value)))
	})
}

func TestDeliveryControl_Outcomes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status  int
		value   string
		outcome sender.Outcome
		class   sender.Class
		is      error
		code    string
	}{
		{200, "abort-message", sender.Delivered, sender.ClassNone, nil, ""},
		{204, "disable", sender.Delivered, sender.ClassNone, nil, ""},
		{101, "abort-message", sender.Aborted, sender.ClassAborted, sender.ErrAborted, "aborted"},
		{301, "abort-message", sender.Aborted, sender.ClassAborted, sender.ErrAborted, "aborted"},
		{400, "abort-message", sender.Aborted, sender.ClassAborted, sender.ErrAborted, "aborted"},
		{503, "abort-message", sender.Aborted, sender.ClassAborted, sender.ErrAborted, "aborted"},
		{410, "abort-message", sender.Gone, sender.ClassStatus, sender.ErrGone, "gone"},
		{307, "disable", sender.Gone, sender.ClassDisabled, sender.ErrGone, "disabled"},
		{404, "disable", sender.Gone, sender.ClassDisabled, sender.ErrGone, "disabled"},
		{410, "disable", sender.Gone, sender.ClassStatus, sender.ErrGone, "gone"},
		{500, "disable", sender.Gone, sender.ClassDisabled, sender.ErrGone, "disabled"},
		{500, "later", sender.Failed, sender.ClassStatus, nil, "server_error"},
	} {
		s := control(t, c.status, c.value)
		a := attempt(t, s, sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t)})
		require.Equal(t, c.outcome, a.Outcome, "%d %s", c.status, c.value)
		require.Equal(t, c.class, a.Class)
		require.Equal(t, c.code, a.Problem().Code)
		require.Equal(t, a.Outcome == sender.Delivered, a.Err == nil)
		require.Equal(t, []string{c.value}, a.ResponseHeader["Webhook-Delivery"])
		if c.is != nil {
			require.ErrorIs(t, a.Err, c.is)
		}
		if c.class == sender.ClassAborted || c.class == sender.ClassDisabled {
			require.ErrorContains(t, a.Err, "with Webhook-Delivery: "+c.value)
			require.Equal(t, c.code, sender.ProblemOf(a.Class, a.Status).Code)
			require.Equal(t, c.code, sender.Problems(a.Err)[0].Code)
		}
	}
}

// An endpoint may have a header of that name for another purpose.
func TestDeliveryControl_IsOffByDefault(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"abort-message", "disable"} {
		s := newSender(t, atOnce())
		calls := fake(s, answers(500, "Webhook-Delivery", value))
		r, err := s.Deliver(t.Context(), sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t)}, message())
		require.ErrorIs(t, err, sender.ErrExhausted)
		require.Len(t, r.Attempts, int(calls.n.Load()))
		require.Greater(t, len(r.Attempts), 1)
		for _, a := range r.Attempts {
			require.Equal(t, sender.DirectiveNone, a.Directive)
			require.Equal(t, sender.ClassStatus, a.Class)
		}
	}
}

// An abort ends the delivery, also where Retry-After asks for another attempt.
func TestDeliveryControl_EndsADelivery(t *testing.T) {
	t.Parallel()
	for value, c := range map[string]struct {
		outcome sender.Outcome
		is      error
		text    string
	}{
		"abort-message": {sender.Aborted, sender.ErrAborted, "sender: endpoint aborted the delivery after 2 attempts: POST https://a.example: answered: 429 Too Many Requests with Webhook-Delivery: abort-message"},
		"disable":       {sender.Gone, sender.ErrGone, "sender: endpoint wants no more deliveries after 2 attempts: POST https://a.example: answered: 429 Too Many Requests with Webhook-Delivery: disable"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSender(t, sender.WithDeliveryControl(), sender.WithStopOnClientError())
			fake(s, func(n int, _ *http.Request) (*http.Response, error) {
				if n == 1 {
					return answer(503)
				}
				return answer(429, "Webhook-Delivery", value, "Retry-After", "1")
			})
			r, err := s.Send(t.Context(), sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t)}, event())
			require.ErrorIs(t, err, c.is)
			require.EqualError(t, err, c.text)
			require.Equal(t, c.outcome, r.Outcome)
			require.Len(t, r.Attempts, 2)
			require.Equal(t, sender.Directive(value), r.Attempts[1].Directive)
			require.Zero(t, r.Attempts[1].Wait)
		})
	}
}

// The receipt of a delivery says that its endpoint wants no other.
func TestDeliveryControl_DisableAfterDelivery(t *testing.T) {
	t.Parallel()
	r, err := control(t, 200, "disable").Send(t.Context(), sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t)}, event())
	require.NoError(t, err)
	require.Equal(t, sender.Delivered, r.Outcome)
	require.Equal(t, sender.DirectiveDisable, r.Attempts[0].Directive)
}

// Only the header of the final answer counts, not that of an interim answer and
// not the trailer.
func TestDeliveryControl_IgnoresInterimAnswersAndTrailers(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Webhook-Delivery", "disable")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Webhook-Delivery")
		w.WriteHeader(http.StatusInternalServerError)
		w.Header().Set(http.TrailerPrefix+"Webhook-Delivery", "disable")
	})
	a := attempt(t, newSender(t, sender.WithDeliveryControl()), sender.Endpoint{URL: sender.NewURL(server.URL), Signer: standard(t)})
	require.Equal(t, http.StatusInternalServerError, a.Status)
	require.Equal(t, sender.DirectiveNone, a.Directive)
	require.Equal(t, sender.Failed, a.Outcome)
}
