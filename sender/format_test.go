package sender_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// formatFunc is a Format made of a function.
type formatFunc func(e *payload.Event) (string, []byte, error)

func (f formatFunc) Encode(_ context.Context, e *payload.Event) (string, []byte, error) { return f(e) }

type formatPointer struct{}

func (*formatPointer) Encode(context.Context, *payload.Event) (string, []byte, error) {
	return "", []byte("{}"), nil
}

func TestFormatSend(t *testing.T) {
	t.Parallel()
	var got struct{ contentType, body string }
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got.contentType, got.body = r.Header.Get("Content-Type"), string(body)
	})
	e := event()
	ep := sender.Endpoint{URL: sender.NewURL(server.URL), Signer: standard(t), BodyFormat: formatFunc(func(e *payload.Event) (string, []byte, error) {
		require.NoError(t, e.Validate())
		return "text/x-note; charset=utf-8", []byte("note for " + e.DeliveryID), nil
	})}
	receipt, err := newSender(t).Send(t.Context(), ep, e)
	require.NoError(t, err)
	require.Equal(t, "text/x-note; charset=utf-8", got.contentType)
	require.Equal(t, "note for "+receipt.ID, got.body)
	require.Equal(t, event(), e, "the caller's event was changed")
}

// If a format has no message for an event, nothing is sent.
func TestFormatSendsNothing(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		format  sender.Format
		outcome sender.Outcome
		check   func(t *testing.T, err error)
	}{
		"no message": {
			formatFunc(func(*payload.Event) (string, []byte, error) {
				return "", nil, fmt.Errorf("%w: why", sender.ErrNoMessage)
			}),
			sender.Skipped,
			func(t *testing.T, err error) {
				require.ErrorIs(t, err, sender.ErrNoMessage)
				require.ErrorContains(t, err, "why")
			},
		},
		"error": {
			formatFunc(func(*payload.Event) (string, []byte, error) { return "", nil, boom }),
			sender.Refused,
			func(t *testing.T, err error) { require.ErrorIs(t, err, boom) },
		},
		"nil pointer": {(*formatPointer)(nil), sender.Refused, func(t *testing.T, err error) {
			var fault *sender.EndpointError
			require.ErrorAs(t, err, &fault)
			require.Equal(t, "BodyFormat", fault.Field)
		}},
		"empty body": {
			formatFunc(func(*payload.Event) (string, []byte, error) { return "", nil, nil }),
			sender.Refused, field("Body"),
		},
		"content type": {
			formatFunc(func(*payload.Event) (string, []byte, error) { return "a\r\nb: c", []byte("x"), nil }),
			sender.Refused, field("ContentType"),
		},
		"too long": {
			formatFunc(func(*payload.Event) (string, []byte, error) { return "", make([]byte, sender.DefaultMaxBody+1), nil }),
			sender.Refused, field("Body"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSender(t)
			calls := fake(s, statuses(200))
			ep := sender.Endpoint{URL: sender.NewURL("https://127.0.0.1/"), Signer: standard(t), BodyFormat: c.format}
			receipt, err := s.Send(t.Context(), ep, event())
			c.check(t, err)
			require.Equal(t, c.outcome, receipt.Outcome)
			require.NotEmpty(t, receipt.ID)
			require.Zero(t, calls.n.Load())
			_, err = ep.Message(t.Context(), event())
			c.check(t, err)
			_, err = s.Message(t.Context(), ep, event())
			c.check(t, err)
		})
	}
}

func field(name string) func(*testing.T, error) {
	return func(t *testing.T, err error) {
		t.Helper()
		var fault *sender.MessageError
		require.ErrorAs(t, err, &fault)
		require.Equal(t, name, fault.Field)
		require.ErrorIs(t, err, sender.ErrInvalidMessage)
	}
}

