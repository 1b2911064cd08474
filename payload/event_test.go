package payload_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
)

func TestEventRoundTrip(t *testing.T) {
	t.Parallel()
	for name, doc := range documents(t, "testdata/event/valid") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			event, err := payload.DecodeEvent(doc)
			require.NoError(t, err)
			encoded, err := event.Encode()
			require.NoError(t, err)
			requireGolden(t, "event-"+name+".json", encoded)

			again, err := payload.DecodeEvent(encoded)
			require.NoError(t, err)
			assert.Equal(t, event, again)
			encodedAgain, err := again.Encode()
			require.NoError(t, err)
			assert.Equal(t, string(encoded), string(encodedAgain))
		})
	}
}

func TestDecodeEventGuideExamples(t *testing.T) {
	t.Parallel()
	started, err := payload.DecodeEvent(readFile(t, "testdata/event/valid/guide-started.json"))
	require.NoError(t, err)
	assert.Equal(t, &payload.Event{
		Type:         payload.DeployStarted,
		Timestamp:    time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC),
		DeploymentID: "dep_a1b2c3d4",
		App:          "api-service",
		Environment:  "production",
		Commit: &payload.Commit{
			SHA:     "f4c8e2a",
			Message: "fix: resolve timeout in payment handler",
			Author:  "dana@example.com",
			Branch:  "main",
		},
		TriggeredBy: "git_push",
	}, started)

	build, err := payload.DecodeEvent(readFile(t, "testdata/event/valid/guide-build.json"))
	require.NoError(t, err)
	assert.Equal(t, &payload.Event{
		Type:                 payload.BuildCompleted,
		Timestamp:            time.Date(2026, 3, 12, 14, 24, 18, 0, time.UTC),
		DeploymentID:         "dep_a1b2c3d4",
		BuildDurationSeconds: new(137.0),
		ImageSizeMB:          new(284.0),
		CacheHit:             new(true),
		Status:               payload.StatusSuccess,
	}, build)
}

func TestDecodeEventEveryField(t *testing.T) {
	t.Parallel()
	live, err := payload.DecodeEvent(readFile(t, "testdata/event/valid/live.json"))
	require.NoError(t, err)
	assert.Equal(t, "whk_019ce1d2f6a47c1e9c3b5a7d2e4f6081", live.DeliveryID)
	assert.Equal(t, time.Date(2026, 3, 12, 14, 25, 2, 318e6, time.UTC), live.Timestamp)
	assert.Equal(t, "https://api-service.example.com", live.URL)
	assert.Equal(t, "3f4e8a1b9c2d", live.ContainerID)
	assert.Equal(t, "2.1.0", live.Version)
	assert.Equal(t, "2.0.9", live.PreviousVersion)
	assert.Equal(t, &payload.HealthCheck{
		URL: "/health", StatusCode: new(200), ResponseTimeMS: new(41.5), Attempts: new(2),
	}, live.HealthCheck)
	replicas, _ := live.Metadata.Get("replicas")
	n, ok := replicas.Int64()
	assert.True(t, ok)
	assert.EqualValues(t, 3, n)

	rollback, err := payload.DecodeEvent(readFile(t, "testdata/event/valid/rolled-back.json"))
	require.NoError(t, err)
	assert.Equal(t, "error rate above 5%\nfor 10 minutes", rollback.Rollback.Reason)
	assert.Equal(t, "2.0.9", rollback.Rollback.RestoredVersion)
	assert.Equal(t, new(true), rollback.Rollback.Automatic)
	policy, ok := rollback.Rollback.Extra.Get("policy")
	assert.True(t, ok)
	assert.Equal(t, `{"window": "10m", "threshold":5.0e-2}`, policy.JSON())

	failed, err := payload.DecodeEvent(readFile(t, "testdata/event/valid/failed.json"))
	require.NoError(t, err)
	assert.Equal(t, "health check timed out: GET /health → 503", failed.Error)
	assert.Equal(t, new(0.0), failed.BuildDurationSeconds, "zero is not absent")
	assert.Equal(t, new(false), failed.CacheHit, "false is not absent")
	assert.False(t, failed.Metadata.IsZero(), "{} is not absent")
	assert.Nil(t, failed.ImageSizeMB)
}

