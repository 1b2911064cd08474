package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/cdevents"
	"github.com/deployhook/deployhook/signer"
)

func TestReport_FromEachPipeline(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env  env
		args []string
		url  string // prefix of the pipeline's URL, for records
	}{
		"GitHub Actions": {githubPush(), []string{"-environment", "production", "-status", "success"}, "https://github.com/acme/api-service/actions/runs/67890"},
		"GitLab CI":      {gitlabPush(), nil, "https://gitlab.com/acme/api-service/-/pipelines/1001"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := receive(t, nil)
			code, stdout, stderr := program(t, with(c.env, target(got.url+"/events")), c.args...)
			require.Equal(t, 0, code, stderr)
			require.Empty(t, stdout)
			require.Regexp(t, `^deploynotify: delivered success of api-service to production as whk_\w{32}: 200 after 1 attempt\n$`, stderr)
			events, _, _ := got.all()
			require.Len(t, events, 1)
			e := events[0]
			require.Equal(t, payload.DeployLive, e.Type)
			require.Equal(t, "api-service", e.App)
			require.Equal(t, "production", e.Environment)
			require.Equal(t, sha, e.Commit.SHA)
			require.Equal(t, "main", e.Commit.Branch)
			require.Equal(t, "dana", e.TriggeredBy)
			require.NotEmpty(t, e.DeploymentID)
			require.WithinDuration(t, time.Now(), e.Timestamp, time.Minute)

			target := with(c.env, target(got.url+"/raw"))
			code, _, stderr = program(t, target, append(c.args, "-format", "deployment", "-metadata", "version=2.1.0,replicas=3,canary=true")...)
			require.Equal(t, 0, code, stderr)
			_, bodies, _ := got.all()
			d, err := payload.DecodeDeployment([]byte(bodies[0]))
			require.NoError(t, err)
			require.Equal(t, e.DeploymentID, d.DeploymentID, "both formats speak of one deployment")
			require.Equal(t, payload.StatusSuccess, d.Status)
			require.True(t, strings.HasPrefix(d.PipelineURL, c.url), d.PipelineURL)
			require.Equal(t, sha, d.CommitSHA)
			replicas, ok := d.Metadata.Get("replicas")
			require.True(t, ok)
			require.Equal(t, "3", replicas.JSON())
			require.NotContains(t, bodies[0], "canary@")

			code, _, stderr = program(t, target, append(c.args, "-format", "envelope")...)
			require.Equal(t, 0, code, stderr)
			_, bodies, _ = got.all()
			v, err := payload.DecodeEnvelope([]byte(bodies[1]))
			require.NoError(t, err)
			v.Event.DeliveryID, v.Event.Timestamp = e.DeliveryID, e.Timestamp
			if began, ok := e.Metadata.Get("started_at"); ok { // the time of the report, if the system tells none
				require.NoError(t, v.Event.Metadata.Set("started_at", began.String()))
			}
			require.Equal(t, *e, v.Event, "the same event in another form")

			code, _, stderr = program(t, target, append(c.args, "-format", "cdevents")...)
			require.Equal(t, 0, code, stderr)
			_, bodies, headers := got.all()
			event, err := cdevents.Decode(headers[2], []byte(bodies[2]))
			require.NoError(t, err)
			require.Equal(t, "dev.cdevents.service.deployed.0.3.0", event.Type())
			back, err := event.Deployment(payload.Deployment{})
			require.NoError(t, err)
			require.Equal(t, d.DeploymentID, back.DeploymentID)
		})
	}
}

// A run that deploys to two environments makes two deployments. Its second
// attempt makes another.
func TestDeploymentIDsDiffer(t *testing.T) {
	t.Parallel()
	ids := map[string]bool{}
	for _, c := range []struct{ attempt, environment string }{{"1", "staging"}, {"1", "production"}, {"2", "production"}} {
		e := with(githubPush(), env{"DEPLOYHOOK_URL": "https://hooks.example.com/", "DEPLOYHOOK_SECRET": secretText, "GITHUB_RUN_ATTEMPT": c.attempt})
		code, stdout, stderr := inProcess(e, "-environment", c.environment, "-status", "success", "-dry-run")
		require.Equal(t, 0, code, stderr)
		var r struct{ Body string }
		require.NoError(t, json.Unmarshal([]byte(stdout), &r))
		event, err := payload.DecodeEvent([]byte(r.Body))
		require.NoError(t, err)
		ids[event.DeploymentID] = true
	}
	require.Len(t, ids, 3)
}

