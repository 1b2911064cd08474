package inbox_test

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/github"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/receiver/receivertest"
	"github.com/deployhook/deployhook/signer"
)

const (
	gitHubStatus = `{"action":"created",
"deployment_status":{"id":7,"state":"STATE","created_at":"2025-07-02T09:15:42Z","environment":"production","target_url":"https://ci.example.com/7"},
"deployment":{"id":42,"sha":"3f786850e387550fdab836ed7e6dc881de23001b","ref":"main","created_at":"2025-07-02T09:14:58Z"},
"repository":{"name":"octo-repo"}}`
	gitHubPing = `{"zen":"Keep it logically awesome.","hook_id":1,"hook":{}}`
)

func gitHubState(state string) string { return strings.Replace(gitHubStatus, "STATE", state, 1) }

// newGitHub returns an inbox's handler for GitHub's webhooks, and what signs
// for it.
func newGitHub(t *testing.T, in *inbox.Inbox) (*receivertest.Client, *receivertest.Scheme) {
	t.Helper()
	scheme := receivertest.GitHub(t, signer.GenerateLiteralSecret())
	decode, err := github.NewDecoder()
	require.NoError(t, err)
	h, err := in.Records(scheme.Verifier(), "github", decode, receiver.WithLogger(quiet()))
	require.NoError(t, err)
	return receivertest.Direct(t, h), scheme
}

// A record is stored with its event, handled once, and complete in the handler,
// also in a process that has no decoder.
func TestRecords_HandledWithTheRecord(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		got := make(chan *receiver.Delivery, 3)
		handle := func(ctx context.Context, e *payload.Event) error {
			d, _ := receiver.FromContext(ctx)
			assert.Same(t, e, d.Event)
			got <- d
			return nil
		}
		client, scheme := newGitHub(t, open(handle))
		success := scheme.Body([]byte(gitHubState("success")))
		client.Post(success.Forged()).Want(receiver.Unauthenticated)
		client.Post(scheme.Body([]byte(gitHubPing)).Request()).Want(receiver.Ignored)
		client.Post(success.Request()).WantStatus(http.StatusAccepted)
		client.Post(success.Request()).Want(receiver.Duplicate)

		worker := open(handle)
		start(t, worker)
		reaches(t, worker, inbox.Stats{Handled: 1})
		d := <-got
		assert.Equal(t, payload.DeployLive, d.Event.Type)
		assert.Equal(t, "octo-repo", d.Event.App)
		assert.Equal(t, "github", d.Source)
		require.NotNil(t, d.Deployment)
		assert.Equal(t, payload.StatusSuccess, d.Deployment.Status)
		assert.Equal(t, "https://ci.example.com/7", d.Deployment.PipelineURL)
		assert.JSONEq(t, gitHubState("success"), d.Deployment.RawPayload.JSON())

		client.Post(scheme.Body([]byte(gitHubState("failure"))).Request()).WantStatus(http.StatusAccepted)
		reaches(t, worker, inbox.Stats{Handled: 2})
		assert.Equal(t, "deployment failed", (<-got).Event.Error)
	})
}

// Each status becomes an event, with what the record lacks. A record that
// cannot become one is refused, and nothing is stored.
func TestRecords_EachStatus(t *testing.T) {
	t.Parallel()
	got := make(chan *receiver.Delivery, 1)
	in := openOne(t, func(ctx context.Context, _ *payload.Event) error {
		d, _ := receiver.FromContext(ctx)
		got <- d
		return nil
	})
	start(t, in)
	scheme := newScheme(t)
	decode := func(_ context.Context, body []byte) (*payload.Deployment, error) {
		return payload.DecodeDeployment(body)
	}
	h, err := in.Records(scheme, "ci", decode, receiver.WithLogger(quiet()))
	require.NoError(t, err)
	at := &endpoint{t: t, scheme: scheme, h: h}
	at0 := time.Date(2026, 3, 12, 14, 0, 0, 0, time.UTC)
	record := payload.Deployment{
		DeploymentID: "run-1", CommitSHA: "3f786850e387550fdab836ed7e6dc881de23001b", Environment: "production",
		StartedAt: at0, CompletedAt: at0.Add(time.Minute), Service: "api",
	}
	for status, want := range map[payload.Status]payload.Event{
		payload.StatusPending:    {Type: payload.DeployStarted},
		payload.StatusInProgress: {Type: payload.DeployStarted},
		payload.StatusSuccess:    {Type: payload.DeployLive},
		payload.StatusFailure:    {Type: payload.DeployFailed, Error: "deployment failed"},
		payload.StatusCancelled:  {Type: payload.DeployFailed, Error: "deployment cancelled"},
		payload.StatusRolledBack: {Type: payload.DeployRolledBack, PreviousVersion: "unknown"},
	} {
		record.Status = status
		at.accept(encoded(t, &record))
		d := <-got
		assert.Equal(t, want.Type, d.Event.Type, status)
		assert.Equal(t, want.Error, d.Event.Error, status)
		assert.Equal(t, want.PreviousVersion, d.Event.PreviousVersion, status)
		assert.Equal(t, status, d.Event.Status)
		require.NotNil(t, d.Deployment, status)
		assert.True(t, record.Equal(d.Deployment), status)
	}
	record.Service, record.Status = "", payload.StatusSuccess
	w := at.post(payload.NewDeliveryID(), encoded(t, &record))
	require.Equal(t, http.StatusBadRequest, w.Code)
	require.Contains(t, w.Body.String(), "app")
	reaches(t, in, inbox.Stats{Handled: 6})
}

// openOne opens an inbox on a SQLite file of its own.
func openOne(t *testing.T, h receiver.EventHandler) *inbox.Inbox {
	t.Helper()
	in, err := inbox.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "inbox.db"), h, testOptions()...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, in.Close()) })
	return in
}

func encoded(t *testing.T, d *payload.Deployment) string {
	t.Helper()
	text, err := d.Encode()
	require.NoError(t, err)
	return string(text)
}

// Events of [inbox.Inbox.Handler] have no record, even if they have the member.
func TestRecords_NoneInOtherEvents(t *testing.T) {
	t.Parallel()
	got := make(chan *receiver.Delivery, 1)
	in := openOne(t, func(ctx context.Context, _ *payload.Event) error {
		d, _ := receiver.FromContext(ctx)
		got <- d
		return nil
	})
	start(t, in)
	newEndpoint(t, in, "platform").accept(strings.Replace(started(1), "{", `{"deployhook_record":7,`, 1))
	require.Nil(t, (<-got).Deployment)
}

func TestRecords_Configuration(t *testing.T) {
	t.Parallel()
	in := openOne(t, func(context.Context, *payload.Event) error { return nil })
	decode, err := github.NewDecoder()
	require.NoError(t, err)
	_, err = in.Records(newScheme(t), "github", nil)
	require.ErrorIs(t, err, inbox.ErrConfig)
	require.ErrorContains(t, err, "NewDecoder")
	_, err = in.Records(newScheme(t), "", decode)
	require.ErrorIs(t, err, inbox.ErrConfig)
	require.ErrorContains(t, err, "Records: the source")
	require.NoError(t, in.Close())
	_, err = in.Records(newScheme(t), "github", decode)
	require.ErrorIs(t, err, inbox.ErrClosed)
}