// TestEventRules has the smallest change that breaks each rule, and the error
// text for it.
func TestEventRules(t *testing.T) {
	t.Parallel()
	const base = `{"event":"deploy.live","timestamp":"2026-03-12T14:22:01Z","deployment_id":"d","app":"a",` +
		`"environment":"e","x":0}`
	long := strings.Repeat("ä", 1025)
	for _, test := range []struct{ old, new, want string }{
		{`"event":"deploy.live",`, ``, "event is required"},
		{`"deploy.live"`, `""`, "event is required"},
		{`"deploy.live"`, `5`, "event must be a string"},
		{`"deploy.live"`, `null`, "event is required"},
		{`"deploy.live"`, `"live"`, "event must be dotted lower-case words such as deploy.live (at most 128 characters)"},
		{`"timestamp":"2026-03-12T14:22:01Z",`, ``, "timestamp is required"},
		{`"2026-03-12T14:22:01Z"`, `""`, "timestamp is required"},
		{`"2026-03-12T14:22:01Z"`, `"yesterday"`, "timestamp must be a valid ISO 8601 date"},
		{`"2026-03-12T14:22:01Z"`, `1773325321`, "timestamp must be a string"},
		{`"deployment_id":"d",`, ``, "deployment_id is required"},
		{`"deployment_id":"d"`, `"deployment_id":""`, "deployment_id is required"},
		{`"deployment_id":"d"`, `"deployment_id":"d\n"`, "deployment_id must not contain control characters"},
		{
			`"deployment_id":"d"`, `"deployment_id":"` + strings.Repeat("x", 256) + `"`,
			"deployment_id must be at most 255 characters",
		},
		{`"x":0`, `"delivery_id":"a b"`, "delivery_id must be 1-255 visible ASCII characters"},
		{`"x":0`, `"delivery_id":"` + strings.Repeat("x", 256) + `"`, "delivery_id must be 1-255 visible ASCII characters"},
		{`"app":"a",`, ``, "app is required when event is deploy.live"},
		{`"app":"a"`, `"app":"` + long + `"`, "app must be at most 1024 characters"},
		{`"environment":"e",`, ``, "environment is required when event is deploy.live"},
		{`"environment":"e"`, `"environment":"` + long + `"`, "environment must be at most 1024 characters"},
		{`"x":0`, `"commit":"f4c8e2a"`, "commit must be an object"},
		{`"x":0`, `"commit":{"sha":"main"}`, "commit.sha must be a valid hex string (5-64 characters)"},
		{`"x":0`, `"commit":{"message":[]}`, "commit.message must be a string"},
		{`"x":0`, `"status":true`, "status must be a string"},
		{`"x":0`, `"build_duration_seconds":"137"`, "build_duration_seconds must be a number"},
		{`"x":0`, `"build_duration_seconds":-1`, "build_duration_seconds must be a number from 0 to 9007199254740991"},
		{`"x":0`, `"build_duration_seconds":1e999`, "build_duration_seconds must be a number from 0 to 9007199254740991"},
		{`"x":0`, `"image_size_mb":1e16`, "image_size_mb must be a number from 0 to 9007199254740991"},
		{`"x":0`, `"cache_hit":"true"`, "cache_hit must be a boolean"},
		{`"x":0`, `"container_id":7`, "container_id must be a string"},
		{`"x":0`, `"health_check":"ok"`, "health_check must be an object"},
		{`"x":0`, `"health_check":{"status_code":200.5}`, "health_check.status_code must be an integer from 0 to 999"},
		{`"x":0`, `"health_check":{"status_code":1000}`, "health_check.status_code must be an integer from 0 to 999"},
		{
			`"x":0`, `"health_check":{"response_time_ms":-1}`,
			"health_check.response_time_ms must be a number from 0 to 9007199254740991",
		},
		{`"x":0`, `"health_check":{"attempts":-1}`, "health_check.attempts must be an integer from 0 to 2147483647"},
		{`"x":0`, `"health_check":{"attempts":1e17}`, "health_check.attempts must be an integer from 0 to 2147483647"},
		{`"x":0`, `"error":["boom"]`, "error must be a string"},
		{`"x":0`, `"version":2.1`, "version must be a string"},
		{`"x":0`, `"previous_version":"` + long + `"`, "previous_version must be at most 1024 characters"},
		{`"x":0`, `"rollback":true`, "rollback must be an object"},
		{`"x":0`, `"rollback":{"automatic":1}`, "rollback.automatic must be a boolean"},
		{`"x":0`, `"metadata":[]`, "metadata must be an object"},
		{`"x":0`, `"metadata":{"a":{"b":1}}`, "metadata.a must be a string, number, or boolean"},
		{`"x":0`, `"metadata":{"a":null}`, "metadata.a must be a string, number, or boolean"},
		{`"x":0`, `"metadata":{"a b\u0007":[]}`, `metadata["a b\a"] must be a string, number, or boolean`},
	} {
		_, err := payload.DecodeEvent(replace(t, base, test.old, test.new))
		assert.EqualError(t, err, "Invalid payload: "+test.want, "%s", test.new)
	}
	_, err := payload.DecodeEvent([]byte(base))
	assert.NoError(t, err)
}

