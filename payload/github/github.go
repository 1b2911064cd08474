package github

import (
	"context"
	"strings"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound"
	"github.com/deployhook/deployhook/signer"
)

const system = "github"

// ErrConfig is wrapped by errors about options and arguments.
var ErrConfig = inbound.ErrConfig

// Option configures [Decode] and [NewDecoder].
type Option interface {
	apply(*config)
}

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

type config struct {
	inbound.Checks
	complete          inbound.Completer
	pendingInProgress bool
	rollbacks         bool
}

// WithPendingInProgress maps the state pending to in_progress. Many tools set
// pending when they begin and go directly to success. By default pending stays
// pending.
func WithPendingInProgress() Option {
	return optionFunc(func(c *config) { c.pendingInProgress = true })
}

// WithRollbacks recognizes rollbacks. A deployment is a rollback if its task
// contains "rollback" in any case, or if its payload has a member "rollback"
// that is true. GitHub has no such concept, so this is a convention between you
// and the creator of deployments. A successful rollback is rolled_back, and a
// failed one is a failure. Both have metadata rollback=true. The default is
// off.
func WithRollbacks() Option {
	return optionFunc(func(c *config) { c.rollbacks = true })
}

// WithComplete sets a function that may change a deployment before it is
// validated. Use it to add values that the event lacks from a table or an API
// of yours. It runs for every authentic delivery, including duplicates, before
// the receiver claims the delivery. Its errors are treated as failures of the
// receiver, so the sender retries. The event is ignored if the error wraps
// [payload.ErrIgnored]. Default: no function. Nil is an error.
func WithComplete(f func(ctx context.Context, d *payload.Deployment) error) Option {
	return optionFunc(func(c *config) {
		c.complete = f
		c.Given("WithComplete", f == nil)
	})
}

// NewVerifier returns the scheme of GitHub's X-Hub-Signature-256. The webhook's
// secret comes from [signer.NewLiteralSecret]. The options are those of
// [signer.NewGitHub]. Use [signer.WithKey] for rotation.
func NewVerifier(secret signer.Secret, opts ...signer.Option) (*signer.BodyOnly, error) {
	return signer.NewGitHub(secret, opts...)
}

// NewDecoder returns [Decode] with these options, for receiver.Records. It
// reports all configuration errors, which wrap [ErrConfig].
func NewDecoder(opts ...Option) (func(ctx context.Context, body []byte) (*payload.Deployment, error), error) {
	c := new(config)
	if err := inbound.Configure(system, opts, c, Option.apply); err != nil {
		return nil, err
	}
	return inbound.NewDecoder(system, c.mapEvent, c.complete), nil
}

// Decode converts the body of a webhook to a valid deployment. Verify that the
// body is authentic before the call.
//
// The error wraps [payload.ErrIgnored] if the event is not about a deployment.
// It wraps [payload.ErrInvalid] if the event is about a deployment but invalid,
// and then names the event's own member. Only [WithComplete] uses ctx.
func Decode(ctx context.Context, body []byte, opts ...Option) (*payload.Deployment, error) {
	decode, err := NewDecoder(opts...)
	if err != nil {
		return nil, err
	}
	return decode(ctx, body)
}

// states maps GitHub's states, by the schema of its webhooks. Its REST API has
// all of them except waiting.
var states = map[string]payload.Status{
	"waiting":     payload.StatusPending,
	"queued":      payload.StatusPending,
	"pending":     payload.StatusPending,
	"in_progress": payload.StatusInProgress,
	"success":     payload.StatusSuccess,
	"failure":     payload.StatusFailure,
	"error":       payload.StatusFailure,
}

const inactive = "inactive"

func (c *config) mapEvent(b *inbound.Builder, event inbound.Node) error {
	name, err := eventName(event)
	if err != nil {
		return err
	}
	b.SetMeta("event", name)
	status, deployment := event.Get("deployment_status"), event.Get("deployment")
	if status.Get("state").Exists() && status.Get("state").Text() == inactive {
		return inbound.Ignore("the state inactive means that a later deployment took over")
	}
	c.mapStatus(b, event)
	mapFields(b, event)
	b.StartedAt = b.Time("startedAt", deployment.Get("created_at"))
	if run := event.Get("workflow_run", "run_started_at"); run.Exists() {
		b.StartedAt = b.Time("startedAt", run)
	}
	if b.Status.Terminal() {
		b.CompletedAt = b.Time("completedAt", status.Get("created_at"))
	}
	mapMetadata(b, event)
	return nil
}

