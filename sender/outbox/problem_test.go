package outbox

import (
	"fmt"
	"net/netip"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// private matches what no customer may see.
var private = regexp.MustCompile(`[a-z][A-Z]|With[A-Z]|Insecure|outbox:|sender:|\d+\.\d+\.\d+\.\d+|AllowNetworks`)

// TestProblems checks that each error of this package has a code and a text for
// customers.
func TestProblems(t *testing.T) {
	t.Parallel()
	s, err := sender.New(sender.AllowNetworks(netip.MustParsePrefix("10.0.0.0/8")))
	require.NoError(t, err)
	defer s.Close()
	inside := sender.Endpoint{URL: sender.NewURL("https://192.168.0.1/"), Signer: sender.InsecureUnsigned()}
	_, tooLong := s.Deliver(t.Context(), inside, sender.Message{ID: "a"})
	for _, c := range []struct {
		err         error
		code, field string
	}{
		{fmt.Errorf("creating: %w", ErrDuplicateEndpoint), "duplicate_endpoint", ""},
		{fmt.Errorf("%w: the app has 3; see WithMaxEndpoints", ErrTooManyEndpoints), "too_many_endpoints", ""},
		{ErrUnknownEndpoint, "unknown_endpoint", ""},
		{checkError(s.Check(t.Context(), inside)), "host_unreachable", "URL"},
		{checkError(s.Check(t.Context(), sender.Endpoint{URL: sender.NewURL("https://10.0.0.1")})), "signer_invalid", "Scheme"},
		{checkError(&sender.AttemptError{Class: sender.ClassDNS}), "host_unreachable", "URL"},
		{&FieldError{Field: "commit.message", cause: fmt.Errorf("%w: %w", ErrBodyTooLarge, tooLong)}, "body_invalid", "commit.message"},
		{fieldError("Schedule", "not registered; see WithSchedule"), "schedule_invalid", "Schedule"},
		{fieldError("SignatureHeader", "see WithHeader"), "signature_header_invalid", "SignatureHeader"},
		{fieldError("anything", "WithX"), "invalid", "anything"},
		{fmt.Errorf("pgx: dial 10.0.0.1"), "internal", ""},
	} {
		found := Problems(c.err)
		require.Len(t, found, 1, "%v", c.err)
		assert.Equal(t, c.code, found[0].Code, "%v", c.err)
		assert.Equal(t, c.field, found[0].Field, "%v", c.err)
		assert.NotRegexp(t, private, found[0].Text)
	}
	assert.Equal(t, Problems(checkError(s.Check(t.Context(), inside))), Problems(checkError(&sender.AttemptError{Class: sender.ClassDNS})), "one answer")
	assert.Nil(t, Problems(nil))

	assert.Equal(t, "client_error", Delivery{LastClass: sender.ClassStatus, LastStatus: 404, State: Failed}.Problem().Code)
	assert.Zero(t, Delivery{State: Delivered}.Problem())
	assert.Zero(t, Delivery{State: Failed}.Problem())

	// The errors of attempts and deliveries are the operator's.
	const operators = "POST https://a.test: 10.0.0.1 is not a public address; AllowNetworks would open it"
	attempt := Attempt{Class: sender.ClassPolicy, Error: operators}
	assert.Equal(t, sender.ProblemOf(sender.ClassPolicy, 0), attempt.Problem())
	assert.Equal(t, "timeout", Attempt{Class: sender.ClassTimeout, Error: operators}.Problem().Code)
	for code, delivery := range map[string]Delivery{
		"host_unreachable": {LastClass: sender.ClassPolicy, LastError: operators, State: Failed},
		"format_invalid":   {LastError: operators, State: Failed},
	} {
		assert.Equal(t, code, delivery.Problem().Code)
		assert.NotRegexp(t, private, delivery.Problem().Text)
	}
}

// Codes never change and none gets lost.
func TestProblems_Codes(t *testing.T) {
	t.Parallel()
	for err, code := range map[error]string{
		ErrUnknownApp: "unknown_app", ErrUnknownEndpoint: "unknown_endpoint", ErrUnknownDelivery: "unknown_delivery",
		ErrUnknownEvent: "unknown_event", ErrCursorExpired: "cursor_expired", ErrUnknownReplay: "unknown_replay",
		ErrDuplicateEndpoint: "duplicate_endpoint", ErrTooManyEndpoints: "too_many_endpoints",
		ErrKeyReused: "idempotency_key_reused", ErrEndpointChanged: "endpoint_changed",
		ErrEndpointDisabled: "endpoint_disabled", ErrConflict: "event_conflict", ErrBodyTooLarge: "body_invalid",
	} {
		requireProblem(t, fmt.Errorf("10.0.0.1: %w", err), "", code)
	}
	for field, code := range map[string]string{
		"App": "app_invalid", "Description": "description_invalid", "Metadata": "metadata_invalid", "Schedule": "schedule_invalid",
		"Timeout":        "timeout_invalid",
		"MaxConcurrency": "concurrency_invalid", "RateLimit": "rate_invalid", "WithReplayRate": "rate_invalid",
		"BodyFormat": "format_invalid", "SignatureHeader": "signature_header_invalid", "Secret": "secret_invalid",
		"Scheme": "scheme_invalid", "grace": "grace_invalid", "Page.Limit": "limit_invalid", "Page.Cursor": "cursor_invalid",
		"States": "states_invalid", "Answer": "answer_class_invalid", "DeliveryFilter": "filter_invalid", "event_id": "event_id_invalid", "IdempotencyKey": "idempotency_key_invalid", "body": "body_missing",
	} {
		requireProblem(t, fieldError(field, "10.0.0.1, see WithX"), field, code)
	}
}

func requireProblem(t *testing.T, err error, field, code string) {
	t.Helper()
	found := Problems(err)
	require.Len(t, found, 1, code)
	assert.Equal(t, code, found[0].Code)
	assert.Equal(t, field, found[0].Field, code)
	assert.Regexp(t, `^[A-Z].*\.$`, found[0].Text)
	assert.NotRegexp(t, private, found[0].Text)
}