func TestEvent_RequiredFieldsPerType(t *testing.T) {
	t.Parallel()
	full := payload.Event{
		Timestamp: time.Unix(1773325321, 0), DeploymentID: "d", App: "a", Environment: "e", Error: "x", PreviousVersion: "1",
	}
	fields := map[string]func(*payload.Event){
		"app": func(e *payload.Event) {
			e.App = ""
		},
		"environment": func(e *payload.Event) {
			e.Environment = ""
		},
		"error": func(e *payload.Event) {
			e.Error = ""
		},
		"previous_version": func(e *payload.Event) {
			e.PreviousVersion = ""
		},
	}
	for eventType, needs := range map[payload.Type][]string{
		payload.DeployStarted:     {"app"},
		payload.BuildCompleted:    {},
		payload.HealthCheckPassed: {},
		payload.DeployLive:        {"app", "environment"},
		payload.DeployFailed:      {"app", "error"},
		payload.DeployRolledBack:  {"app", "previous_version"},
		"platform.scaled":         {},
	} {
		for name, clear := range fields {
			event := full
			event.Type = eventType
			require.NoError(t, event.Validate())
			clear(&event)
			err := event.Validate()
			if slices.Contains(needs, name) {
				assert.EqualError(t, err, "Invalid payload: "+name+" is required when event is "+string(eventType))
			} else {
				assert.NoError(t, err, "%s without %s", eventType, name)
			}
		}
	}
}

// Third parties use other words and members. Their events are accepted too.
func TestDecodeEvent_AcceptsThirdPartyWords(t *testing.T) {
	t.Parallel()
	const base = `{"event":"build.completed","timestamp":"2026-03-12T14:22:01Z","deployment_id":"d","x":0}`
	for _, member := range []string{
		`"status":"succeeded"`, `"commit":{}`, `"commit":{"sha":""}`, `"commit":{"message":"only"}`, `"url":""`,
		`"health_check":{"status":"passed","checks":[1,2]}`, `"delivery_id":""`, `"rollback":{}`,
		`"environment":""`, `"build_duration_seconds":-0`, `"build_duration_seconds":0.0000001`, `"x":null`,
		`"delivery_id":"a.b/c=="`, `"url":"HTTP://localhost:8080"`, `"url":"https://münchen.example/ä?q#f"`,
		`"commit":{"sha":"` + strings.Repeat("a", 64) + `"}`, `"app":"` + strings.Repeat("ä", 1024) + `"`,
	} {
		event, err := payload.DecodeEvent(replace(t, base, `"x":0`, member))
		if assert.NoError(t, err, member) {
			_, err = event.Encode()
			assert.NoError(t, err, member)
		}
	}
}

