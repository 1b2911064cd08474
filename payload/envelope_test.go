package payload_test

import (
	stdjson "encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
)

func TestEnvelopeRoundTrip(t *testing.T) {
	t.Parallel()
	for name, doc := range documents(t, "testdata/envelope/valid") {
		envelope, err := payload.DecodeEnvelope(doc)
		require.NoError(t, err, name)
		encoded, err := envelope.Encode()
		require.NoError(t, err, name)
		requireGolden(t, "envelope-"+name+".json", encoded)

		again, err := payload.DecodeEnvelope(encoded)
		require.NoError(t, err, name)
		require.Equal(t, envelope, again, name)
		encodedAgain, err := again.Encode()
		require.NoError(t, err, name)
		require.Equal(t, string(encoded), string(encodedAgain), name)
	}
}

// An event that goes into an envelope and comes out again is the same, in every
// member and byte.
func TestEnvelope_KeepsTheEvent(t *testing.T) {
	t.Parallel()
	for name, doc := range documents(t, "testdata/event/valid") {
		event, err := payload.DecodeEvent(doc)
		require.NoError(t, err, name)
		body, err := (&payload.Envelope{Event: *event}).Encode()
		require.NoError(t, err, name)
		requireGolden(t, "envelope-of-"+name+".json", body)

		envelope, err := payload.DecodeEnvelope(body)
		require.NoError(t, err, name)
		require.Equal(t, *event, envelope.Event, name)
		require.True(t, envelope.Extra.IsZero(), name)
		want, err := event.Encode()
		require.NoError(t, err, name)
		have, err := envelope.Event.Encode()
		require.NoError(t, err, name)
		require.Equal(t, string(want), string(have), name)
	}
}

// A sender may put a whole event into data, if it does not contradict the rest.
func TestDecodeEnvelope_TakesAWholeEventInData(t *testing.T) {
	t.Parallel()
	doc := replace(t, liveEnvelope, `"app"`, `"event":"deploy.live","timestamp":"2026-03-12T15:22:01+01:00","app"`)
	envelope, err := payload.DecodeEnvelope(doc)
	require.NoError(t, err)
	encoded, err := envelope.Encode()
	require.NoError(t, err)
	assert.Equal(t, liveEnvelope, string(encoded))
}

// Members with the same name at the top level and in data do not mix.
func TestDecodeEnvelope_KeepsMembersInTheirPlace(t *testing.T) {
	t.Parallel()
	envelope, err := payload.DecodeEnvelope(readFile(t, "testdata/envelope/valid/unknown-members.json"))
	require.NoError(t, err)
	event := envelope.Event
	assert.EqualValues(t, "preview_env.created", event.Type)
	assert.Empty(t, event.App, "only data has members of the event")
	for _, c := range []struct {
		object payload.Object
		name   string
		want   string
	}{
		{envelope.Extra, "id", `"evt_1"`},
		{envelope.Extra, "app", `"not the field app"`},
		{envelope.Extra, "nothing", `null`},
		{envelope.Extra, "links", `{"self": "caf\u00e9", "n": 1.0, "spaced" : [ 1, 2 ] }`},
		{event.Extra, "id", `9007199254740993`},
		{event.Extra, "type", `"environment"`},
		{event.Extra, "data", `{"exp": 1e2}`},
		{event.Extra, "café", `"\u00e9\/<&>"`},
	} {
		value, ok := c.object.Get(c.name)
		require.True(t, ok, c.name)
		assert.Equal(t, c.want, value.JSON(), c.name)
	}
}

const liveEnvelope = `{"type":"deploy.live","timestamp":"2026-03-12T14:22:01Z","data":{"deployment_id":"dep_1","app":"shop","environment":"production"}}`

func TestEnvelopeRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ old, new, want string }{
		{`"type":"deploy.live",`, ``, "type is required"},
		{`"deploy.live"`, `null`, "type is required"},
		{`"deploy.live"`, `""`, "type is required"},
		{`"deploy.live"`, `7`, "type must be a string"},
		{`"deploy.live"`, `"live"`, "type must be dotted lower-case words such as deploy.live (at most 128 characters)"},
		{`"2026-03-12T14:22:01Z"`, `null`, "timestamp is required"},
		{`"2026-03-12T14:22:01Z"`, `1773325321`, "timestamp must be a string"},
		{`"2026-03-12T14:22:01Z"`, `"soon"`, "timestamp must be a valid ISO 8601 date"},
		{`"app"`, `"commit":{"sha":"xyz"},"app"`, "data.commit.sha must be a valid hex string (5-64 characters)"},
		{`"app"`, `"commit":{"sha":7},"app"`, "data.commit.sha must be a string"},
		{`"app"`, `"health_check":{},"metadata":{"build no":[]},"app"`, `data.metadata["build no"] must be a string, number, or boolean`},
		{`"app":"shop",`, ``, "data.app is required when type is deploy.live"},
		{`"deployment_id":"dep_1",`, `"deployment_id":null,`, "data.deployment_id is required"},
		{`"deployment_id":"dep_1",`, `"deployment_id":"dep_1","deployment_id":"dep_2",`, "data.deployment_id must not appear more than once"},
		{`"data":`, `"type":"deploy.live","data":`, "type must not appear more than once"},
		{`"app"`, `"event":"deploy.failed","app"`, "data.event must be the same as type, or left out"},
		{`"app"`, `"event":7,"app"`, "data.event must be a string"},
		{`"app"`, `"timestamp":"2026-03-12T14:22:02Z","app"`, "data.timestamp must be the same time as timestamp, or left out"},
		{`"app"`, `"timestamp":"soon","app"`, "data.timestamp must be a valid ISO 8601 date"},
		{
			`"data":`, `"event":"deploy.live","data":`,
			"event must not be next to type and data, because it makes the body an event without an envelope",
		},
	} {
		_, err := payload.DecodeEnvelope(replace(t, liveEnvelope, c.old, c.new))
		requireSafeError(t, err)
		assert.EqualError(t, err, "Invalid payload: "+c.want)
	}
	for _, c := range []struct{ doc, want string }{
		{`{}`, "type is required; timestamp is required; data is required"},
		{`[]`, "body must be an object"},
		{`null`, "body must be an object, not null"},
		{``, "body must be a JSON object, but is empty"},
		{liveEnvelope + `{}`, "body must be one valid JSON object and nothing else (error at byte 130)"},
		{`{"type":"deploy.live","timestamp":"2026-03-12T14:22:01Z","data":[]}`, "data must be an object"},
		{`{"type":"deploy.live","timestamp":"2026-03-12T14:22:01Z","data":null}`, "data is required"},
		{`{"type":"deploy.live","timestamp":"2026-03-12T14:22:01Z","deployment_id":"d","app":"a","environment":"e"}`, "data is required"},
		{
			`{"type":"deploy.live","timestamp":"2026-03-12T14:22:01Z","data":{}}`,
			"data.deployment_id is required; data.app is required when type is deploy.live; data.environment is required when type is deploy.live",
		},
		{`{"type":"deploy.live","timestamp":"2026-03-12T14:22:01Z","data":{"deployment_id":`, "body must be valid JSON, but ends too early"},
	} {
		_, err := payload.DecodeEnvelope([]byte(c.doc))
		requireSafeError(t, err)
		assert.EqualError(t, err, "Invalid payload: "+c.want)
	}
}

func TestDecodeEnvelope_NamesDroppedMembersByTheirPlace(t *testing.T) {
	t.Parallel()
	envelope, err := payload.DecodeEnvelope(replace(t, liveEnvelope, `"app"`, `"url":"javascript:x","commit":{"branch":7},"app"`))
	require.NoError(t, err)
	require.Len(t, envelope.Event.Dropped, 2)
	assert.Equal(t, "data.url", envelope.Event.Dropped[0].Path)
	assert.Equal(t, "data.commit.branch", envelope.Event.Dropped[1].Path)
}

