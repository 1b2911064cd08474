package payload_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
)

// transitions is the table in the doc comment on Status.Transition, word for
// word.
const transitions = `
s \ next     pending  in_progress success  failure  cancelled rolled_back
(none)       legal    legal       legal    legal    legal     legal
pending      repeated legal       legal    legal    legal     legal
in_progress  stale    repeated    legal    legal    legal     legal
success      stale    stale       repeated illegal  illegal   legal
failure      stale    stale       illegal  repeated illegal   legal
cancelled    stale    stale       illegal  illegal  repeated  legal
rolled_back  stale    stale       stale    stale    stale     repeated
`

func TestStatusTransition(t *testing.T) {
	t.Parallel()
	source := string(readFile(t, "status.go"))
	lines := strings.Split(strings.TrimSpace(transitions), "\n")
	columns := strings.Fields(lines[0])[3:]
	require.Len(t, columns, 6)
	for _, line := range lines {
		assert.Contains(t, source, "//\t"+line+"\n", "the doc comment has the same table")
	}
	for _, line := range lines[1:] {
		cells := strings.Fields(line)
		from := payload.Status(strings.TrimPrefix(cells[0], "(none)"))
		for i, want := range cells[1:] {
			next := payload.Status(columns[i])
			assert.Equal(t, want, from.Transition(next).String(), "%q to %q", from, next)
			assert.Equal(t, want == "legal", from.CanBecome(next), "%q to %q", from, next)
		}
	}
	for _, unknown := range []payload.Status{"", "Success", "succeeded", "rolled-back"} {
		assert.Equal(t, payload.Illegal, payload.StatusPending.Transition(unknown))
		if unknown != "" {
			assert.Equal(t, payload.Illegal, unknown.Transition(payload.StatusSuccess))
			assert.Equal(t, payload.Illegal, unknown.Transition(unknown))
		}
	}
}

func TestStatusTerminal(t *testing.T) {
	t.Parallel()
	for status, terminal := range map[payload.Status]bool{
		payload.StatusPending: false, payload.StatusInProgress: false, payload.StatusSuccess: true,
		payload.StatusFailure: true, payload.StatusCancelled: true, payload.StatusRolledBack: true,
	} {
		assert.True(t, status.Known())
		assert.Equal(t, terminal, status.Terminal(), status)
	}
	for _, unknown := range []payload.Status{"", "done", "SUCCESS"} {
		assert.False(t, unknown.Known())
		assert.False(t, unknown.Terminal())
	}
}

func TestTypeForm(t *testing.T) {
	t.Parallel()
	valid := func(eventType string) bool {
		_, err := payload.DecodeEvent([]byte(`{"event":"` + eventType + `","timestamp":"2026-03-12","deployment_id":"d"}`))
		return err == nil
	}
	for _, form := range []string{"a.b", "build.completed", "a_1.b_2.c_3", "_._", "0.1", strings.Repeat("a.", 63) + "aa"} {
		assert.True(t, valid(form), form)
	}
	for _, form := range []string{
		"", "deploy", ".a", "a.", "a..b", "A.b", "a.b ", "a-b.c", "a.é", "a/b.c", strings.Repeat("a.", 64) + "a",
		"*.*", "deploy.*",
	} {
		assert.False(t, valid(form), form)
	}
	for _, known := range []payload.Type{
		payload.DeployStarted, payload.BuildCompleted, payload.HealthCheckPassed, payload.DeployLive, payload.DeployFailed,
		payload.DeployRolledBack,
	} {
		assert.True(t, known.Known())
	}
	assert.False(t, payload.Type("deploy.paused").Known())
}
