package github_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/github"
)

const issueEvent = `{"action":"opened","issue":{"number":7,"title":"Slow answers","html_url":"https://github.com/acme/api/issues/7",` +
	`"state":"open","created_at":"2026-03-02T10:20:00Z","updated_at":"2026-03-02T10:25:00Z","closed_at":null,` +
	`"labels":[{"name":"bug"},{"name":"Incident"}]},"repository":{"name":"api","full_name":"acme/api"}}`

func TestIncidents(t *testing.T) {
	t.Parallel()
	decode, err := github.NewIncidentDecoder()
	require.NoError(t, err)
	i, err := decode(t.Context(), []byte(issueEvent))
	require.NoError(t, err)
	opened, updated := time.Date(2026, 3, 2, 10, 20, 0, 0, time.UTC), time.Date(2026, 3, 2, 10, 25, 0, 0, time.UTC)
	want := payload.Incident{
		IncidentID: "acme/api#7", OpenedAt: opened, UpdatedAt: updated, Service: "api", URL: "https://github.com/acme/api/issues/7",
		Title: "Slow answers",
	}
	require.Equal(t, &want, i)

	change := strings.NewReplacer(`"action":"opened"`, `"action":"closed"`, `"state":"open"`, `"state":"closed"`, `"closed_at":null`, `"closed_at":"2026-03-02T11:00:00Z"`)
	i, err = decode(t.Context(), []byte(change.Replace(issueEvent)))
	require.NoError(t, err)
	want.ResolvedAt = opened.Add(40 * time.Minute)
	require.Equal(t, &want, i)

	i, err = decode(t.Context(), []byte(strings.Replace(issueEvent, "opened", "reopened", 1)))
	require.NoError(t, err)
	require.Equal(t, updated, i.OpenedAt, "it is open again from then on")

	i, err = decode(t.Context(), []byte(strings.Replace(issueEvent, `"opened"`, `"labeled","label":{"name":"Incident"}`, 1)))
	require.NoError(t, err)
	require.Equal(t, opened, i.OpenedAt, "it is an incident from its beginning")

	decode, err = github.NewIncidentDecoder(github.WithIncidentLabel("BUG"), github.WithIncidentEnvironment("staging"))
	require.NoError(t, err)
	i, err = decode(t.Context(), []byte(issueEvent))
	require.NoError(t, err)
	require.Equal(t, "staging", i.Environment)
}

func TestIncidents_IgnoredAndInvalid(t *testing.T) {
	t.Parallel()
	decode, err := github.NewIncidentDecoder()
	require.NoError(t, err)
	for _, body := range []string{
		strings.Replace(issueEvent, `"Incident"`, `"incidental"`, 1),
		strings.Replace(issueEvent, "opened", "deleted", 1),
		strings.Replace(issueEvent, "opened", "edited", 1),
		strings.Replace(issueEvent, `"opened"`, `"labeled","label":{"name":"bug"}`, 1),
		strings.Replace(issueEvent, `"issue":{`, `"comment":{},"issue":{`, 1),
		strings.Replace(issueEvent, `"number":7`, `"number":7,"pull_request":{}`, 1),
		`{"zen":"x"}`,
	} {
		_, err := decode(t.Context(), []byte(body))
		require.ErrorIs(t, err, payload.ErrIgnored, body)
	}
	for body, want := range map[string]string{
		strings.Replace(issueEvent, `"2026-03-02T10:20:00Z"`, `"soon"`, 1): "issue.created_at",
		strings.Replace(issueEvent, `"number":7,`, ``, 1):                  "incidentId",
		`[]`: "",
	} {
		_, err := decode(t.Context(), []byte(body))
		require.ErrorIs(t, err, payload.ErrInvalid, body)
		require.ErrorContains(t, err, want)
	}
	_, err = github.NewIncidentDecoder(github.WithIncidentLabel(""), github.WithIncidentEnvironment(""))
	require.ErrorIs(t, err, github.ErrConfig)
	require.ErrorContains(t, err, "WithIncidentLabel")
	require.ErrorContains(t, err, "WithIncidentEnvironment")
}
