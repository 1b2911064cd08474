package payload_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
)

func TestDeploymentRoundTrip(t *testing.T) {
	t.Parallel()
	for name, doc := range documents(t, "testdata/deployment/valid") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			deployment, err := payload.DecodeDeployment(doc)
			require.NoError(t, err)
			encoded, err := deployment.Encode()
			require.NoError(t, err)
			requireGolden(t, "deployment-"+name+".json", encoded)

			again, err := payload.DecodeDeployment(encoded)
			require.NoError(t, err)
			assert.Equal(t, deployment, again)
			encodedAgain, err := again.Encode()
			require.NoError(t, err)
			assert.Equal(t, string(encoded), string(encodedAgain))
		})
	}
}

func TestDecodeDeploymentPeriscopeExample(t *testing.T) {
	t.Parallel()
	deployment, err := payload.DecodeDeployment(readFile(t, "testdata/deployment/valid/periscope-full.json"))
	require.NoError(t, err)
	metadata, err := payload.ParseMetadata([]byte(`{
    "version": "2.1.0",
    "releaseNotes": "Bug fixes and performance improvements",
    "featureFlags": "new-checkout-enabled"
  }`))
	require.NoError(t, err)
	assert.Equal(t, &payload.Deployment{
		DeploymentID:      "azure-devops-run-12345",
		CommitSHA:         "a1b2c3d4e5f60ab2c3d4e5f60ab2c3d4e5f60ab2",
		Environment:       "production",
		Status:            payload.StatusSuccess,
		StartedAt:         time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC),
		CompletedAt:       time.Date(2024, 1, 15, 10, 35, 0, 0, time.UTC),
		Service:           "api-gateway",
		Branch:            "main",
		PreviousCommitSHA: "f9e8d7c6b5a4f3e2d1c0b9a8f7e6d5c4b3a2f1e0",
		TriggeredBy:       "alice@example.com",
		PipelineName:      "Production Deploy",
		PipelineURL:       "https://dev.azure.com/org/project/_build/results?buildId=12345",
		Metadata:          metadata,
	}, deployment)
}

// The texts of Periscope's validation rules. Senders see them and search for
// them, so changing one breaks a contract.
const (
	textCommitSHA   = "Invalid payload: commitSha must be a valid hex string (5-40 characters)"
	textStatus      = "Invalid payload: status must be one of: pending, in_progress, success, failure, cancelled, rolled_back"
	textStartedAt   = "Invalid payload: startedAt must be a valid ISO 8601 date"
	textCompletedAt = "Invalid payload: completedAt must be a valid ISO 8601 date"
	textTerminal    = "Invalid payload: completedAt is required when status is a terminal state " +
		"(success, failure, cancelled, rolled_back)"
)

