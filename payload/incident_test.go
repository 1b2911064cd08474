package payload_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
)

func TestIncident(t *testing.T) {
	t.Parallel()
	const doc = `{"incidentId":"7","openedAt":"2026-01-15T10:20:00Z","resolvedAt":"2026-01-15T11:00:00Z",` +
		`"updatedAt":"2026-01-15T11:00:01Z","service":"api","environment":"production","deploymentId":"run-6",` +
		`"url":"https://acme.example/7","title":"slow","severity":1.0}`
	i, err := payload.DecodeIncident([]byte(doc))
	require.NoError(t, err)
	encoded, err := i.Encode()
	require.NoError(t, err)
	assert.Equal(t, doc, string(encoded), "to the byte")

	i, err = payload.DecodeIncident([]byte(`{"incidentId":"7","openedAt":"2026-01-15T10:20:00Z","resolvedAt":null,"url":"nowhere","title":7}`))
	require.NoError(t, err)
	assert.Zero(t, i.ResolvedAt)
	assert.Equal(t, []payload.Failure{{Path: "url", Message: linkRule}, {Path: "title", Message: "must be a string"}}, i.Dropped)

	for doc, want := range map[string]string{
		`{}`:                                   "incidentId is required",
		`{"incidentId":"7"}`:                   "openedAt is required",
		`{"incidentId":"7","openedAt":"soon"}`: "openedAt must be a valid ISO 8601 date",
		`{"incidentId":"7","openedAt":"2026-01-15","deploymentId":7}`: "deploymentId must be a string",
		`[]`: "must be a",
	} {
		_, err := payload.DecodeIncident([]byte(doc))
		require.ErrorIs(t, err, payload.ErrInvalid, doc)
		assert.ErrorContains(t, err, want)
	}
	var extra payload.Incident
	require.NoError(t, extra.Extra.Set("service", "api"))
	assert.ErrorContains(t, extra.Validate(), "service must be set through its field")
}
