package sender_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

func TestSend(t *testing.T) {
	t.Parallel()
	scheme := standard(t)
	var body []byte
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		_, err := scheme.Verify(r, body)
		require.NoError(t, err)
	})
	s := newSender(t)
	e := event()
	r, err := s.Send(t.Context(), sender.Endpoint{URL: sender.NewURL(server.URL), Signer: scheme}, e)
	require.NoError(t, err)
	require.Equal(t, sender.Delivered, r.Outcome)
	require.Empty(t, e.DeliveryID, "the caller's event is not changed")

	got, err := payload.DecodeEvent(body)
	require.NoError(t, err)
	require.Equal(t, r.ID, got.DeliveryID)
	require.Regexp(t, `^whk_[0-9a-f]{32}$`, r.ID)

	e.DeliveryID = "whk_mine"
	r, err = s.Send(t.Context(), sender.Endpoint{URL: sender.NewURL(server.URL), Signer: scheme}, e)
	require.NoError(t, err)
	require.Equal(t, "whk_mine", r.ID)
}

func TestSendRefusesBadEvents(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	calls := fake(s, statuses(200))
	ep := sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t)}

	r, err := s.Send(t.Context(), ep, nil)
	require.ErrorIs(t, err, sender.ErrInvalidMessage)
	require.NotNil(t, r)

	invalid := event()
	invalid.DeploymentID = ""
	_, err = s.Send(t.Context(), ep, invalid)
	var failures *payload.ValidationError
	require.ErrorAs(t, err, &failures)

	dotted := event()
	dotted.DeliveryID = "a.1"
	_, err = s.Send(t.Context(), ep, dotted)
	require.ErrorIs(t, err, sender.ErrInvalidMessage)
	require.Zero(t, calls.n.Load())
}

func TestDeliverRefusesBadMessages(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	calls := fake(s, statuses(200))
	for _, change := range []func(*sender.Message){
		func(m *sender.Message) { m.ID = "" },
		func(m *sender.Message) { m.ID = "a.b" },
		func(m *sender.Message) { m.ID = "é" },
		func(m *sender.Message) { m.ID = "a b" },
		func(m *sender.Message) { m.ID = string(make([]byte, 256)) },
		func(m *sender.Message) { m.Body = nil },
		func(m *sender.Message) { m.ContentType = "text/plain\r\nX-Evil: 1" },
	} {
		m := message()
		change(&m)
		for _, sig := range []sender.Endpoint{
			{URL: sender.NewURL("https://a.example"), Signer: standard(t)},
			{URL: sender.NewURL("https://a.example"), Signer: sender.InsecureUnsigned()},
		} {
			r, err := s.Deliver(t.Context(), sig, m)
			require.ErrorIs(t, err, sender.ErrInvalidMessage)
			require.Equal(t, sender.Refused, r.Outcome)
			a := s.Attempt(t.Context(), sig, m)
			require.ErrorIs(t, a.Err, sender.ErrInvalidMessage)
			require.Equal(t, sender.Refused, a.Outcome)
		}
	}
	require.Zero(t, calls.n.Load())
}

func TestFilterSkips(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	calls := fake(s, statuses(200))
	r, err := s.Send(t.Context(), sender.Endpoint{
		URL: sender.NewURL("https://a.example"), Signer: standard(t), Events: []string{"deploy.failed", "build.*"},
	}, event())
	require.NoError(t, err)
	require.Equal(t, sender.Skipped, r.Outcome)
	require.Empty(t, r.Attempts)
	require.Zero(t, calls.n.Load())

	a := s.Attempt(t.Context(), sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t), Events: []string{"deploy.failed"}}, message())
	require.Equal(t, sender.Delivered, a.Outcome, "a queue has decided already")
}
