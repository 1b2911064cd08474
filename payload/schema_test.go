package payload_test

import (
	stdjson "encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
)

// The separate module internal/schematest tests that the schemas and the Go
// code accept the same documents.

type schema struct {
	Schema     string             `json:"$schema"`
	ID         string             `json:"$id"`
	Properties map[string]*schema `json:"properties"`
}

func TestSchemas(t *testing.T) {
	t.Parallel()
	for name, get := range map[string]func() []byte{"event": payload.EventSchema, "envelope": payload.EnvelopeSchema, "deployment": payload.DeploymentSchema, "incident": payload.IncidentSchema} {
		text := get()
		assert.Equal(t, string(readFile(t, "schema/"+name+".schema.json")), string(text))
		clear(text)
		assert.NotEqual(t, string(text), string(get()), "the caller has a copy")

		var s schema
		require.NoError(t, stdjson.Unmarshal(get(), &s))
		assert.Equal(t, "https://json-schema.org/draft/2020-12/schema", s.Schema)
		assert.Equal(t, "https://github.com/deployhook/deployhook/payload/schema/"+name+".schema.json", s.ID)
	}
}

// The Go code knows exactly the members that the schemas list. It refuses these
// and no others in Extra.
func TestSchemasListEveryField(t *testing.T) {
	t.Parallel()
	var s schema
	require.NoError(t, stdjson.Unmarshal(payload.EventSchema(), &s))
	valid := payload.Event{
		Type: "a.b", Timestamp: at(1), DeploymentID: "d", Commit: new(payload.Commit), HealthCheck: new(payload.HealthCheck),
		Rollback: new(payload.Rollback),
	}
	names := slices.Concat([]string{"other", "App"}, slices.Collect(maps.Keys(s.Properties)))
	for _, nested := range []string{"commit", "health_check", "rollback"} {
		names = slices.AppendSeq(names, maps.Keys(s.Properties[nested].Properties))
	}
	require.Len(t, names, 2+20+4+4+3)
	for _, name := range names {
		commit, check, rollback, event := *valid.Commit, *valid.HealthCheck, *valid.Rollback, valid
		event.Commit, event.HealthCheck, event.Rollback = &commit, &check, &rollback
		for parent, extra := range map[*schema]*payload.Object{
			&s: &event.Extra, s.Properties["commit"]: &commit.Extra, s.Properties["health_check"]: &check.Extra,
			s.Properties["rollback"]: &rollback.Extra,
		} {
			require.NoError(t, extra.Set(name, 1))
			assert.Equal(t, parent.Properties[name] != nil, event.Validate() != nil, name)
			*extra = payload.Object{}
		}
	}

	s = schema{}
	require.NoError(t, stdjson.Unmarshal(payload.DeploymentSchema(), &s))
	require.Len(t, s.Properties, 21)
	for _, name := range append(slices.Collect(maps.Keys(s.Properties)), "other", "Status") {
		deployment := payload.Deployment{
			DeploymentID: "d", CommitSHA: "a1b2c", Environment: "e", Status: payload.StatusPending, StartedAt: at(1),
		}
		require.NoError(t, deployment.Extra.Set(name, 1))
		assert.Equal(t, s.Properties[name] != nil, deployment.Validate() != nil, name)
	}
}

func TestIncidentSchemaListsEveryField(t *testing.T) {
	t.Parallel()
	var s schema
	require.NoError(t, stdjson.Unmarshal(payload.IncidentSchema(), &s))
	require.Len(t, s.Properties, 9)
	for _, name := range append(slices.Collect(maps.Keys(s.Properties)), "other", "OpenedAt") {
		incident := payload.Incident{IncidentID: "7", OpenedAt: at(1)}
		require.NoError(t, incident.Extra.Set(name, 1))
		assert.Equal(t, s.Properties[name] != nil, incident.Validate() != nil, name)
	}
}