// All jobs of a GitHub matrix have the same variables. The flags distinguish
// their deployments, in every step alike.
func TestDeploymentIDs_OfAMatrix(t *testing.T) {
	t.Parallel()
	for _, flagName := range []string{"-service", "-deployment-id"} {
		ids := map[string]bool{}
		for _, job := range []string{"api", "web", "worker"} {
			args := []string{"-environment", "production", "-state-dir", t.TempDir(), flagName, job}
			started := dryRun(t, with(githubPush(), hook()), append(args, "-start")...)
			ended := dryRun(t, with(githubPush(), hook()), append(args, "-status", "success")...)
			require.Equal(t, started.DeploymentID, ended.DeploymentID)
			ids[ended.DeploymentID] = true
			_, _, stderr := inProcess(with(githubPush(), hook()), append(args, "-status", "success", "-dry-run")...)
			require.NotContains(t, stderr, "matrix", "the flags remove the note")
		}
		require.Len(t, ids, 3, flagName)
	}
}

func TestSend_RetriesAfterFailures(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	got := receive(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if calls.Add(1) <= 2 {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	code, _, stderr := program(t, with(githubPush(), target(got.url+"/events")), "-environment", "production", "-status", "success")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stderr, "200 after 3 attempts")
	events, _, _ := got.all()
	require.Len(t, events, 1)
}

func TestNotDelivered(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(hanging.Close)
	t.Cleanup(func() { close(hang) })
	const nobody = "http://127.0.0.1:1"
	got := receive(t, nil)

	for name, c := range map[string]struct {
		env  env
		args []string
		says string
	}{
		"wrong secret":          {env{"DEPLOYHOOK_URL": got.url + "/events", "DEPLOYHOOK_SECRET": "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}, nil, "check that the secret and -scheme"},
		"a receiver that hangs": {env{"DEPLOYHOOK_URL": hanging.URL}, []string{"-timeout", "3s"}, "gave up: -timeout expired after 1 attempt: POST " + hanging.URL + ": no answer yet"},
		"no receiver":           {env{"DEPLOYHOOK_URL": nobody}, []string{"-timeout", "3s"}, "no connection"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"-environment", "production", "-status", "success"}, c.args...)
			e := with(with(githubPush(), target("")), c.env)
			code, _, stderr := program(t, e, args...)
			require.Equal(t, 1, code, stderr)
			require.Equal(t, 1, strings.Count(stderr, "\n"), "one clear line: %s", stderr)
			require.Contains(t, stderr, "not delivered")
			require.Contains(t, stderr, c.says)

			code, _, stderr = program(t, e, append(args, "-fail-open")...)
			require.Equal(t, 0, code, stderr)
			require.Contains(t, stderr, "NOT delivered")
		})
	}
	events, _, _ := got.all()
	require.Empty(t, events)
}

func TestDryRunPrintsTheExactRequest(t *testing.T) {
	t.Parallel()
	e := with(githubPush(), env{"DEPLOYHOOK_URL": "https://hooks.example.com/deploy", "DEPLOYHOOK_SECRET": secretText})
	code, stdout, stderr := inProcess(e, "-environment", "production", "-status", "success", "-dry-run")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stderr, "nothing was sent")
	var r struct {
		Method, URL, Body string
		Headers           map[string]string
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &r))
	require.Equal(t, "POST", r.Method)
	require.Equal(t, "https://hooks.example.com", r.URL)
	header := http.Header{}
	for name, value := range r.Headers {
		header.Set(name, value)
	}
	secret, err := signer.ParseSecret(secretText)
	require.NoError(t, err)
	scheme, err := signer.NewStandard(secret)
	require.NoError(t, err)
	_, err = scheme.Verify(&http.Request{Header: header}, []byte(r.Body))
	require.NoError(t, err, "the body is the exact bytes, the signature is theirs")
	require.NotContains(t, stdout, strings.TrimPrefix(secretText, "whsec_"))

	e = with(githubPush(), env{"DEPLOYHOOK_URL": "https://hooks.example.com/deploy", "DEPLOYHOOK_API_KEY": "canary-api-key-canary"})
	code, stdout, stderr = inProcess(e, "-environment", "production", "-status", "success", "-dry-run")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, `"Authorization":"[redacted]"`)
	require.NotContains(t, stdout+stderr, "canary-api-key")

	e = with(githubPush(), env{"DEPLOYHOOK_URL": "https://hooks.example.com/deploy", "DEPLOYHOOK_SECRET": secretText})
	code, stdout, stderr = inProcess(e, "-environment", "production", "-status", "success", "-dry-run", "-format", "cdevents")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, `"Ce-Type":"dev.cdevents.service.deployed.0.3.0"`)
}
