package azure

import (
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound"
)

// The events about deployments.
const (
	releaseStarted   = "ms.vss-release.deployment-started-event"
	releaseCompleted = "ms.vss-release.deployment-completed-event"
	stageChanged     = "ms.vss-pipelines.stage-state-changed-event"
	runChanged       = "ms.vss-pipelines.run-state-changed-event"
)

const (
	partial   = "partiallySucceeded"
	rejected  = "rejected"
	completed = "completed"
)

// releaseStatuses maps the statuses of environments and deployments in classic
// release pipelines.
var releaseStatuses = map[string]payload.Status{
	"undefined":   payload.StatusPending,
	"notDeployed": payload.StatusPending,
	"notStarted":  payload.StatusPending,
	"queued":      payload.StatusPending,
	"scheduled":   payload.StatusPending,
	"inProgress":  payload.StatusInProgress,
	"succeeded":   payload.StatusSuccess,
	partial:       payload.StatusSuccess,
	rejected:      payload.StatusFailure,
	"failed":      payload.StatusFailure,
	"canceled":    payload.StatusCancelled,
}

// pipelineStates maps the states of stages and runs in YAML pipelines that have
// not ended. Pending, notStarted and canceling are not documented, but
// accepted.
var pipelineStates = map[string]payload.Status{
	"waiting":    payload.StatusPending,
	"pending":    payload.StatusPending,
	"notStarted": payload.StatusPending,
	"running":    payload.StatusInProgress,
	"inProgress": payload.StatusInProgress,
	"canceling":  payload.StatusInProgress,
}

// pipelineResults maps the results of completed stages and runs.
var pipelineResults = map[string]payload.Status{
	"succeeded": payload.StatusSuccess,
	partial:     payload.StatusSuccess,
	"failed":    payload.StatusFailure,
	rejected:    payload.StatusFailure,
	"canceled":  payload.StatusCancelled,
	"skipped":   payload.StatusCancelled,
}

func (c *config) mapEvent(b *inbound.Builder, event inbound.Node) error {
	kind, resource := event.Get("eventType").Text(), event.Get("resource")
	switch {
	case kind == releaseStarted || kind == releaseCompleted:
		c.mapRelease(b, resource)
	case kind == stageChanged:
		c.mapStage(b, resource)
	case kind == runChanged && c.runEnvironment != "":
		c.mapRun(b, resource)
	case kind == runChanged:
		return inbound.Ignore("a run has no environment; subscribe to stages, or use WithRuns")
	default:
		return inbound.Ignore("eventType is %s", inbound.Quote(kind))
	}
	at := event.Get("createdDate")
	b.At(b.Time("eventTime", at), at, !b.Status.Terminal())
	b.SetMeta("event", kind)
	b.Meta("eventId", event.Get("id"))
	b.Meta("subscriptionId", event.Get("subscriptionId"))
	b.Meta("projectId", event.Get("resourceContainers", "project", "id"))
	return nil
}

// lookup is Builder.Lookup with special handling of two words.
func (c *config) lookup(b *inbound.Builder, table map[string]payload.Status, candidates ...inbound.Node) {
	switch b.Lookup(table, candidates...) {
	case partial:
		b.SetMeta("partial", true)
		if c.partialFailure {
			b.Status = payload.StatusFailure
		}
	case rejected:
		b.SetMeta("reason", "an approval or a check was refused")
	}
}

// noCommit is the advice for an event without a commit.
const noCommit = "set the service hook to send all resource details, or look up the commit in WithComplete"

// mapRelease reads an event of a classic release pipeline. A started event has
// the release next to the environment, and a completed one has it within the
// deployment. Members of resource.deployment, and deploySteps, are only in
// hooks with all resource details. They are not documented, but accepted.
func (c *config) mapRelease(b *inbound.Builder, resource inbound.Node) {
	environment, deployment := resource.Get("environment"), resource.Get("deployment")
	c.lookup(b, releaseStatuses, environment.Get("status"), deployment.Get("deploymentStatus"))
	releases := []inbound.Node{environment.Get("release"), resource.Get("release"), deployment.Get("release")}
	b.DeploymentID = releaseID(b, resource, releases)
	b.Environment = b.Text("environment", environment.Get("name"))
	b.Service = b.Text("service", environment.Get("releaseDefinition", "name"), resource.Get("project", "name"))
	b.TriggeredBy = b.Text("triggeredBy",
		deployment.Get("requestedFor", "displayName"), environment.Get("owner", "displayName"))
	b.PipelineName = b.Text("pipelineName", each(releases, "name")...)
	b.PipelineURL = b.URL("pipelineUrl", append(each(releases, "_links", "web", "href"), each(releases, "url")...)...)
	mapArtifact(b, each(releases, "artifacts"))
	started := []inbound.Node{deployment.Get("startedOn"), deployment.Get("queuedOn")}
	for _, step := range environment.Get("deploySteps").Items() {
		started = append(started, step.Get("queuedOn"))
	}
	b.StartedAt = b.Time("startedAt", started...)
	if b.Status.Terminal() {
		b.CompletedAt = b.Time("completedAt", deployment.Get("completedOn"))
	}
	b.Meta("project", resource.Get("project", "name"))
	b.Meta("releaseId", first(each(releases, "id")))
	b.Meta("azureDeploymentId", deployment.Get("id"))
}

