package ledgertest

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
)

// recordChecks test what is stored.
func recordChecks() []check {
	return []check{
		{"new deployment creates a record", create},
		{"repeated deployment updates its record", update},
		{"everything is kept to the byte", toTheByte},
		{"absent members keep their values", absentKept},
		{"unknown members are kept one by one", unknownKept},
		{"unknown members are bounded", unknownBounded},
		{"earliest start stays", earliestStart},
		{"abbreviated commit does not replace the full one", abbreviated},
		{"text that databases may misread", strangeText},
		{"invalid deployment is refused", invalid},
		{"no organization is refused", noOrganization},
		{"ended context is an error and changes nothing", endedContext},
	}
}

func create(e *env) {
	before := time.Now().Add(-time.Minute)
	r := e.record(success("a", 'a', 0, 5))
	require.True(e, r.Created)
	require.False(e, r.Stale)
	require.Equal(e, payload.Legal, r.Transition)
	require.EqualValues(e, 1, r.ID, "records are numbered from 1 within their organization")
	require.False(e, r.Linked)
	require.Zero(e, r.LinkedPRs)
	require.True(e, r.RecordedAt.After(before) && r.RecordedAt.Equal(r.UpdatedAt))
	require.Equal(e, success("a", 'a', 0, 5), r.Deployment)
	require.Equal(e, &r.Record, e.get("a"), "Record returns the stored record")
	require.EqualValues(e, 2, e.record(success("b", 'b', 10, 15)).ID)
}

func update(e *env) {
	first := e.record(deployment("a", payload.StatusInProgress, commit('a'), 0, 0))
	for range 3 {
		r := e.record(success("a", 'a', 0, 5))
		require.False(e, r.Created, "exactly one call creates a record")
		require.False(e, r.Stale)
		require.Equal(e, first.ID, r.ID, "a record keeps its number")
		require.Equal(e, first.RecordedAt, r.RecordedAt)
		require.Equal(e, payload.StatusSuccess, r.Deployment.Status)
		require.Equal(e, &r.Record, e.get("a"))
	}
	require.EqualValues(e, first.ID+1, e.record(success("b", 'b', 10, 15)).ID, "updates leave no gaps")
}

const everything = `{"deploymentId":"everything","commitSha":"a1b2c3d4e5f60ab2c3d4e5f60ab2c3d4e5f60ab2","environment":"production",` +
	`"status":"success","startedAt":"2024-01-15T10:30:00.123456789Z","completedAt":"2024-01-15T10:35:00.5Z","service":"api-gateway",` +
	`"branch":"main","previousCommitSha":"f9e8d7c6b5a4f3e2d1c0b9a8f7e6d5c4b3a2f1e0","triggeredBy":"dana@example.com",` +
	`"pipelineName":"Deploy \"<1>\"","pipelineUrl":"https://ci.example.com/?build=1&x=y",` +
	`"rawPayload":{ "b" : 1.0, "a":[9007199254740993,1e2, null,"\u00e9\ud83d\ude80"]},"metadata":{"n":12345678901234567890, "s":"\u0041","b":true},` +
	`"zone":{"z":1.50,"a" : "\/"},"attempt":1e0}`

func toTheByte(e *env) {
	d, err := payload.DecodeDeployment([]byte(everything))
	require.NoError(e, err)
	e.record(d)
	for range 2 {
		stored, err := e.get("everything").Deployment.Encode()
		require.NoError(e, err)
		require.Equal(e, everything, string(stored))
		e.record(d)
	}
}

func absentKept(e *env) {
	full, err := payload.DecodeDeployment([]byte(everything))
	require.NoError(e, err)
	full.Status, full.OrganizationSlug, full.CompletedAt = payload.StatusPending, e.org, at(90)
	e.record(full)
	e.record(&payload.Deployment{
		DeploymentID: "everything", CommitSHA: full.CommitSHA, Environment: full.Environment, Status: payload.StatusInProgress,
		StartedAt: full.StartedAt,
	})
	want := *full
	want.Status = payload.StatusInProgress
	require.Equal(e, &want, e.get("everything").Deployment)
	// Metadata and rawPayload are replaced as a whole.
	changed := want
	changed.Service, changed.Branch, changed.TriggeredBy, changed.PipelineName, changed.PipelineURL = "s", "b", "t", "p", "https://x.example"
	changed.CommitSHA, changed.Environment, changed.PreviousCommitSHA = commit('z'), "staging", commit('y')
	changed.RawPayload, changed.Metadata = payload.Object{}, payload.Metadata{}
	require.NoError(e, changed.RawPayload.Set("only", 1))
	require.NoError(e, changed.Metadata.Set("only", 1))
	e.record(&changed)
	require.Equal(e, &changed, e.get("everything").Deployment)
}

func unknownKept(e *env) {
	send := func(extra string) {
		d := deployment("a", payload.StatusInProgress, commit('a'), 0, 0)
		var err error
		d.Extra, err = payload.ParseObject([]byte(extra))
		require.NoError(e, err)
		e.record(d)
	}
	send(`{"region":"eu","n":1.0,"q\"":1}`)
	send(`{"n":2.50,"new":{"a" : 1}}`)
	require.Equal(e, `{"region":"eu","n":2.50,"q\"":1,"new":{"a" : 1}}`, e.get("a").Deployment.Extra.JSON())
}

