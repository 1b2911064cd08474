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

// TestProblems: each error of this package has a code, and a text for
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
	for _, known := range fieldProblems {
		assert.NotRegexp(t, private, known[1])
	}
	assert.Nil(t, Problems(nil))

	assert.Equal(t, "timeout", Attempt{Class: sender.ClassTimeout}.Problem().Code)
	assert.Equal(t, "client_error", Delivery{LastClass: sender.ClassStatus, LastStatus: 404, State: Failed}.Problem().Code)
	assert.Equal(t, "format_invalid", Delivery{LastError: "can't", State: Failed}.Problem().Code)
	assert.Zero(t, Delivery{State: Delivered}.Problem())
}
