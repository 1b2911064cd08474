package deployments_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/receiver/deployments"
)

// Azure DevOps puts unescaped project names into links, and some serializers
// write null for absent fields. The record is kept, and the log line names the
// dropped members.
func TestRecord_KeptWithoutInvalidInformation(t *testing.T) {
	t.Parallel()
	const base = `{"deploymentId":"ado-1","commitSha":"a1b2c3d","environment":"production","status":"success",` +
		`"startedAt":"2024-01-15T10:30:00Z","completedAt":"2024-01-15T10:35:00Z"`
	for _, test := range []struct{ members, link, dropped string }{
		{
			`"pipelineUrl":"https://dev.azure.com/org/My Project/_build/results?buildId=1"`,
			"https://dev.azure.com/org/My%20Project/_build/results?buildId=1", "",
		},
		{`"service":null,"metadata":null,"branch":null,"pipelineUrl":null`, "", ""},
		{
			`"pipelineUrl":"jenkins/1","branch":7`, "",
			`dropped="pipelineUrl must be an absolute http or https URL of at most 8192 characters; branch must be a string"`,
		},
	} {
		var log bytes.Buffer
		ledger := newLedger(t)
		h := newDeployments(t, ledger, deployments.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		w := deploy(h, acmeKey, base+","+test.members+"}")
		require.Equal(t, 201, w.Code, w.Body.String())
		r, err := ledger.Get(t.Context(), "acme", "ado-1")
		require.NoError(t, err)
		require.Equal(t, test.link, r.Deployment.PipelineURL)
		require.Equal(t, test.dropped != "", strings.Contains(log.String(), "dropped="))
		require.Contains(t, log.String(), test.dropped)
		require.Equal(t, 1, strings.Count(log.String(), `msg="webhook delivery"`))
	}
}