// TestDeploymentRules has the smallest change that breaks each rule, and the
// error text for it.
func TestDeploymentRules(t *testing.T) {
	t.Parallel()
	const base = `{"deploymentId":"d","commitSha":"a1b2c","environment":"e","status":"pending",` +
		`"startedAt":"2024-01-15T10:30:00Z","x":0}`
	const invalid = "Invalid payload: "
	long := strings.Repeat("ä", 1025)
	for _, test := range []struct{ old, new, want string }{
		{`"deploymentId":"d",`, ``, invalid + "deploymentId is required"},
		{`"deploymentId":"d"`, `"deploymentId":""`, invalid + "deploymentId is required"},
		{`"deploymentId":"d"`, `"deploymentId":42`, invalid + "deploymentId must be a string"},
		{`"deploymentId":"d"`, `"deploymentId":null`, invalid + "deploymentId is required"},
		{`"deploymentId":"d"`, `"deploymentId":"\u0000"`, invalid + "deploymentId must not contain control characters"},
		{
			`"deploymentId":"d"`, `"deploymentId":"` + strings.Repeat("x", 256) + `"`,
			invalid + "deploymentId must be at most 255 characters",
		},
		{`"commitSha":"a1b2c",`, ``, invalid + "commitSha is required"},
		{`"a1b2c"`, `12345`, invalid + "commitSha must be a string"},
		{`"a1b2c"`, `"a1b2"`, textCommitSHA},
		{`"a1b2c"`, `"main1"`, textCommitSHA},
		{`"a1b2c"`, `"` + strings.Repeat("a", 41) + `"`, textCommitSHA},
		{`"a1b2c"`, `"a1b2c\n"`, textCommitSHA},
		{`"environment":"e",`, ``, invalid + "environment is required"},
		{`"environment":"e"`, `"environment":["e"]`, invalid + "environment must be a string"},
		{`"environment":"e"`, `"environment":"` + long + `"`, invalid + "environment must be at most 1024 characters"},
		{`"status":"pending",`, ``, invalid + "status is required"},
		{`"pending"`, `"succeeded"`, textStatus},
		{`"pending"`, `"Success"`, textStatus},
		{`"pending"`, `0`, invalid + "status must be a string"},
		{`"startedAt":"2024-01-15T10:30:00Z",`, ``, invalid + "startedAt is required"},
		{`"2024-01-15T10:30:00Z"`, `"15/01/2024"`, textStartedAt},
		{`"2024-01-15T10:30:00Z"`, `"0001-01-01T00:00:00Z"`, textStartedAt},
		{`"2024-01-15T10:30:00Z"`, `1705314600`, invalid + "startedAt must be a string"},
		{`"x":0`, `"completedAt":"soon"`, textCompletedAt},
		{`"pending"`, `"success"`, textTerminal},
		{`"pending"`, `"failure"`, textTerminal},
		{`"pending"`, `"cancelled"`, textTerminal},
		{`"pending"`, `"rolled_back"`, textTerminal},
		{`"x":0`, `"organizationSlug":1`, invalid + "organizationSlug must be a string"},
		{`"x":0`, `"previousCommitSha":"` + long + `"`, invalid + "previousCommitSha must be at most 1024 characters"},
		{`"x":0`, `"rawPayload":"{}"`, invalid + "rawPayload must be an object"},
		{`"x":0`, `"metadata":{"tags":["a"]}`, invalid + "metadata.tags must be a string, number, or boolean"},
	} {
		_, err := payload.DecodeDeployment(replace(t, base, test.old, test.new))
		assert.EqualError(t, err, test.want, "%s", test.new)
	}
	_, err := payload.DecodeDeployment([]byte(base))
	assert.NoError(t, err)
}

func TestDeploymentReportsEverythingAtOnce(t *testing.T) {
	t.Parallel()
	_, err := payload.DecodeDeployment([]byte(
		`{"metadata":{"a":1,"b":null},"commitSha":"zz","status":"success","startedAt":"now","service":7}`))
	require.EqualError(t, err, "Invalid payload: metadata.b must be a string, number, or boolean; "+
		"startedAt must be a valid ISO 8601 date; "+
		"service must be a string; "+
		"deploymentId is required; "+
		"commitSha must be a valid hex string (5-40 characters); "+
		"environment is required; "+
		"completedAt is required when status is a terminal state (success, failure, cancelled, rolled_back)")

	var invalid *payload.ValidationError
	require.ErrorAs(t, err, &invalid)
	require.ErrorIs(t, err, payload.ErrInvalid)
	assert.Equal(t, payload.Failure{Path: "metadata.b", Message: "must be a string, number, or boolean"}, invalid.Failures[0])
	assert.Zero(t, invalid.Omitted)

	require.EqualError(t, new(payload.Deployment).Validate(), "Invalid payload: deploymentId is required; "+
		"commitSha is required; environment is required; status is required; startedAt is required")
}

func TestDeploymentValidateInGo(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*payload.Deployment){
		"startedAt must be a date in the years 1970 to 9999": func(d *payload.Deployment) {
			d.StartedAt = time.Date(1969, 12, 31, 23, 0, 0, 0, time.UTC)
		},
		"completedAt must be a date in the years 1970 to 9999": func(d *payload.Deployment) {
			d.CompletedAt = time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)
		},
		"deploymentId must be valid UTF-8": func(d *payload.Deployment) {
			d.DeploymentID = "\xff"
		},
		"pipelineUrl must be valid UTF-8": func(d *payload.Deployment) {
			d.PipelineURL = "https://\xff"
		},
		"status must be set through its field, not through Extra": func(d *payload.Deployment) {
			set(t, &d.Extra, "status")
		},
		"service must be set through its field, not through Extra": func(d *payload.Deployment) {
			set(t, &d.Extra, "service")
		},
	} {
		deployment := payload.Deployment{
			DeploymentID: "d", CommitSHA: "a1b2c", Environment: "e", Status: payload.StatusPending,
			StartedAt: time.Unix(1705314600, 0),
		}
		require.NoError(t, deployment.Validate())
		change(&deployment)
		require.EqualError(t, deployment.Validate(), "Invalid payload: "+want)
		encoded, err := deployment.Encode()
		require.ErrorIs(t, err, payload.ErrInvalid)
		require.Nil(t, encoded)
	}
}
