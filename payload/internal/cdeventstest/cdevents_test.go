package cdeventstest

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cdevents/sdk-go/pkg/api"
	v05 "github.com/cdevents/sdk-go/pkg/api/v05"
	ce "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	packageurl "github.com/package-url/packageurl-go"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/cdevents"
)

const commit = "a1b2c3d4e5f60718293a4b5c6d7e8f9012345678"

var (
	started   = time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC)
	completed = time.Date(2026, 3, 12, 14, 25, 2, 500_000_000, time.UTC)
	options   = cdevents.Options{Source: "https://ci.example/acme/shop"}
)

var services = []string{"shop", "a/b", "a b", "é😀", `q"\`, "100%", "%41", "a@b", "x?y#z", "<&>", "a:b", "a+b"}

// produced returns events of every status and type, for services with various
// names.
func produced(t *testing.T) map[string]*cdevents.Event {
	t.Helper()
	all := make(map[string]*cdevents.Event)
	for _, service := range services {
		for _, status := range []payload.Status{"pending", "in_progress", "success", "failure", "cancelled", "rolled_back"} {
			for _, link := range []string{"", "https://ci.example/ü|1"} {
				for _, previous := range []string{"", commit} {
					d := &payload.Deployment{
						DeploymentID: "run-42", CommitSHA: commit, Environment: "prod é", Status: status, StartedAt: started,
						CompletedAt: completed, Service: service, PipelineName: "Deploy", PipelineURL: link, PreviousCommitSHA: previous,
					}
					require.NoError(t, d.RawPayload.UnmarshalJSON([]byte(`{ "a" : [1.0, null]}`)))
					if status == payload.StatusRolledBack && previous == "" {
						continue
					}
					e, err := cdevents.FromDeployment(d, options)
					require.NoError(t, err)
					all[strings.Join([]string{service, string(status), link, previous}, " ")] = e
				}
			}
		}
		for _, kind := range []payload.Type{
			"deploy.started", "build.completed", "health_check.passed", "deploy.live", "deploy.failed", "deploy.rolled_back",
			"cache.warmed", "a_1.b2.c", "1.2",
		} {
			e, err := cdevents.FromEvent(&payload.Event{
				Type: kind, Timestamp: completed, DeploymentID: "run-42", App: service, Environment: "prod",
				Version: "1.0 beta/2", PreviousVersion: "0.9", Error: "boom\n",
			}, options)
			require.NoError(t, err)
			all[service+" "+string(kind)] = e
		}
	}
	return all
}

// schemas compiles the official schemas with format checks, which the SDK
// itself does not enable.
func schemas(t *testing.T) *jsonschema.Compiler {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	for id, text := range api.SchemasById {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		require.NoError(t, err)
		require.NoError(t, compiler.AddResource(id, doc))
	}
	return compiler
}

func schemaOf(kind string) string {
	const base = "https://cdevents.dev/0.5.1/schema/"
	rest, standard := strings.CutPrefix(kind, "dev.cdevents.")
	if !standard {
		return base + "custom"
	}
	parts := strings.Split(rest, ".")
	return base + parts[0] + "-" + parts[1] + "-event"
}

func TestOutputIsValid(t *testing.T) {
	t.Parallel()
	compiler, kinds := schemas(t), map[string]bool{}
	for name, e := range produced(t) {
		kinds[e.Type()] = true
		schema, err := compiler.Compile(schemaOf(e.Type()))
		require.NoError(t, err)
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(e.JSON()))
		require.NoError(t, err)
		require.NoError(t, schema.Validate(doc), name)
		// The schema calls this member uri, unlike the text of the
		// specification, which calls it url.
		if text := string(e.JSON()); strings.Contains(text, `"uri":`) {
			doc, err = jsonschema.UnmarshalJSON(strings.NewReader(strings.Replace(text, `"uri":`, `"url":`, 1)))
			require.NoError(t, err)
			require.Error(t, schema.Validate(doc))
		}
	}
	assert.Len(t, kinds, 12)
}

func TestOfficialSDKReadsOutput(t *testing.T) {
	t.Parallel()
	for name, e := range produced(t) {
		read, err := v05.NewFromJsonBytes(e.JSON())
		require.NoError(t, err, name)
		require.NoError(t, api.Validate(read), name)
		assert.Equal(t, e.ID(), read.GetId())
		assert.Equal(t, e.Source(), read.GetSource())
		kind := read.GetType().String()
		// GetType returns the type that the program set, not the one that was
		// read.
		if custom, ok := read.(*v05.CustomTypeEvent); ok {
			kind = custom.Context.Type.String()
		}
		assert.Equal(t, e.Type(), kind)
		assert.Equal(t, e.Subject(), read.GetSubjectId())
		assert.Equal(t, e.ChainID(), read.GetChainId())
		assert.True(t, e.Time().Equal(read.GetTimestamp()))
		if deployed, ok := read.(*v05.ServiceDeployedEvent); ok {
			checkPurl(t, deployed.Subject.Content.ArtifactId, e.Subject())
		}
	}
}

// checkPurl parses the package URL with the reference implementation.
func checkPurl(t *testing.T, text, service string) {
	t.Helper()
	p, err := packageurl.FromString(text)
	require.NoError(t, err, text)
	assert.Equal(t, "generic", p.Type)
	assert.Contains(t, []string{commit, "1.0 beta/2"}, p.Version)
	assert.Equal(t, service, strings.TrimPrefix(p.Namespace+"/"+p.Name, "/"), text)
}

// TestOfficialSDKsEvents reads the events that the official SDK writes.
func TestOfficialSDKsEvents(t *testing.T) {
	t.Parallel()
	deployed, err := v05.NewServiceDeployedEvent()
	require.NoError(t, err)
	deployed.SetSubjectEnvironment(&api.Reference{Id: "test123"})
	deployed.SetSubjectArtifactId("pkg:github/acme/shop@" + commit)
	d := requireRead(t, deployed)
	assert.Equal(t, []any{payload.StatusSuccess, "shop", "test123", commit}, []any{d.Status, d.Service, d.Environment, d.CommitSHA})

	back, err := v05.NewServiceRolledbackEvent()
	require.NoError(t, err)
	back.SetSubjectEnvironment(&api.Reference{Id: "test123"})
	back.SetSubjectArtifactId("pkg:generic/shop@00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff")
	d = requireRead(t, back)
	assert.Equal(t, []any{payload.StatusRolledBack, "00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff"}, []any{d.Status, d.PreviousCommitSHA})

	run, err := v05.NewPipelineRunStartedEvent()
	require.NoError(t, err)
	run.SetSubjectPipelineName("p")
	run.SetSubjectUri("https://ci.example/1")
	d = requireRead(t, run)
	assert.Equal(t, []any{payload.StatusInProgress, "p", "https://ci.example/1"}, []any{d.Status, d.PipelineName, d.PipelineURL})

	finished, err := v05.NewPipelineRunFinishedEvent()
	require.NoError(t, err)
	finished.SetSubjectOutcome("error")
	finished.SetSubjectErrors("no runner")
	assert.Equal(t, payload.StatusFailure, requireRead(t, finished).Status)
}

func requireRead(t *testing.T, event api.CDEventV04) *payload.Deployment {
	t.Helper()
	event.SetSource("/sdk")
	event.SetSubjectId("shop")
	event.SetChainId("run-1")
	cloud, err := api.AsCloudEvent(event)
	require.NoError(t, err)
	d, err := post(t, *cloud, false).Deployment(payload.Deployment{
		StartedAt: started, CommitSHA: "abcdef1", Environment: "base", DeploymentID: "base",
	})
	require.NoError(t, err)
	assert.Equal(t, "run-1", d.DeploymentID)
	return d
}

// TestAllOfficialTypes reads every event type of the SDK. Each is either mapped
// or ignored.
func TestAllOfficialTypes(t *testing.T) {
	t.Parallel()
	for name, event := range v05.CDEventsByUnversionedTypes {
		if name == api.CustomEventMapKey {
			continue
		}
		text := `{"context":{"specversion":"0.5.1","id":"1","source":"/s","type":"` + event.GetType().String() +
			`","timestamp":"2026-03-12T14:25:02Z"},"subject":{"id":"s","content":{}}}`
		e, err := cdevents.Parse([]byte(text))
		require.NoError(t, err, name)
		_, err = e.Deployment(payload.Deployment{})
		if !assert.Error(t, err, name) {
			continue
		}
		known := strings.HasPrefix(event.GetType().String(), "dev.cdevents.pipelinerun.") ||
			strings.Contains(name, "service.deployed") || strings.Contains(name, "service.upgraded") ||
			strings.Contains(name, "service.rolledback")
		if known {
			assert.ErrorIs(t, err, payload.ErrInvalid, name)
		} else {
			assert.ErrorIs(t, err, payload.ErrIgnored, name)
		}
	}
}

// post sends a CloudEvent with the CloudEvents SDK and decodes it on the
// server.
func post(t *testing.T, event ce.Event, structured bool) *cdevents.Event {
	t.Helper()
	ctx := context.Background()
	if structured {
		ctx = binding.WithForceStructured(ctx)
	}
	request := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", nil)
	require.NoError(t, cehttp.WriteRequest(ctx, binding.ToMessage(&event), request))
	var body bytes.Buffer
	_, err := body.ReadFrom(request.Body)
	require.NoError(t, err)
	e, err := cdevents.Decode(request.Header, body.Bytes())
	require.NoError(t, err, "%v\n%s", request.Header, body.String())
	return e
}

// TestCloudEvents exchanges events with the CloudEvents SDK in both directions
// and both modes.
func TestCloudEvents(t *testing.T) {
	t.Parallel()
	for name, e := range produced(t) {
		for structured, message := range map[bool]func() (http.Header, []byte){false: e.Binary, true: e.Structured} {
			header, body := message()
			cloud, err := binding.ToEvent(context.Background(), cehttp.NewMessage(header, readCloser{bytes.NewReader(body)}))
			require.NoError(t, err, name)
			require.NoError(t, cloud.Validate())
			assert.Equal(t, "1.0", cloud.SpecVersion())
			assert.Equal(t, e.ID(), cloud.ID())
			assert.Equal(t, e.Source(), cloud.Source())
			assert.Equal(t, e.Type(), cloud.Type())
			subject := cloud.Subject()
			// This SDK neither encodes nor decodes headers, although section
			// 3.1.3.2 requires it.
			if !structured {
				subject, err = url.PathUnescape(subject)
				require.NoError(t, err)
			}
			assert.Equal(t, e.Subject(), subject)
			assert.True(t, e.Time().Equal(cloud.Time()))
			assert.Equal(t, "application/json", cloud.DataContentType())
			assert.JSONEq(t, string(e.JSON()), string(cloud.Data()))
			again := post(t, *cloud, structured)
			assert.Equal(t, e.String(), again.String())
			assert.JSONEq(t, string(e.JSON()), string(again.JSON()))
		}
	}
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }
