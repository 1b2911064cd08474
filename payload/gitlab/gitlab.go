package gitlab

import (
	"context"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound"
	"github.com/deployhook/deployhook/signer"
)

const system = "gitlab"

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
	complete inbound.Completer
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

// Secrets holds the secrets of a GitLab webhook. At least one is required.
type Secrets struct {
	// SigningToken is the webhook's signing token (whsec_…), from
	// [signer.ParseSecret]. Prefer it if your GitLab has it.
	SigningToken signer.Secret
	// Token is the webhook's secret token, which GitLab sends unchanged, from
	// [signer.NewLiteralSecret].
	Token signer.Secret
}

// NewVerifier returns the scheme for the given secrets.
//
//	SigningToken   Standard Webhooks
//	Token          X-Gitlab-Token
//	both           the one that a request has, preferring the signature
//
// The principal is "gitlab". For rotation, create the scheme with
// [signer.NewStandard] and [signer.WithKey].
func NewVerifier(secrets Secrets) (signer.Scheme, error) {
	if secrets.SigningToken.IsZero() && secrets.Token.IsZero() {
		return nil, inbound.ConfigError(system, "Secrets is empty; set SigningToken or Token")
	}
	var schemes []signer.Scheme
	if !secrets.SigningToken.IsZero() {
		standard, err := signer.NewStandard(secrets.SigningToken, signer.WithPrincipal(system))
		if err != nil {
			return nil, err
		}
		schemes = append(schemes, standard)
	}
	if !secrets.Token.IsZero() {
		token, err := signer.NewGitLabToken(secrets.Token, system)
		if err != nil {
			return nil, err
		}
		schemes = append(schemes, token)
	}
	if len(schemes) == 1 {
		return schemes[0], nil
	}
	return signer.AnyOf(schemes...)
}

// NewDecoder returns [Decode] with these options, for receiver.Records. It
// reports all configuration errors, which wrap [ErrConfig].
func NewDecoder(opts ...Option) (func(ctx context.Context, body []byte) (*payload.Deployment, error), error) {
	c := new(config)
	if err := inbound.Configure(system, opts, c, Option.apply); err != nil {
		return nil, err
	}
	return inbound.NewDecoder(system, mapEvent, c.complete), nil
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

// statuses maps all statuses of a GitLab deployment.
var statuses = map[string]payload.Status{
	"created":  payload.StatusPending,
	"blocked":  payload.StatusPending,
	"running":  payload.StatusInProgress,
	"success":  payload.StatusSuccess,
	"failed":   payload.StatusFailure,
	"canceled": payload.StatusCancelled,
	"skipped":  payload.StatusCancelled,
}

func mapEvent(b *inbound.Builder, event inbound.Node) error {
	if kind := event.Get("object_kind").Text(); kind != "deployment" {
		return inbound.Ignore("object_kind is %s, not deployment", inbound.Quote(kind))
	}
	b.Lookup(statuses, event.Get("status"))
	changed := event.Get("status_changed_at")
	b.At(b.Time("startedAt", changed), changed, !b.Status.Terminal())
	b.DeploymentID = b.ID("deploymentId", event.Get("deployment_id"))
	mapCommit(b, event)
	b.Environment = b.Text("environment", event.Get("environment"))
	b.Service = b.Text("service", event.Get("project", "name"), event.Get("project", "path_with_namespace"))
	b.Branch = inbound.Branch(b.Text("branch", event.Get("ref")), b.CommitSHA)
	b.TriggeredBy = b.Text("triggeredBy", event.Get("user", "username"))
	b.RepositoryURL = b.URL("repositoryUrl", event.Get("project", "web_url"))
	b.PipelineURL = b.URL("pipelineUrl", event.Get("deployable_url"))
	mapMetadata(b, event)
	return nil
}

// mapCommit takes the full hash from the link to the commit. Without a link it
// takes the first eight digits.
func mapCommit(b *inbound.Builder, event inbound.Node) {
	link := event.Get("commit_url")
	if sha := inbound.LastSegment(link.Text()); inbound.IsCommit(sha) {
		b.From("commitSha", link)
		b.CommitSHA = sha
		return
	}
	b.Commit("", event.Get("short_sha"))
}

func mapMetadata(b *inbound.Builder, event inbound.Node) {
	b.Meta("project", event.Get("project", "path_with_namespace"))
	b.Meta("projectId", event.Get("project", "id"))
	b.Meta("ref", event.Get("ref"))
	b.Meta("deployableId", event.Get("deployable_id"))
	b.Meta("environmentTier", event.Get("environment_tier"))
	b.Meta("environmentSlug", event.Get("environment_slug"))
	b.Meta("environmentUrl", event.Get("environment_external_url"))
	b.Meta("commitTitle", event.Get("commit_title"))
	b.Meta("userUrl", event.Get("user_url"))
}