// releaseID returns the same ID for the started and the completed event of a
// deployment. It uses only parts that both have: the release, the environment
// and, from the second attempt on, the attempt. Only completed events have the
// number of resource.deployment.
func releaseID(b *inbound.Builder, resource inbound.Node, releases []inbound.Node) string {
	environment := resource.Get("environment")
	release := first(append(each(releases, "id"), environment.Get("releaseId")))
	id := b.JoinID("deploymentId", release, environment.Get("id"))
	attempts := []inbound.Node{resource.Get("attemptId"), resource.Get("deployment", "attempt")}
	steps := environment.Get("deploySteps").Items()
	for i := range steps {
		// the last one is in progress
		attempts = append(attempts, steps[len(steps)-1-i].Get("attempt"))
	}
	if attempt := b.ID("attempt", attempts...); id != "" && attempt != "" && attempt != "0" && attempt != "1" {
		id += "-" + attempt
	}
	return id
}

// each goes down from each of the nodes to the named member.
func each(nodes []inbound.Node, names ...string) []inbound.Node {
	below := make([]inbound.Node, len(nodes))
	for i, n := range nodes {
		below[i] = n.Get(names...)
	}
	return below
}

// first returns the first node that exists, or the first of all.
func first(nodes []inbound.Node) inbound.Node {
	for _, n := range nodes {
		if n.Exists() {
			return n
		}
	}
	return nodes[0]
}

// mapArtifact reads the commit of a release's primary artifact.
func mapArtifact(b *inbound.Builder, artifacts []inbound.Node) {
	b.Unknown("commitSha", noCommit)
	for _, artifact := range first(artifacts).Items() {
		if !artifact.Get("isPrimary").Bool() {
			continue
		}
		reference := artifact.Get("definitionReference")
		b.Commit(noCommit, reference.Get("sourceVersion", "id"))
		b.Branch = inbound.Branch(b.Text("branch", reference.Get("branch", "id")), b.CommitSHA)
		return
	}
}

// mapStage reads an event of a stage in a YAML pipeline. By convention, stages
// are named after environments.
func (c *config) mapStage(b *inbound.Builder, resource inbound.Node) {
	stage, run := resource.Get("stage"), resource.Get("run")
	c.mapState(b, stage)
	b.DeploymentID = b.JoinID("deploymentId", run.Get("id"), stage.Get("name"))
	b.Environment = b.Text("environment", stage.Get("name"))
	b.StartedAt = b.Time("startedAt", stage.Get("startTime"))
	if b.Status.Terminal() {
		b.CompletedAt = b.Time("completedAt", stage.Get("finishTime"))
	}
	b.PipelineURL = b.URL("pipelineUrl", stage.Get("_links", "web", "href"), run.Get("_links", "web", "href"))
	b.Meta("stage", stage.Get("displayName"))
	mapPipeline(b, resource)
}

// mapRun reads an event of a whole run of a YAML pipeline.
func (c *config) mapRun(b *inbound.Builder, resource inbound.Node) {
	run := resource.Get("run")
	c.mapState(b, run)
	b.DeploymentID = b.ID("deploymentId", run.Get("id"))
	b.Environment = c.runEnvironment
	b.StartedAt = b.Time("startedAt", run.Get("createdDate"))
	if b.Status.Terminal() {
		b.CompletedAt = b.Time("completedAt", run.Get("finishedDate"))
	}
	b.PipelineURL = b.URL("pipelineUrl", run.Get("_links", "web", "href"))
	mapPipeline(b, resource)
}

// mapState reads the result only once the state is completed.
func (c *config) mapState(b *inbound.Builder, n inbound.Node) {
	if n.Get("state").Text() == completed {
		c.lookup(b, pipelineResults, n.Get("result"))
		return
	}
	c.lookup(b, pipelineStates, n.Get("state"))
}

// mapPipeline reads the members that stages and runs have in common. The
// documented events have no commit. If the run is given in full, the commit is
// in its resources, as in the REST API's description of a run.
func mapPipeline(b *inbound.Builder, resource inbound.Node) {
	pipeline, self := resource.Get("pipeline"), resource.Get("run", "resources", "repositories", "self")
	b.Commit(noCommit, self.Get("version"))
	b.Branch = inbound.Branch(b.Text("branch", self.Get("refName")), b.CommitSHA)
	b.Service = b.Text("service", pipeline.Get("name"))
	b.PipelineName = b.Text("pipelineName", pipeline.Get("name"))
	b.Meta("pipelineId", pipeline.Get("id"))
	b.Meta("folder", pipeline.Get("folder"))
	b.Meta("run", resource.Get("run", "name"))
	for _, repository := range resource.Get("repositories").Items() {
		if link := b.URL("repository", repository.Get("url")); link != "" {
			// without credentials
			b.SetMeta("repository", link)
			return
		}
	}
}
