package payload_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
)

const optionalMembers = `"repositoryUrl":"https://git.example/acme/shop",` +
	`"commits":[{"repositoryUrl":"https://git.example/acme/web","commitSha":"c0ffee1","x":1.0},{"repositoryUrl":"https://git.example/acme/db","commitSha":"c0ffee2"}],` +
	`"artifactDigest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","version":"2.1.0",` +
	`"rollbackOf":"run-6","incidentUrl":"https://acme.example/incidents/7"`

func TestDeploymentOptionalMembers(t *testing.T) {
	t.Parallel()
	doc := replace(t, recordBase, `"x":0`, optionalMembers)
	d, err := payload.DecodeDeployment(doc)
	require.NoError(t, err)
	require.Empty(t, d.Dropped)
	require.Len(t, d.Commits, 2)
	assert.Equal(t, "c0ffee2", d.Commits[1].CommitSHA)
	assert.Equal(t, "run-6", d.RollbackOf)
	encoded, err := d.Encode()
	require.NoError(t, err)
	assert.Equal(t, string(doc), string(encoded), "to the byte")

	d, err = payload.DecodeDeployment(replace(t, recordBase, `"x":0`,
		`"repositoryUrl":null,"commits":null,"artifactDigest":null,"version":null,"rollbackOf":null,"incidentUrl":null`))
	require.NoError(t, err)
	encoded, err = d.Encode()
	require.NoError(t, err)
	assert.NotContains(t, string(encoded), "commits", "null is absent")
}

func TestDeploymentOptionalMembers_Invalid(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ member, want string }{
		{`"commits":{}`, "commits must be an array"},
		{`"commits":[7]`, "commits[0] must be an object"},
		{`"commits":[null]`, "commits[0] must be an object, not null"},
		{`"commits":[{"commitSha":"c0ffee1"}]`, "commits[0].repositoryUrl is required"},
		{`"commits":[{"repositoryUrl":"ssh://x","commitSha":"c0ffee1"}]`, "commits[0].repositoryUrl " + linkRule},
		{`"commits":[{"repositoryUrl":"https://x.example"}]`, "commits[0].commitSha is required"},
		{`"commits":[{"repositoryUrl":"https://x.example","commitSha":7}]`, "commits[0].commitSha must be a string"},
		{`"commits":[` + strings.Repeat(`{},`, 100) + `{}]`, "commits must have at most 100 elements"},
		{`"artifactDigest":"latest"`, "artifactDigest must be a digest such as sha256:… (at most 255 characters)"},
		{`"version":"` + strings.Repeat("v", 1025) + `"`, "version must be at most 1024 characters"},
		{`"rollbackOf":"a\nb"`, "rollbackOf must not contain control characters"},
	} {
		_, err := payload.DecodeDeployment(replace(t, recordBase, `"x":0`, test.member))
		require.ErrorIs(t, err, payload.ErrInvalid, test.member)
		assert.ErrorContains(t, err, test.want)
	}
	for _, member := range []string{"repositoryUrl", "incidentUrl"} {
		d, err := payload.DecodeDeployment(replace(t, recordBase, `"x":0`, `"`+member+`":"javascript:alert(1)"`))
		require.NoError(t, err)
		assert.Equal(t, []payload.Failure{{Path: member, Message: linkRule}}, d.Dropped, "it only informs")
	}
}
