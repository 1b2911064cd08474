package payload_test

import (
	"bytes"
	stdjson "encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/seeds"
	"github.com/deployhook/deployhook/payload"
)

func FuzzDecodeEvent(f *testing.F) {
	seeds.Add(f, 24)
	f.Fuzz(func(t *testing.T, data []byte) {
		event, err := payload.DecodeEvent(data)
		if err != nil {
			requireSafeError(t, err)
			return
		}
		require.NoError(t, event.Validate())
		encoded, err := event.Encode()
		require.NoError(t, err)
		again, err := payload.DecodeEvent(encoded)
		require.NoError(t, err, string(encoded))
		event.Dropped = nil // encoding ignores it
		require.Equal(t, event, again)
		encodedAgain, err := again.Encode()
		require.NoError(t, err)
		require.Equal(t, string(encoded), string(encodedAgain))

		reference := members(t, data)
		requireSameBytes(t, reference["metadata"], event.Metadata.JSON())
		requireSameMembers(t, reference, event.Extra)
		requireSameMembers(t, reference, event.Metadata)
	})
}

func FuzzDecodeEnvelope(f *testing.F) {
	seeds.Add(f, 18)
	f.Fuzz(func(t *testing.T, data []byte) {
		event, envelope, eitherErr := payload.DecodeEventOrEnvelope(data)
		flat, flatErr := payload.DecodeEvent(data)
		decoded, err := payload.DecodeEnvelope(data)
		require.False(t, flatErr == nil && err == nil, "no document is valid in both forms")
		require.Equal(t, eitherErr == nil, flatErr == nil || err == nil)
		if err != nil {
			requireSafeError(t, err)
			require.Nil(t, envelope)
			require.Equal(t, flat, event)
			return
		}
		require.Equal(t, decoded, envelope)
		require.NoError(t, envelope.Validate())
		encoded, err := envelope.Encode()
		require.NoError(t, err)
		again, err := payload.DecodeEnvelope(encoded)
		require.NoError(t, err, string(encoded))
		envelope.Event.Dropped = nil // encoding ignores it
		require.Equal(t, envelope, again)
		encodedAgain, err := again.Encode()
		require.NoError(t, err)
		require.Equal(t, string(encoded), string(encodedAgain))

		// The event is the same in its own form.
		own, err := envelope.Event.Encode()
		require.NoError(t, err)
		flat, err = payload.DecodeEvent(own)
		require.NoError(t, err)
		require.Equal(t, envelope.Event, *flat)

		reference := members(t, data)
		requireSameMembers(t, reference, envelope.Extra)
		inner := members(t, reference["data"])
		requireSameBytes(t, inner["metadata"], envelope.Event.Metadata.JSON())
		requireSameMembers(t, inner, envelope.Event.Extra)
		requireSameMembers(t, inner, envelope.Event.Metadata)
	})
}

func FuzzDecodeDeployment(f *testing.F) {
	seeds.Add(f, 23)
	f.Fuzz(func(t *testing.T, data []byte) {
		deployment, err := payload.DecodeDeployment(data)
		if err != nil {
			requireSafeError(t, err)
			return
		}
		require.NoError(t, deployment.Validate())
		encoded, err := deployment.Encode()
		require.NoError(t, err)
		again, err := payload.DecodeDeployment(encoded)
		require.NoError(t, err, string(encoded))
		deployment.Dropped = nil // encoding ignores it
		require.Equal(t, deployment, again)
		encodedAgain, err := again.Encode()
		require.NoError(t, err)
		require.Equal(t, string(encoded), string(encodedAgain))

		reference := members(t, data)
		requireSameBytes(t, reference["metadata"], deployment.Metadata.JSON())
		requireSameBytes(t, reference["rawPayload"], deployment.RawPayload.JSON())
		requireSameMembers(t, reference, deployment.Extra)
		requireSameMembers(t, members(t, []byte(orEmpty(deployment.RawPayload.JSON()))), deployment.RawPayload)
	})
}

func FuzzParseTime(f *testing.F) {
	seeds.Add(f, 24)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := payload.ParseTime(text)
		if rfc3339.MatchString(text) {
			want, stdErr := time.Parse(time.RFC3339, strings.ToUpper(text))
			require.Equal(t, stdErr == nil && text[:4] >= "1970" && inYears(want.UTC()), err == nil, text)
			if err == nil {
				require.Equal(t, want.UTC(), got)
			}
		}
		if err != nil {
			require.ErrorIs(t, err, payload.ErrInvalid)
			require.Zero(t, got)
			return
		}
		require.Equal(t, time.UTC, got.Location())
		again, err := payload.ParseTime(got.Format(time.RFC3339Nano))
		require.NoError(t, err)
		require.Equal(t, got, again)
	})
}

// rfc3339 is the grammar of RFC 3339 with its limits for offsets. time.Parse
// would also accept one-digit hours, commas, and an offset of 24 hours.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

func inYears(t time.Time) bool { return t.Year() >= 1970 && t.Year() <= 9999 }

// requireSafeError checks the promises in the doc comment of ValidationError.
func requireSafeError(t *testing.T, err error) {
	t.Helper()
	var invalid *payload.ValidationError
	require.ErrorAs(t, err, &invalid)
	require.ErrorIs(t, err, payload.ErrInvalid)
	require.NotEmpty(t, invalid.Failures)
	text := err.Error()
	require.Less(t, len(text), 16<<10)
	require.True(t, utf8.ValidString(text))
	for _, r := range text {
		require.True(t, r >= ' ' && r <= '~', "%q", text)
	}
}

// members reads the top level of an accepted document with encoding/json, which
// keeps raw values byte for byte.
func members(t *testing.T, data []byte) map[string]stdjson.RawMessage {
	t.Helper()
	dec := stdjson.NewDecoder(bytes.NewReader(data))
	var m map[string]stdjson.RawMessage
	require.NoError(t, dec.Decode(&m), "an accepted document is JSON for encoding/json")
	require.False(t, dec.More())
	return m
}

func requireSameBytes(t *testing.T, want stdjson.RawMessage, got string) {
	t.Helper()
	if string(want) == "null" { // counts as absent
		want = nil
	}
	require.Equal(t, string(want), got)
}

type readable interface {
	Len() int
	Get(name string) (payload.Value, bool)
	JSON() string
}

// requireSameMembers requires that every member of a kept object has the same
// bytes in the reference. For metadata it also decodes each value with
// encoding/json.
func requireSameMembers(t *testing.T, reference map[string]stdjson.RawMessage, got readable) {
	t.Helper()
	if m, isMetadata := got.(payload.Metadata); isMetadata {
		reference = members(t, []byte(orEmpty(m.JSON())))
	}
	n := 0
	for name, want := range reference {
		value, ok := got.Get(name)
		if ok {
			n++
			require.Equal(t, string(want), value.JSON())
		}
	}
	require.Equal(t, n, got.Len())
}

func orEmpty(text string) string {
	if text == "" {
		return "{}"
	}
	return text
}
