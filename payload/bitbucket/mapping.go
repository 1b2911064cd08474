package bitbucket

import (
	"context"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound"
)

const signatureHeader = "X-Hub-Signature"

// states maps the states of a commit status on Bitbucket Cloud.
var states = map[string]payload.Status{
	"INPROGRESS": payload.StatusInProgress,
	"SUCCESSFUL": payload.StatusSuccess,
	"FAILED":     payload.StatusFailure,
	"STOPPED":    payload.StatusCancelled,
}

// recordStates maps the states of a deployment in Bitbucket Data Center's REST
// API, except unknown.
var recordStates = map[string]payload.Status{
	"PENDING":     payload.StatusPending,
	"IN_PROGRESS": payload.StatusInProgress,
	"SUCCESSFUL":  payload.StatusSuccess,
	"FAILED":      payload.StatusFailure,
	"CANCELLED":   payload.StatusCancelled,
	"ROLLED_BACK": payload.StatusRolledBack,
}

const unknown = "UNKNOWN"

func (c *config) mapEvent(b *inbound.Builder, event inbound.Node) error {
	status := event.Get("commit_status")
	if !status.Exists() {
		return inbound.Ignore("an event without a commit status")
	}
	b.Lookup(states, status.Get("state"))
	b.CommitSHA = cloudCommit(b, status)
	if key := b.Text("deploymentId", status.Get("key")); key != "" {
		b.DeploymentID = key + "-" + b.CommitSHA
	}
	b.Environment = c.environment
	b.StartedAt = b.Time("startedAt", status.Get("created_on"))
	if b.Status.Terminal() {
		b.CompletedAt = b.Time("completedAt", status.Get("updated_on"), status.Get("created_on"))
	}
	b.Service = b.Text("service", event.Get("repository", "name"), event.Get("repository", "full_name"))
	b.Branch = inbound.Branch(b.Text("branch", status.Get("refname")), b.CommitSHA)
	b.TriggeredBy = b.Text("triggeredBy", event.Get("actor", "nickname"), event.Get("actor", "display_name"))
	b.PipelineName = b.Text("pipelineName", status.Get("name"))
	b.PipelineURL = b.URL("pipelineUrl", status.Get("url"))
	b.Meta("key", status.Get("key"))
	b.Meta("description", status.Get("description"))
	b.Meta("repository", event.Get("repository", "full_name"))
	return nil
}

// cloudCommit returns the commit's hash. Older events have it only at the end
// of the link to the commit.
func cloudCommit(b *inbound.Builder, status inbound.Node) string {
	link := status.Get("links", "commit", "href")
	if sha := inbound.LastSegment(link.Text()); inbound.IsCommit(sha) {
		b.From("commitSha", link)
		return sha
	}
	return b.Text("commitSha", status.Get("commit", "hash"), link)
}

// DecodeRecord converts a deployment of Bitbucket Data Center's REST API to a
// valid deployment record. Data Center has no webhook for deployments, so use
// it for records from your own polling or plugin. The member names are those of
// the REST API. Members such as displayId and toCommit may be absent. UNKNOWN
// is ignored.
//
// The environment is the record's own, unless [WithEnvironment] replaces it.
// Errors are those of [Decode].
func DecodeRecord(ctx context.Context, body []byte, opts ...Option) (*payload.Deployment, error) {
	c := new(config)
	if err := inbound.Configure(system, opts, c, Option.apply); err != nil {
		return nil, err
	}
	return inbound.NewDecoder(system, c.mapRecord, c.complete)(ctx, body)
}

func (c *config) mapRecord(b *inbound.Builder, record inbound.Node) error {
	environment := record.Get("environment")
	state := record.Get("state")
	if state.Kind() == payload.KindString && state.Text() == unknown {
		return inbound.Ignore("the state is UNKNOWN")
	}
	b.Lookup(recordStates, state)
	b.DeploymentID = b.JoinID("deploymentId", record.Get("key"), record.Get("deploymentSequenceNumber"))
	b.Commit("", record.Get("toCommit", "id"), record.Get("commit", "id"))
	b.PreviousCommitSHA = b.Text("previousCommitSha", record.Get("fromCommit", "id"))
	b.Environment = c.environment
	if b.Environment == "" {
		b.Environment = b.Text("environment", environment.Get("displayName"), environment.Get("key"))
	}
	updated := record.Get("lastUpdated")
	b.At(b.Millis("startedAt", updated), updated, !b.Status.Terminal())
	b.Service = b.Text("service", record.Get("repository", "slug"), record.Get("repository", "name"))
	b.PipelineName = b.Text("pipelineName", record.Get("displayName"))
	b.PipelineURL = b.URL("pipelineUrl", record.Get("url"))
	b.Meta("key", record.Get("key"))
	b.Meta("description", record.Get("description"))
	b.Meta("environmentKey", environment.Get("key"))
	b.Meta("environmentType", environment.Get("type"))
	b.Meta("environmentUrl", environment.Get("url"))
	return nil
}
