package sender_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// TestZeroValues checks that a zero value's error names the constructor.
func TestZeroValues(t *testing.T) {
	t.Parallel()
	ep := sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t)}
	for name, s := range map[string]*sender.Sender{"nil": nil, "zero": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, sent := s.Send(t.Context(), ep, event())
			r, delivered := s.Deliver(t.Context(), ep, message())
			a := s.Attempt(t.Context(), ep, message())
			_, previewed := s.Preview(t.Context(), ep, message())
			_, made := s.Message(t.Context(), ep, event())
			for call, err := range map[string]error{
				"Send": sent, "Deliver": delivered, "Attempt": a.Err, "Preview": previewed, "Message": made, "Check": s.Check(t.Context(), ep),
			} {
				require.ErrorIs(t, err, sender.ErrConfig, call)
				require.ErrorContains(t, err, "sender.New", call)
			}
			require.Equal(t, sender.Refused, r.Outcome)
			require.Equal(t, sender.Refused, a.Outcome)
			assert.Empty(t, s.Faults())
			assert.Zero(t, s.Timeout())
			require.NoError(t, s.Close())
		})
	}

	s := newSender(t)
	_, err := s.Send(t.Context(), ep, nil)
	require.ErrorIs(t, err, sender.ErrInvalidMessage)
	_, err = s.Message(t.Context(), ep, nil)
	require.ErrorIs(t, err, sender.ErrInvalidMessage)
	_, err = sender.NewMessage(nil)
	require.ErrorIs(t, err, sender.ErrInvalidMessage)
	_, err = s.Deliver(t.Context(), sender.Endpoint{}, message())
	require.ErrorContains(t, err, "NewURL")
	_, err = s.Deliver(t.Context(), sender.Endpoint{URL: ep.URL}, message())
	require.ErrorContains(t, err, "InsecureUnsigned")
	require.ErrorContains(t, s.Check(t.Context(), sender.Endpoint{}), "NewURL")
	for _, err := range []error{&sender.DeliveryError{}, &sender.AttemptError{}, &sender.EndpointError{}, &sender.MessageError{}} {
		require.NotPanics(t, func() { _ = err.Error() })
	}
}
