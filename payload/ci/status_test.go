package ci_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/ci"
)

func TestParseStatus(t *testing.T) {
	t.Parallel()
	for want, words := range map[payload.Status][]string{
		payload.StatusSuccess: {
			"success", "SUCCESS", "Succeeded", "SucceededWithIssues", "partiallySucceeded", "SUCCESSFUL", "passed", "ok", "0", " success\n",
		},
		payload.StatusFailure: {
			"failure", "Failed", "FAILURE", "error", "errored", "UNSTABLE", "timed_out", "TIMED-OUT", "startup_failure", "1", "137", "-1",
			"3221225786", "rejected",
		},
		payload.StatusCancelled:  {"cancelled", "canceled", "Canceled", "ABORTED", "NOT_BUILT", "stopped", "STOPPED", "skipped", "killed"},
		payload.StatusInProgress: {"in_progress", "inProgress", "INPROGRESS", "running", "in progress"},
		payload.StatusPending:    {"pending", "created", "queued", "notStarted", "blocked", "waiting_for_resource"},
		payload.StatusRolledBack: {"rolled_back", "ROLLED_BACK", "rollback"},
	} {
		for _, word := range words {
			got, ok := ci.ParseStatus(word)
			assert.True(t, ok, word)
			assert.Equal(t, want, got, word)
		}
	}
	for _, word := range []string{"", "true", "false", "-", "1.0", "0x0", "12345678901", "done", "neutral", "+1", "--1", "succes"} {
		got, ok := ci.ParseStatus(word)
		assert.False(t, ok, word)
		assert.Empty(t, got, word)
	}
}