// The top-level names event and type decide, wherever they are in the document.
func TestDecodeEventOrEnvelope(t *testing.T) {
	t.Parallel()
	const flat = `{"event":"deploy.live","timestamp":"2026-03-12T14:22:01Z","deployment_id":"dep_1","app":"shop","environment":"production"}`
	for name, c := range map[string]struct {
		doc      string
		envelope bool
	}{
		"event":                  {flat, false},
		"envelope":               {liveEnvelope, true},
		"event wins over type":   {`{"type":"deploy.failed","data":{"deployment_id":"dep_2"},` + flat[1:], false},
		"type at the end":        {`{` + strings.Replace(liveEnvelope[1:len(liveEnvelope)-1], `"type":"deploy.live",`, ``, 1) + `,"type":"deploy.live"}`, true},
		"event in data":          {strings.Replace(liveEnvelope, `"app"`, `"event":"deploy.live","app"`, 1), true},
		"names with escapes":     {strings.Replace(liveEnvelope, `"type"`, `"\u0074ype"`, 1), true},
		"event name in a string": {strings.Replace(liveEnvelope, `"data"`, `"note":"\"event\":","data"`, 1), true},
	} {
		event, envelope, err := payload.DecodeEventOrEnvelope([]byte(c.doc))
		require.NoError(t, err, name)
		require.Equal(t, c.envelope, envelope != nil, name)
		if envelope != nil {
			require.Same(t, &envelope.Event, event, name)
		}
		require.Equal(t, payload.DeployLive, event.Type, name)
		require.Equal(t, "dep_1", event.DeploymentID, name)
		_, flatErr := payload.DecodeEvent([]byte(c.doc))
		_, envelopeErr := payload.DecodeEnvelope([]byte(c.doc))
		require.Equal(t, c.envelope, flatErr != nil, name)
		require.Equal(t, c.envelope, envelopeErr == nil, name)
	}
	for _, c := range []struct{ doc, want string }{
		{`{}`, "body must have the member event, or the members type, timestamp and data of an envelope"},
		{`{"Type":"a.b","Event":"a.b"}`, "body must have the member event, or the members type, timestamp and data of an envelope"},
		{`{"event":null,"type":"a.b","timestamp":"2026-03-12T14:22:01Z","data":{"deployment_id":"d"}}`, "event is required; deployment_id is required"},
		{`{"type":null}`, "type is required; timestamp is required; data is required"},
		{`[{"type":"a.b"}]`, "body must be an object"},
		{``, "body must be a JSON object, but is empty"},
		{`{"type":"a.b"`, "body must be valid JSON, but ends too early"},
		{`{"type":"a.b","x":tru}`, "body must be one valid JSON object and nothing else (error at byte 21)"},
		{`{"type":"a.b","type":"a.b"}`, "type must not appear more than once"},
		{"{\"type\":\"\xff\"}", "body must be valid UTF-8"},
	} {
		event, envelope, err := payload.DecodeEventOrEnvelope([]byte(c.doc))
		requireSafeError(t, err)
		require.Nil(t, event)
		require.Nil(t, envelope)
		assert.EqualError(t, err, "Invalid payload: "+c.want)
	}
}

func TestEnvelopeValidateInGo(t *testing.T) {
	t.Parallel()
	valid := payload.Envelope{Event: payload.Event{Type: "a.b", Timestamp: at(1), DeploymentID: "d"}}
	require.NoError(t, valid.Validate())
	for _, name := range []string{"type", "timestamp", "data", "event"} {
		envelope := valid
		require.NoError(t, envelope.Extra.Set(name, 1))
		_, err := envelope.Encode()
		require.ErrorContains(t, err, "Invalid payload: "+name+" must")
	}
	envelope := valid
	require.NoError(t, envelope.Event.Extra.Set("type", "kept in data"))
	body, err := envelope.Encode()
	require.NoError(t, err)
	assert.Equal(t, `{"type":"a.b","timestamp":"2026-03-12T14:01:00Z","data":{"deployment_id":"d","type":"kept in data"}}`, string(body))

	require.NoError(t, envelope.Event.Extra.Set("deployment_id", "twice"))
	require.EqualError(t, envelope.Validate(), "Invalid payload: data.deployment_id must be set through its field, not through Extra")
	require.Error(t, new(payload.Envelope).Validate())
}

func TestEnvelopeJSON(t *testing.T) {
	t.Parallel()
	var envelope payload.Envelope
	require.NoError(t, stdjson.Unmarshal([]byte(liveEnvelope), &envelope))
	text, err := stdjson.Marshal(envelope)
	require.NoError(t, err)
	assert.Equal(t, liveEnvelope, string(text))
	before := envelope
	require.ErrorIs(t, stdjson.Unmarshal([]byte(`{}`), &envelope), payload.ErrInvalid)
	assert.Equal(t, before, envelope)
}

// The envelope's schema is made of the event's. After a change of that, change
// both.
func TestEnvelopeSchema_HasTheRulesOfTheEvent(t *testing.T) {
	t.Parallel()
	type object = map[string]any
	var event, envelope object
	require.NoError(t, stdjson.Unmarshal(payload.EventSchema(), &event))
	require.NoError(t, stdjson.Unmarshal(payload.EnvelopeSchema(), &envelope))
	properties := event["properties"].(object)
	data := envelope["properties"].(object)["data"].(object)
	assert.Equal(t, properties["event"], envelope["properties"].(object)["type"])
	assert.Equal(t, properties["timestamp"], envelope["properties"].(object)["timestamp"])
	delete(properties, "event")
	delete(properties, "timestamp")
	assert.Equal(t, properties, data["properties"])
	assert.Equal(t, event["$defs"], envelope["$defs"])
	rules, got := event["allOf"].([]any), envelope["allOf"].([]any)
	require.Len(t, got, len(rules))
	for i, rule := range rules {
		condition := rule.(object)["if"].(object)
		assert.Equal(t, object{
			"if":   object{"properties": object{"type": condition["properties"].(object)["event"]}, "required": []any{"type"}},
			"then": object{"properties": object{"data": rule.(object)["then"]}},
		}, got[i])
	}
}
