package flux

import (
	"cmp"
	"strings"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound"
)

const (
	kustomization = "Kustomization"
	helmRelease   = "HelmRelease"

	severityInfo  = "info"
	severityError = "error"

	reasonProgressing = "Progressing"
	reasonSucceeded   = "ReconciliationSucceeded"
	reasonCanceled    = "HealthCheckCanceled"
	// Only its message tells this event from the one that says what was applied.
	healthPassed = "Health check passed in "
)

// releases maps the reasons of a HelmRelease's events. A rollback is missing,
// because its event has the chart that it returns to. The failure before it was
// reported.
var releases = map[string]payload.Status{
	"InstallSucceeded": payload.StatusSuccess,
	"InstallFailed":    payload.StatusFailure,
	"UpgradeSucceeded": payload.StatusSuccess,
	"UpgradeFailed":    payload.StatusFailure,
	"TestSucceeded":    payload.StatusSuccess,
	"TestFailed":       payload.StatusFailure,
}

const (
	noCommit      = "charts and artifacts without an origin revision have none; look it up in WithComplete"
	noEnvironment = "set environment in the Alert's eventMetadata, or use WithEnvironment"
)

func (c *config) mapEvent(b *inbound.Builder, event inbound.Node) error {
	object := event.Get("involvedObject")
	kind, reason := object.Get("kind").Text(), event.Get("reason").Text()
	var ok bool
	switch kind {
	case kustomization:
		b.Status, ok = c.kustomizationStatus(event)
	case helmRelease:
		b.Status, ok = releases[reason]
	default:
		return inbound.Ignore("involvedObject.kind is %s", inbound.Quote(kind))
	}
	if !ok {
		return inbound.Ignore("reason is %s with severity %s", inbound.Quote(reason), inbound.Quote(event.Get("severity").Text()))
	}
	b.SetMeta(inbound.MetaStatus, cmp.Or(reason, event.Get("severity").Text()))
	mapRevision(b, event)
	b.Service = b.Text("service", object.Get("name"))
	b.Environment = c.environment
	if b.Environment == "" {
		b.Environment = b.Text("environment", meta(event, "environment"), meta(event, "env"))
		b.Unknown("environment", noEnvironment)
	}
	at := event.Get("timestamp")
	b.At(b.Time("startedAt", at), at, false)
	b.SetMeta("object", kind+"/"+object.Get("namespace").Text()+"/"+object.Get("name").Text())
	b.Meta("controller", event.Get("reportingController"))
	if b.Status == payload.StatusFailure {
		b.Meta("reason", event.Get("message"))
	}
	return nil
}

// kustomizationStatus returns false for an event that is not about an attempt
// to apply a revision.
func (c *config) kustomizationStatus(event inbound.Node) (payload.Status, bool) {
	if !meta(event, "revision").Exists() {
		return "", false
	}
	severity, reason := event.Get("severity").Text(), event.Get("reason").Text()
	switch {
	case severity == severityError && reason == reasonSucceeded:
		return "", false // the Kustomization is deleted, and that failed
	case reason == reasonCanceled:
		return "", false // a newer revision has arrived meanwhile
	case severity == severityError:
		return payload.StatusFailure, true
	case severity != severityInfo:
		return "", false
	case reason == reasonSucceeded, reason == reasonProgressing && strings.HasPrefix(event.Get("message").Text(), healthPassed):
		return payload.StatusSuccess, true
	case reason == reasonProgressing && c.appliedSuccess:
		return payload.StatusSuccess, true
	case reason == reasonProgressing:
		return payload.StatusInProgress, true
	}
	return "", false
}

// meta returns a member of the metadata. Older notification controllers pass on
// the API group before the names of a controller's own members.
func meta(event inbound.Node, name string) inbound.Node {
	metadata := event.Get("metadata")
	if n := metadata.Get(name); n.Exists() {
		return n
	}
	group, _, _ := strings.Cut(event.Get("involvedObject", "apiVersion").Text(), "/")
	if n := metadata.Get(group + "/" + name); n.Exists() {
		return n
	}
	return metadata.Get(name)
}

// mapRevision sets the ID and what is known of the source. A HelmRelease's
// token is the digest of the values, so that new values for the same chart are
// another deployment.
func mapRevision(b *inbound.Builder, event inbound.Node) {
	revision, uid := meta(event, "revision"), event.Get("involvedObject", "uid")
	id := []inbound.Node{uid, revision}
	if event.Get("involvedObject", "kind").Text() == helmRelease {
		b.Version = b.Text("version", revision)
		if token := meta(event, "token"); token.Exists() {
			id = append(id, token)
		}
	}
	b.DeploymentID = b.JoinID("deploymentId", id...)
	b.Unknown("commitSha", noCommit)
	candidates := []inbound.Node{meta(event, "commit"), meta(event, "originRevision"), revision}
	for i, n := range candidates {
		isOrigin := i < len(candidates)-1
		if commit, ref := parseRevision(n.Text(), isOrigin); commit != "" {
			b.CommitSHA = commit
			b.From("commitSha", n)
			b.Branch = inbound.Branch(ref, commit)
			break
		}
	}
	if _, digest, ok := strings.Cut(revision.Text(), "@sha256:"); ok {
		b.ArtifactDigest = "sha256:" + digest
		b.From("artifactDigest", revision)
	}
	b.Meta("revision", revision)
}

// parseRevision returns the commit and the ref of a revision, such as
// main@sha1:HEX, or main/HEX before version 2 of Flux. A SHA-256 hash is a
// commit in the origin's revision. Elsewhere it is that of an OCI artifact.
func parseRevision(text string, isOrigin bool) (commit, ref string) {
	ref, hash, ok := strings.Cut(text, "@")
	if !ok {
		slash := strings.LastIndexByte(text, '/')
		ref, hash = text[:max(slash, 0)], text[slash+1:]
	}
	algorithm, digits, ok := strings.Cut(hash, ":")
	if !ok {
		algorithm, digits = "", hash
	}
	if !inbound.IsCommit(digits) || algorithm == "sha256" && !isOrigin {
		return "", ""
	}
	return digits, ref
}