// Validate finds values that Go code can set but JSON cannot represent, so they
// are never sent.
func TestEventValidateInGo(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*payload.Event){
		"timestamp must be a date in the years 1970 to 9999": func(e *payload.Event) {
			e.Timestamp = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
		},
		"app must be valid UTF-8": func(e *payload.Event) {
			e.App = "\xff"
		},
		"error must be valid UTF-8": func(e *payload.Event) {
			e.Error = "\xff"
		},
		"commit.message must be valid UTF-8": func(e *payload.Event) {
			e.Commit = &payload.Commit{Message: "\xc0\x80"}
		},
		"rollback.reason must be valid UTF-8": func(e *payload.Event) {
			e.Rollback = &payload.Rollback{Reason: "\xed\xa0\x80"}
		},
		"build_duration_seconds must be a number from 0 to 9007199254740991": func(e *payload.Event) {
			e.BuildDurationSeconds = new(math.Inf(1))
		},
		"image_size_mb must be a number from 0 to 9007199254740991": func(e *payload.Event) {
			e.ImageSizeMB = new(math.NaN())
		},
		"timestamp is required": func(e *payload.Event) {
			e.Timestamp = time.Time{}
		},
		"app must be set through its field, not through Extra": func(e *payload.Event) {
			set(t, &e.Extra, "app")
		},
		"commit.sha must be set through its field, not through Extra": func(e *payload.Event) {
			e.Commit = new(payload.Commit)
			set(t, &e.Commit.Extra, "sha")
		},
		"rollback.automatic must be set through its field, not through Extra": func(e *payload.Event) {
			e.Rollback = new(payload.Rollback)
			set(t, &e.Rollback.Extra, "automatic")
		},
		"health_check.attempts must be set through its field, not through Extra": func(e *payload.Event) {
			e.HealthCheck = new(payload.HealthCheck)
			set(t, &e.HealthCheck.Extra, "attempts")
		},
		"health_check.status_code must be an integer from 0 to 999": func(e *payload.Event) {
			e.HealthCheck = &payload.HealthCheck{StatusCode: new(-1)}
		},
		"health_check.response_time_ms must be a number from 0 to 9007199254740991": func(e *payload.Event) {
			e.HealthCheck = &payload.HealthCheck{ResponseTimeMS: new(-0.1)}
		},
		"event must be dotted lower-case words such as deploy.live (at most 128 characters)": func(e *payload.Event) {
			e.Type = "Deploy.Live"
		},
	} {
		event := payload.Event{Type: payload.BuildCompleted, Timestamp: time.Unix(1773325321, 0), DeploymentID: "d"}
		require.NoError(t, event.Validate())
		change(&event)
		require.EqualError(t, event.Validate(), "Invalid payload: "+want)
		encoded, err := event.Encode()
		require.ErrorIs(t, err, payload.ErrInvalid)
		require.Nil(t, encoded)
	}
}

func set(t *testing.T, o *payload.Object, name string) {
	t.Helper()
	require.NoError(t, o.Set(name, "x"))
}

func TestEncodeEventWritesUTC(t *testing.T) {
	t.Parallel()
	event := payload.Event{
		Type: payload.BuildCompleted, DeploymentID: "d",
		Timestamp: time.Date(2026, 3, 12, 16, 22, 1, 500, time.FixedZone("", 2*60*60)),
	}
	encoded, err := event.Encode()
	require.NoError(t, err)
	assert.Equal(t, `{"event":"build.completed","timestamp":"2026-03-12T14:22:01.0000005Z","deployment_id":"d"}`,
		string(encoded))
}
