package periscope_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/internal/formattest"
	"github.com/deployhook/deployhook/sender/periscope"
	"github.com/deployhook/deployhook/sender/sendertest"
	"github.com/deployhook/deployhook/signer"
)

func newFormat(t testing.TB, opts ...periscope.Option) *periscope.Format {
	t.Helper()
	f, err := periscope.New(opts...)
	require.NoError(t, err)
	return f
}

func TestGolden(t *testing.T) {
	t.Parallel()
	f := newFormat(t, periscope.WithBase(payload.Deployment{
		Environment: "production", PipelineName: "Production Deploy", PipelineURL: "https://ci.example/runs/1",
	}))
	formattest.Golden(t, f, "golden", *update)
}

func record(t testing.TB, f *periscope.Format, e *payload.Event) *payload.Deployment {
	t.Helper()
	contentType, body, err := f.Encode(t.Context(), e)
	require.NoError(t, err)
	require.Equal(t, "application/json", contentType)
	d, err := payload.DecodeDeployment(body)
	require.NoError(t, err)
	return d
}

// Where startedAt comes from, in this order.
func TestStart(t *testing.T) {
	t.Parallel()
	event := func(metadata string) *payload.Event {
		e := formattest.Events()["deploy_failed"]
		if metadata != "" {
			require.NoError(t, e.Metadata.Set(periscope.StartedAt, metadata))
		}
		return e
	}
	early := time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC)
	knows := periscope.WithStartTimes(func(id string) (time.Time, bool) { return early, id == "dep_a1b2c3d4" })
	knowsNot := periscope.WithStartTimes(func(string) (time.Time, bool) { return time.Time{}, false })
	base := periscope.WithBase(payload.Deployment{StartedAt: early.Add(2 * time.Minute)})
	const fromMetadata = "2026-03-12 14:23:01 UTC"
	for name, c := range map[string]struct {
		opts     []periscope.Option
		metadata string
		want     time.Time
		assumed  bool
	}{
		"function":            {[]periscope.Option{knows, base}, fromMetadata, early, false},
		"metadata":            {[]periscope.Option{knowsNot, base}, fromMetadata, early.Add(time.Minute), false},
		"base":                {[]periscope.Option{base}, "", early.Add(2 * time.Minute), false},
		"bad metadata":        {[]periscope.Option{base}, "yesterday", early.Add(2 * time.Minute), false},
		"assumed":             {nil, "", event("").Timestamp, true},
		"metadata after it":   {nil, "2027-01-01", event("").Timestamp, true},
		"function has no one": {[]periscope.Option{knowsNot}, "", event("").Timestamp, true},
	} {
		d := record(t, newFormat(t, c.opts...), event(c.metadata))
		require.Equal(t, c.want, d.StartedAt, name)
		_, assumed := d.Metadata.Get(periscope.AssumedStart)
		require.Equal(t, c.assumed, assumed, name)
		_, _, err := newFormat(t, append(c.opts, periscope.WithExactStart())...).Encode(t.Context(), event(c.metadata))
		require.Equal(t, c.assumed, err != nil, name)
		if err != nil {
			require.ErrorIs(t, err, periscope.ErrUnknownStart)
		}
	}
	// A deploy.started knows it itself.
	started := formattest.Events()["deploy_started"]
	require.Equal(t, started.Timestamp, record(t, newFormat(t, knows, periscope.WithExactStart()), started).StartedAt)
}

func TestNoMessage(t *testing.T) {
	t.Parallel()
	f := newFormat(t)
	events := formattest.Events()
	for _, name := range []string{"build_completed", "health_check_passed", "custom"} {
		_, _, err := f.Encode(t.Context(), events[name])
		require.ErrorIs(t, err, sender.ErrNoMessage, name)
	}
	noCommit := events["deploy_live"]
	noCommit.Commit = nil
	_, _, err := f.Encode(t.Context(), noCommit)
	require.ErrorIs(t, err, sender.ErrNoMessage)
	require.Equal(t, "abcdef0", record(t, newFormat(t, periscope.WithBase(payload.Deployment{CommitSHA: "abcdef0"})), noCommit).CommitSHA)

	// An event of an unknown type with a status is a change of status.
	cancelled := events["custom"]
	cancelled.Status = payload.StatusCancelled
	d := record(t, f, cancelled)
	require.Equal(t, payload.StatusCancelled, d.Status)
	require.Equal(t, cancelled.Timestamp, d.CompletedAt)
}

