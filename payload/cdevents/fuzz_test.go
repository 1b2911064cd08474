package cdevents_test

import (
	"errors"
	"net/http"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/seeds"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/cdevents"
)

// FuzzDecode checks that nothing panics, that errors are safe to show, and that
// a decoded event is encoded byte for byte.
func FuzzDecode(f *testing.F) {
	seeds.Add(f, 6)
	f.Fuzz(func(t *testing.T, structured bool, body []byte) {
		var e *cdevents.Event
		var err error
		if structured {
			e, err = cdevents.Decode(http.Header{"Content-Type": {"application/cloudevents+json"}}, body)
		} else {
			e, err = cdevents.Parse(body)
		}
		if err != nil {
			require.Nil(t, e)
			require.ErrorIs(t, err, payload.ErrInvalid)
			require.True(t, utf8.ValidString(err.Error()))
			return
		}
		transmit(t, e)
		if d, err := e.Deployment(payload.Deployment{StartedAt: started, CommitSHA: commit, Environment: "e"}); err == nil {
			require.NoError(t, d.Validate())
		} else {
			require.True(t, errors.Is(err, payload.ErrIgnored) || errors.Is(err, payload.ErrInvalid), "%v", err)
		}
		if event, err := e.Event(payload.Event{}); err == nil {
			require.NoError(t, event.Validate())
		} else {
			require.True(t, errors.Is(err, payload.ErrIgnored) || errors.Is(err, payload.ErrInvalid), "%v", err)
		}
	})
}

// FuzzHeader checks the header for any service name. The header is printable
// ASCII and decodes to the name. Only an encoding of the name is accepted as
// its header.
func FuzzHeader(f *testing.F) {
	seeds.Add(f, 5)
	f.Fuzz(func(t *testing.T, name, value string) {
		event := step(t, payload.DeployLive)
		event.App = name
		e, err := cdevents.FromEvent(event, options)
		if err != nil {
			require.ErrorIs(t, err, payload.ErrInvalid)
			return
		}
		h, body := e.Binary()
		for _, c := range []byte(h.Get("ce-subject")) {
			require.True(t, c > ' ' && c <= '~' && c != '"', "%q", h.Get("ce-subject"))
		}
		transmit(t, e)
		h.Set("ce-subject", value)
		if got, err := cdevents.Decode(h, body); err == nil {
			require.Equal(t, name, got.Subject())
		}
	})
}