func unknownBounded(e *env) {
	for i := range 6 {
		d := deployment("a", payload.StatusInProgress, commit('a'), 0, 0)
		require.NoError(e, d.Extra.Set(fmt.Sprintf("x%d", i), strings.Repeat("x", 100<<10)))
		e.record(d)
	}
	extra := e.get("a").Deployment.Extra
	require.LessOrEqual(e, len(extra.JSON()), 256<<10)
	_, newest := extra.Get("x5")
	require.True(e, newest, "the latest delivery is always kept")
}

func earliestStart(e *env) {
	e.record(deployment("a", payload.StatusInProgress, commit('a'), 3, 0))
	e.record(success("a", 'a', 9, 10))
	require.Equal(e, at(3), e.get("a").Deployment.StartedAt, "a pipeline whose last step reports the time of that step as the start")
	e.record(success("a", 'a', 1, 10))
	require.Equal(e, at(1), e.get("a").Deployment.StartedAt)
}

func abbreviated(e *env) {
	e.record(deployment("a", payload.StatusInProgress, commit('a'), 0, 0))
	e.record(deployment("a", payload.StatusSuccess, strings.ToUpper(commit('a')[:7]), 0, 5))
	require.Equal(e, commit('a'), e.get("a").Deployment.CommitSHA)
	e.record(deployment("a", payload.StatusSuccess, commit('b')[:7], 0, 5))
	require.Equal(e, commit('b')[:7], e.get("a").Deployment.CommitSHA)
	e.record(deployment("a", payload.StatusSuccess, commit('b'), 0, 5))
	require.Equal(e, commit('b'), e.get("a").Deployment.CommitSHA)
}

func strangeText(e *env) {
	long := "" // the longest allowed text, which is not compressible
	for range 37 {
		long += "\U0001F680" + rand.Text()
	}
	for i, text := range []string{long, "'; DROP TABLE x; --", "%", "_", "a\x00b", "\u2028\U0001F680", `\x00`, "ä", "A\u0308", "?", "$1", " lead", strings.Repeat("\U0001F680", 255)} {
		d := success(fmt.Sprint("id-", i), 'a', i, i+1)
		d.Service, d.Environment, d.TriggeredBy = text, text, text
		if !strings.Contains(text, "\x00") && text != long { // neither is allowed in an ID
			d.DeploymentID = text
		}
		e.record(d)
		got := e.get(d.DeploymentID)
		require.Equal(e, d, got.Deployment, "%q", text)
		listed, err := e.ledger.List(e.ctx, e.org, deployments.Filter{Service: text, Environment: text}, deployments.Page{})
		require.NoError(e, err)
		require.Len(e, listed.Items, 1, "%q is compared byte for byte", text)
		org := e.org + d.DeploymentID[:min(len(d.DeploymentID), 400)]
		require.EqualValues(e, 1, e.recordFor(org, d).ID)
		_, err = e.ledger.Get(e.ctx, org, d.DeploymentID)
		require.NoError(e, err)
	}
}

func invalid(e *env) {
	_, err := e.ledger.Record(e.ctx, e.org, &payload.Deployment{DeploymentID: "a"})
	require.ErrorIs(e, err, payload.ErrInvalid)
	_, err = e.ledger.Get(e.ctx, e.org, "a")
	require.ErrorIs(e, err, deployments.ErrNotRecorded)
}

func noOrganization(e *env) {
	_, err := e.ledger.Record(e.ctx, "", success("a", 'a', 0, 5))
	require.ErrorIs(e, err, deployments.ErrNoOrganization)
	require.ErrorIs(e, e.ledger.SetLinked(e.ctx, deployments.Link{DeploymentID: "a"}, 1), deployments.ErrNoOrganization)
	_, err = e.ledger.Get(e.ctx, "", "a")
	require.ErrorIs(e, err, deployments.ErrNoOrganization)
	_, err = e.ledger.List(e.ctx, "", deployments.Filter{}, deployments.Page{})
	require.ErrorIs(e, err, deployments.ErrNoOrganization)
}

func endedContext(e *env) {
	r := e.record(success("a", 'a', 0, 5))
	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	_, err := e.ledger.Record(ctx, e.org, success("b", 'b', 0, 5))
	require.ErrorIs(e, err, context.Canceled)
	require.ErrorIs(e, e.ledger.SetLinked(ctx, r.Link(e.org), 1), context.Canceled)
	_, err = e.ledger.Get(ctx, e.org, "a")
	require.ErrorIs(e, err, context.Canceled)
	_, err = e.ledger.List(ctx, e.org, deployments.Filter{}, deployments.Page{})
	require.ErrorIs(e, err, context.Canceled)
	_, err = e.ledger.Get(e.ctx, e.org, "b")
	require.ErrorIs(e, err, deployments.ErrNotRecorded)
	require.False(e, e.get("a").Linked)
}