// If Periscope would refuse a record, the error names the reason, and is not
// ErrNoMessage.
func TestInvalid(t *testing.T) {
	t.Parallel()
	e := formattest.Events()["deploy_started"]
	e.Environment = ""
	_, _, err := newFormat(t).Encode(t.Context(), e)
	require.NotErrorIs(t, err, sender.ErrNoMessage)
	var invalid *payload.ValidationError
	require.ErrorAs(t, err, &invalid)
	require.ErrorContains(t, err, "environment")
	require.Equal(t, "staging", record(t, newFormat(t, periscope.WithBase(payload.Deployment{Environment: "staging"})), e).Environment)
}

func TestHostile(t *testing.T) {
	t.Parallel()
	f := newFormat(t, periscope.WithBase(payload.Deployment{Environment: "production", Service: "shop"}))
	for name, text := range formattest.Hostile() {
		check(t, f, "deploy.failed", text, name)
	}
}

func FuzzEncode(f *testing.F) {
	formattest.Seeds(f, 0)
	format := newFormat(f)
	f.Fuzz(func(t *testing.T, typ, text string) { check(t, format, typ, text, "") })
}

// check requires a valid record.
func check(t testing.TB, f *periscope.Format, typ, text, name string) {
	t.Helper()
	_, body, err := f.Encode(t.Context(), formattest.HostileEvent(payload.Type(typ), text))
	if err != nil {
		return
	}
	_, err = payload.DecodeDeployment(body)
	require.NoError(t, err, name)
}

func TestConfig(t *testing.T) {
	t.Parallel()
	_, err := periscope.New(
		nil, periscope.WithStartTimes(nil), periscope.WithBase(payload.Deployment{Status: payload.StatusSuccess}),
		periscope.WithBase(payload.Deployment{PipelineURL: "ftp://ci.example", CommitSHA: "xyz"}),
	)
	require.ErrorIs(t, err, periscope.ErrConfig)
	for _, part := range []string{"nil Option", "WithStartTimes: the function is nil", "WithBase: DeploymentID", "pipelineUrl", "commitSha"} {
		require.ErrorContains(t, err, part)
	}
}

// The key is in the header of the request and nowhere else.
func TestSend(t *testing.T) {
	t.Parallel()
	const key = "periscope-key-0123456789abcdef"
	network := sendertest.NewNetwork(t)
	server := network.Endpoint(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"action":"created","deploymentId":42,"linkedPRs":3}`)
	})
	secret, err := signer.NewLiteralSecret(key)
	require.NoError(t, err)
	bearer, err := signer.NewBearer(secret)
	require.NoError(t, err)
	s, ep := network.Sender(), server.To(bearer)
	ep.BodyFormat, ep.Events = newFormat(t), []string{"deploy.*"}
	e := formattest.Events()["deploy_started"]
	receipt, err := s.Send(t.Context(), ep, e)
	require.NoError(t, err)
	server.WantRequests(1)
	request := server.Arrivals()[0]
	require.Equal(t, "Bearer "+key, request.Header.Get("Authorization"))
	require.Equal(t, "application/json", request.Header.Get("Content-Type"))
	got, err := payload.DecodeDeployment(request.Body)
	require.NoError(t, err)
	require.Equal(t, e.DeploymentID, got.DeploymentID)
	require.Equal(t, payload.StatusInProgress, got.Status)
	require.NotContains(t, fmt.Sprintf("%+v", receipt.Attempts[0]), key)

	noCommit := *e
	noCommit.Commit = nil
	receipt, err = s.Send(t.Context(), ep, &noCommit)
	require.ErrorIs(t, err, sender.ErrNoMessage)
	require.Equal(t, sender.Skipped, receipt.Outcome)
}

// Periscope documents none of these members.
func TestEncode_LeavesOutOurAdditions(t *testing.T) {
	t.Parallel()
	f := newFormat(t, periscope.WithBase(payload.Deployment{
		RepositoryURL: "https://git.example/acme/shop", ArtifactDigest: "sha256:c0ffee", Version: "1", RollbackOf: "run-6",
		IncidentURL: "https://acme.example/7",
		Commits:     []payload.RepositoryCommit{{RepositoryURL: "https://git.example/acme/web", CommitSHA: "c0ffee1"}},
	}))
	e := formattest.Events()["deploy_failed"]
	e.Version = "2.1.0"
	d := record(t, f, e)
	require.Zero(t, d.RepositoryURL+d.ArtifactDigest+d.Version+d.RollbackOf+d.IncidentURL)
	require.Empty(t, d.Commits)
}