// eventName recognizes the two events by their structure. Other events also
// have a member "deployment", such as workflow_job, deployment_review and
// deployment_protection_rule, but another action.
func eventName(event inbound.Node) (string, error) {
	action := event.Get("action").Text()
	switch {
	case event.Get("zen").Exists():
		return "", inbound.Ignore("a ping")
	case !event.Get("deployment").Exists() && !event.Get("deployment_status").Exists():
		return "", inbound.Ignore("an event without a deployment")
	case action != "created":
		return "", inbound.Ignore("an event about a deployment whose action is %s, not created", inbound.Quote(action))
	case event.Get("deployment_status").Exists():
		return "deployment_status", nil
	}
	return "deployment", nil
}

func (c *config) mapStatus(b *inbound.Builder, event inbound.Node) {
	state := event.Get("deployment_status", "state")
	if !event.Get("deployment_status").Exists() {
		b.Status = payload.StatusPending // just created, without a status
	} else {
		word := b.Lookup(states, state)
		if word == "pending" && c.pendingInProgress {
			b.Status = payload.StatusInProgress
		}
	}
	if b.Status == payload.StatusFailure && cancelled(event) {
		b.Status = payload.StatusCancelled
	}
	if c.rollbacks && isRollback(event.Get("deployment")) {
		b.SetMeta("rollback", true)
		if b.Status == payload.StatusSuccess {
			b.Status = payload.StatusRolledBack
		}
	}
}

// cancelled reports whether the run that set the status was cancelled. GitHub
// has no such state for a deployment.
func cancelled(event inbound.Node) bool {
	return event.Get("check_run", "conclusion").Text() == "cancelled" ||
		event.Get("workflow_run", "conclusion").Text() == "cancelled"
}

func isRollback(deployment inbound.Node) bool {
	if strings.Contains(strings.ToLower(deployment.Get("task").Text()), "rollback") {
		return true
	}
	p := deployment.Get("payload")
	return p.Kind() == payload.KindObject && p.Get("rollback").Bool()
}

func mapFields(b *inbound.Builder, event inbound.Node) {
	status, deployment, run := event.Get("deployment_status"), event.Get("deployment"), event.Get("workflow_run")
	b.DeploymentID = b.ID("deploymentId", deployment.Get("id"))
	b.Commit("", deployment.Get("sha"))
	environments := []inbound.Node{deployment.Get("environment"), deployment.Get("original_environment")}
	if status.Exists() {
		environments = append([]inbound.Node{status.Get("environment")}, environments...)
	}
	b.Environment = b.Text("environment", environments...)
	services := []inbound.Node{event.Get("repository", "name")}
	if p := deployment.Get("payload"); p.Kind() == payload.KindObject && p.Get("service").Kind() == payload.KindString {
		services = append([]inbound.Node{p.Get("service")}, services...)
	}
	b.Service = b.Text("service", services...)
	b.Branch = inbound.Branch(b.Text("branch", deployment.Get("ref")), b.CommitSHA)
	if inbound.IsCommit(deployment.Get("ref").Text()) {
		// then only the run has a branch
		b.Branch = inbound.Branch(b.Text("branch", run.Get("head_branch")), b.CommitSHA)
	}
	b.TriggeredBy = b.Text("triggeredBy",
		run.Get("triggering_actor", "login"), deployment.Get("creator", "login"), event.Get("sender", "login"))
	b.PipelineName = b.Text("pipelineName", event.Get("workflow", "name"), run.Get("name"))
	b.RepositoryURL = b.URL("repositoryUrl", event.Get("repository", "html_url"))
	b.PipelineURL = b.URL("pipelineUrl", status.Get("log_url"), run.Get("html_url"), status.Get("target_url"))
}

func mapMetadata(b *inbound.Builder, event inbound.Node) {
	status, deployment := event.Get("deployment_status"), event.Get("deployment")
	b.Meta("repository", event.Get("repository", "full_name"))
	b.Meta("ref", deployment.Get("ref"))
	b.Meta("task", deployment.Get("task"))
	// only if it is a text; RawPayload has objects
	b.Meta("payload", deployment.Get("payload"))
	b.Meta("description", deployment.Get("description"))
	b.Meta("statusDescription", status.Get("description"))
	b.Meta("statusId", status.Get("id"))
	b.Meta("environmentUrl", status.Get("environment_url"))
	b.Meta("transientEnvironment", deployment.Get("transient_environment"))
	b.Meta("productionEnvironment", deployment.Get("production_environment"))
	b.Meta("installationId", event.Get("installation", "id"))
	b.Meta("runId", event.Get("workflow_run", "id"))
	b.Meta("runAttempt", event.Get("workflow_run", "run_attempt"))
}
