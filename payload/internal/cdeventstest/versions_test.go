package cdeventstest

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/cdevents/sdk-go/pkg/api"
	v03 "github.com/cdevents/sdk-go/pkg/api/v03"
	v04 "github.com/cdevents/sdk-go/pkg/api/v04"
	v05 "github.com/cdevents/sdk-go/pkg/api/v05"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/cdevents"
)

// versions lists the versions that the SDK supports, with their types.
var versions = map[string]func(kind string) string{
	"0.3.0": func(kind string) string {
		return v03.CDEventsByUnversionedTypes["dev.cdevents."+kind].GetType().String()
	},
	"0.4.1": func(kind string) string {
		return v04.CDEventsByUnversionedTypes["dev.cdevents."+kind].GetType().String()
	},
	"0.5.1": func(kind string) string {
		return v05.CDEventsByUnversionedTypes["dev.cdevents."+kind].GetType().String()
	},
}

var kinds = map[string]struct {
	// subject is the subject's type before 0.5.
	subject string
	// content has LINK for the member that is called url before 0.5.
	content string
	status  payload.Status
}{
	"pipelinerun.queued":   {"pipelineRun", `{"pipelineName":"p","LINK":"https://ci.example/1"}`, payload.StatusPending},
	"pipelinerun.started":  {"pipelineRun", `{"pipelineName":"p","LINK":"https://ci.example/1"}`, payload.StatusInProgress},
	"pipelinerun.finished": {"pipelineRun", `{"pipelineName":"p","outcome":"failure","errors":"e"}`, payload.StatusFailure},
	"taskrun.started":      {"taskRun", `{"taskName":"deploy","LINK":"https://ci.example/1"}`, payload.StatusInProgress},
	"taskrun.finished":     {"taskRun", `{"taskName":"deploy","outcome":"error"}`, payload.StatusFailure},
	"service.deployed":     {"service", `{"environment":{"id":"production"},"artifactId":"pkg:generic/shop@abcdef1"}`, payload.StatusSuccess},
	"service.upgraded":     {"service", `{"environment":{"id":"production"},"artifactId":"pkg:generic/shop@abcdef1"}`, payload.StatusSuccess},
	"service.rolledback":   {"service", `{"environment":{"id":"production"},"artifactId":"pkg:generic/shop@abcdef1"}`, payload.StatusRolledBack},
}

// sample returns a complete event of a version.
func sample(version, kind string) map[string]any {
	k := kinds[kind]
	contextMembers := map[string]any{
		"id": "1", "source": "/s", "type": versions[version](kind), "timestamp": "2026-03-12T14:25:02Z",
	}
	subject := map[string]any{"id": "s", "source": "/s"}
	link := "uri"
	if version < "0.5" {
		contextMembers["version"], subject["type"], link = version, k.subject, "url"
	} else {
		contextMembers["specversion"] = version
	}
	if version >= "0.4" {
		contextMembers["chainId"], contextMembers["schemaUri"], contextMembers["links"] = "c", "https://x.example/s", []any{}
	}
	subject["content"] = json.RawMessage(strings.ReplaceAll(k.content, "LINK", link))
	return map[string]any{"context": contextMembers, "subject": subject, "customData": map[string]any{"a": 1}, "customDataContentType": "application/json"}
}

// TestVersionsAgreeWithTheirSchemas changes each member of each event in each
// version. Parse must accept the same events as the official schema.
func TestVersionsAgreeWithTheirSchemas(t *testing.T) {
	t.Parallel()
	compiler, compared, refused := schemas(t), 0, 0
	for version := range versions {
		for kind := range kinds {
			id := "https://cdevents.dev/" + version + "/schema/" + strings.Replace(kind, ".", "-", 1) + "-event"
			schema, err := compiler.Compile(id)
			require.NoError(t, err)
			agree := func(what string, event map[string]any) {
				text, err := json.Marshal(event)
				require.NoError(t, err)
				doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
				require.NoError(t, err)
				want := schema.Validate(doc)
				_, got := cdevents.Parse(text)
				require.Equal(t, want == nil, got == nil, "%s %s, %s: the schema says %v, Parse says %v", version, kind, what, want, got)
				compared++
				if want != nil {
					refused++
				}
			}
			agree("unchanged", sample(version, kind))
			for _, part := range []string{"context", "subject"} {
				for _, name := range []string{
					"specversion", "version", "id", "source", "type", "timestamp", "chainId", "schemaUri", "links", "content", "x",
				} {
					event := sample(version, kind)
					members := event[part].(map[string]any)
					if _, there := members[name]; there {
						delete(members, name)
						agree("without "+part+"."+name, event)
						event = sample(version, kind)
						event[part].(map[string]any)[name] = 1
						agree("a number as "+part+"."+name, event)
						continue
					}
					for _, value := range []any{"v", version, []any{}} {
						members[name] = value
						agree("with "+part+"."+name, event)
					}
				}
			}
			event := sample(version, kind)
			event["x"] = 1
			agree("another member", event)
		}
	}
	t.Logf("%d events compared, %d refused by their schema", compared, refused)
	assert.Greater(t, refused, compared/2)
	assert.Less(t, refused, compared)
}

// TestOlderSDKsAreRead reads the events that the official SDK writes for each
// version, in both modes.
func TestOlderSDKsAreRead(t *testing.T) {
	t.Parallel()
	deployed03, err := v03.NewServiceDeployedEvent()
	require.NoError(t, err)
	deployed04, err := v04.NewServiceDeployedEvent()
	require.NoError(t, err)
	for version, event := range map[string]interface {
		api.CDEvent
		SetSubjectEnvironment(*api.Reference)
		SetSubjectArtifactId(string)
	}{"0.3": deployed03, "0.4": deployed04} {
		event.SetSource("/sdk")
		event.SetSubjectId("shop")
		event.SetSubjectEnvironment(&api.Reference{Id: "production"})
		event.SetSubjectArtifactId("pkg:github/acme/shop@" + commit)
		cloud, err := api.AsCloudEvent(event)
		require.NoError(t, err)
		for _, structured := range []bool{false, true} {
			d, err := post(t, *cloud, structured).Deployment(payload.Deployment{StartedAt: started, DeploymentID: "base"})
			require.NoError(t, err, version)
			assert.Equal(t, []any{payload.StatusSuccess, "shop", "production", commit}, []any{d.Status, d.Service, d.Environment, d.CommitSHA}, version)
		}
	}
}

func TestVersionsMeanTheSame(t *testing.T) {
	t.Parallel()
	base := payload.Deployment{CommitSHA: "abcdef1", Environment: "production", StartedAt: started, DeploymentID: "base", PreviousCommitSHA: "abcdef2"}
	for kind, k := range kinds {
		for version := range versions {
			text, err := json.Marshal(sample(version, kind))
			require.NoError(t, err)
			e, err := cdevents.Parse(text)
			require.NoError(t, err)
			d, err := e.Deployment(base)
			require.NoError(t, err, "%s %s", version, kind)
			assert.Equal(t, k.status, d.Status, "%s %s", version, kind)
			link := ""
			if strings.Contains(k.content, "LINK") {
				link = "https://ci.example/1"
			}
			assert.Equal(t, link, d.PipelineURL, "%s %s", version, kind)
		}
	}
}
