package deployments

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/deployhook/deployhook/payload"
)

// maxMergedExtra bounds the unknown members that updates can accumulate, in
// bytes.
const maxMergedExtra = 256 << 10

// mergeDeployment returns the deployment after d updated old. again reports
// whether the pipeline ran again.
func mergeDeployment(old, d *payload.Deployment, again bool) *payload.Deployment {
	m := *d
	m.Dropped, m.Commits = nil, slices.Clone(d.Commits)
	if old.StartedAt.Before(d.StartedAt) && !again {
		m.StartedAt = old.StartedAt
	}
	if d.CompletedAt.IsZero() {
		m.CompletedAt = old.CompletedAt
	}
	if len(d.CommitSHA) < len(old.CommitSHA) && strings.EqualFold(d.CommitSHA, old.CommitSHA[:len(d.CommitSHA)]) {
		m.CommitSHA = old.CommitSHA
	}
	for _, field := range []struct {
		to   *string
		kept string
	}{
		{&m.OrganizationSlug, old.OrganizationSlug},
		{&m.Service, old.Service},
		{&m.Branch, old.Branch},
		{&m.PreviousCommitSHA, old.PreviousCommitSHA},
		{&m.TriggeredBy, old.TriggeredBy},
		{&m.PipelineName, old.PipelineName},
		{&m.PipelineURL, old.PipelineURL},
		{&m.RepositoryURL, old.RepositoryURL},
		{&m.ArtifactDigest, old.ArtifactDigest},
		{&m.Version, old.Version},
		{&m.RollbackOf, old.RollbackOf},
		{&m.IncidentURL, old.IncidentURL},
	} {
		if *field.to == "" {
			*field.to = field.kept
		}
	}
	if len(d.Commits) == 0 {
		m.Commits = old.Commits
	}
	if d.RawPayload.IsZero() {
		m.RawPayload = old.RawPayload
	}
	if d.Metadata.IsZero() {
		m.Metadata = old.Metadata
	}
	m.Extra = mergeExtra(old.Extra, d.Extra)
	return &m
}

// mergeExtra returns the members of both. If both have a member, the newer
// value is used. It works in one pass, because setting members one by one takes
// quadratic time.
func mergeExtra(old, newer payload.Object) payload.Object {
	switch {
	case old.IsZero() || len(old.JSON())+len(newer.JSON()) > maxMergedExtra && !newer.IsZero():
		return newer
	case newer.IsZero() || old == newer:
		return old
	}
	values := make(map[string]string)
	for name, value := range newer.All() {
		values[name] = value.JSON()
	}
	var text strings.Builder
	add := func(name, value string) {
		quoted, err := json.Marshal(name)
		if err != nil { // marshalling a string never fails
			return
		}
		if text.Len() == 0 {
			text.WriteByte('{')
		} else {
			text.WriteByte(',')
		}
		text.Write(quoted)
		text.WriteByte(':')
		text.WriteString(value)
	}
	for name, value := range old.All() {
		if replaced, ok := values[name]; ok {
			add(name, replaced)
			delete(values, name)
			continue
		}
		add(name, value.JSON())
	}
	for name := range newer.All() {
		if value, ok := values[name]; ok {
			add(name, value)
		}
	}
	merged, err := payload.ParseObject([]byte(text.String() + "}"))
	if err != nil { // both were valid objects
		return newer
	}
	return merged
}