// A format gets only valid events that the endpoint's filter takes.
func TestFormatNotAsked(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	fake(s, statuses(200))
	ep := sender.Endpoint{
		URL: sender.NewURL("https://127.0.0.1/"), Signer: standard(t), Events: []string{"deploy.failed"},
		BodyFormat: formatFunc(func(*payload.Event) (string, []byte, error) { panic("asked") }),
	}
	large := event()
	large.Error = strings.Repeat("x", sender.DefaultMaxBody)
	for _, e := range []*payload.Event{event(), large} {
		receipt, err := s.Send(t.Context(), ep, e)
		require.NoError(t, err)
		require.Equal(t, sender.Skipped, receipt.Outcome)
		require.NotEmpty(t, receipt.ID)
	}
	_, err := s.Send(t.Context(), ep, &payload.Event{Type: payload.DeployLive})
	require.ErrorIs(t, err, payload.ErrInvalid)

	ep.Events = nil
	_, err = s.Send(t.Context(), ep, &payload.Event{Type: payload.DeployLive})
	var invalid *payload.ValidationError
	require.ErrorAs(t, err, &invalid)
	_, err = s.Send(t.Context(), ep, nil)
	require.ErrorIs(t, err, sender.ErrInvalidMessage)
}

func TestMaxBody(t *testing.T) {
	t.Parallel()
	body := func(n int) sender.Message { return sender.Message{ID: "whk_1", Body: bytes.Repeat([]byte("x"), n)} }
	ep := sender.Endpoint{URL: sender.NewURL("https://127.0.0.1/"), Signer: standard(t)}
	for name, c := range map[string]struct {
		opts  []sender.Option
		limit int
	}{
		"default": {nil, sender.DefaultMaxBody},
		"less":    {[]sender.Option{sender.WithMaxBody(10)}, 10},
		"more":    {[]sender.Option{sender.WithMaxBody(2 << 20)}, 2 << 20},
	} {
		s := newSender(t, c.opts...)
		calls := fake(s, statuses(200))
		_, err := s.Deliver(t.Context(), ep, body(c.limit))
		require.NoError(t, err, name)
		require.EqualValues(t, 1, calls.n.Load())
		_, err = s.Deliver(t.Context(), ep, body(c.limit+1))
		field("Body")(t, err)
		require.ErrorContains(t, err, "WithMaxBody", name)
		a := s.Attempt(t.Context(), ep, body(c.limit+1))
		require.Equal(t, sender.Refused, a.Outcome)
		field("Body")(t, a.Err)
		_, err = s.Preview(t.Context(), ep, body(c.limit+1))
		field("Body")(t, err)
		require.EqualValues(t, 1, calls.n.Load(), name)
	}
	e := event()
	e.Commit = &payload.Commit{Message: string(bytes.Repeat([]byte("x"), sender.DefaultMaxBody))}
	_, err := sender.NewMessage(e)
	field("Body")(t, err)
	m, err := newSender(t, sender.WithMaxBody(2<<20)).Message(t.Context(), ep, e)
	require.NoError(t, err)
	require.Greater(t, len(m.Body), sender.DefaultMaxBody)
	for _, n := range []int{0, -1, 64<<20 + 1} {
		_, err := sender.New(sender.WithMaxBody(n))
		require.ErrorIs(t, err, sender.ErrConfig)
		require.ErrorContains(t, err, "WithMaxBody")
	}
}

// Without a format, Message is NewMessage.
func TestMessageWithoutFormat(t *testing.T) {
	t.Parallel()
	e := event()
	e.DeliveryID = "whk_1"
	want, err := sender.NewMessage(e)
	require.NoError(t, err)
	got, err := sender.Endpoint{}.Message(t.Context(), e)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Empty(t, got.ContentType)
	e.DeliveryID = "whk_1.2"
	_, err = sender.NewMessage(e)
	field("ID")(t, err)
}

// Check reports a format that can't be called, like every other mistake in an
// endpoint.
func TestCheckFormat(t *testing.T) {
	t.Parallel()
	err := newSender(t).Check(t.Context(), sender.Endpoint{
		URL: sender.NewURL("https://127.0.0.1/"), Signer: standard(t), BodyFormat: (*formatPointer)(nil),
	})
	require.ErrorContains(t, err, "Endpoint.BodyFormat")
}
