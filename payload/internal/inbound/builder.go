package inbound

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/deployhook/deployhook/payload"
)

// MaxRaw is the largest event that is kept whole as the deployment's RawPayload, in bytes.
const MaxRaw = 64 << 10

// The names of metadata that all systems share.
const (
	// MetaStatus is the system's own word for the status.
	MetaStatus = "originalStatus"
	// MetaNoStart is true where an event says when something changed and not when the deployment started: startedAt is
	// then the time of the event.
	MetaNoStart = "startedAtUnknown"
	// MetaNoRaw is true where the event was too large for rawPayload.
	MetaNoRaw = "rawPayloadOmitted"
)

// A Builder is a deployment in the making. Its methods read a value from the first candidate that has one and note which
// member that was, so that a rule which the deployment breaks is reported under the event's own name for the member.
type Builder struct {
	payload.Deployment

	origins  map[string]string // path in the deployment -> path in the event
	unknown  map[string]string // path in the deployment -> what to do, where no event has it
	failures []payload.Failure
	omitted  int                       // failures beyond the first 32
	objects  map[string]payload.Object // read already, by path
}

func newBuilder(body []byte) (*Builder, Node, error) {
	event, err := payload.ParseObject(body)
	if err != nil {
		return nil, Node{}, err
	}
	b := &Builder{origins: make(map[string]string, 16), objects: map[string]payload.Object{"": event}}
	if len(event.JSON()) <= MaxRaw {
		b.RawPayload = event
	} else {
		b.SetMeta(MetaNoRaw, true)
	}
	value, err := valueOf([]byte("{}")) // the kind is what counts: the object itself is in objects
	return b, Node{b: b, value: value}, err
}

// isRequired is what package payload says of a member that is missing.
const isRequired = "is required"

// maxFailures bounds what one error lists, as package payload does.
const maxFailures = 32

// fail notes a failure. Only the first one of a path counts. Those beyond the
// bound are counted and not listed.
func (b *Builder) fail(path, message string) {
	for _, seen := range b.failures {
		if seen.Path == path {
			return
		}
	}
	if len(b.failures) == maxFailures {
		b.omitted++
		return
	}
	b.failures = append(b.failures, payload.Failure{Path: path, Message: message})
}

// From notes where a field of the deployment comes from, for errors.
func (b *Builder) From(field string, n Node) { b.origins[field] = n.path }

// pick returns the first result that is not empty. Without one, the first candidate is the field's origin: it is the
// member that should have been there.
func pick[T comparable](b *Builder, field string, read func(Node) T, candidates []Node) T {
	var zero T
	for _, n := range candidates {
		if value := read(n); value != zero {
			b.From(field, n)
			return value
		}
	}
	if len(candidates) > 0 {
		b.From(field, candidates[0])
	}
	return zero
}

// informing returns the field that only informs, or nil. An event is worth more
// than such a field, so a value that can't be kept is dropped.
func (b *Builder) informing(field string) *string {
	switch field {
	case "branch":
		return &b.Branch
	case "triggeredBy":
		return &b.TriggeredBy
	case "pipelineName":
		return &b.PipelineName
	case "pipelineUrl":
		return &b.PipelineURL
	case "repositoryUrl":
		return &b.RepositoryURL
	}
	return nil
}

// drop notes what the record is kept without, for the log line.
func (b *Builder) drop(path, message string) {
	b.Dropped = append(b.Dropped, payload.Failure{Path: path, Message: message})
}

// Text reads a string.
func (b *Builder) Text(field string, candidates ...Node) string {
	if b.informing(field) == nil {
		return pick(b, field, Node.Text, candidates)
	}
	text := pick(b, field, Node.informs, candidates)
	if text != "" {
		return text
	}
	for _, n := range candidates {
		switch {
		case n.wrong != "":
			b.drop(n.wrong, mustBeObject)
			return ""
		case n.Exists() && n.Kind() != payload.KindString:
			b.drop(n.path, mustBeString)
			return ""
		}
	}
	return ""
}

// Unknown says that the event has no member for a field, and what the operator
// can do about it. Without a value, that is the error instead of the name of a
// member that nobody can add to the event.
func (b *Builder) Unknown(field, advice string) {
	if b.unknown == nil {
		b.unknown = make(map[string]string, 1)
	}
	b.unknown[field] = advice
}

// Commit reads the commit that is deployed. advice is for an event that has none,
// see [Builder.Unknown]. Empty means that every event has one.
func (b *Builder) Commit(advice string, candidates ...Node) {
	b.CommitSHA = b.Text("commitSha", candidates...)
	exists := slices.ContainsFunc(candidates, func(n Node) bool { return n.Exists() || n.wrong != "" })
	if advice != "" && !exists {
		b.Unknown("commitSha", advice)
	}
}

// ID reads a string or an integer.
func (b *Builder) ID(field string, candidates ...Node) string {
	return pick(b, field, Node.id, candidates)
}

// JoinID reads an ID that only several members make unique, strings or integers. All of them are needed.
func (b *Builder) JoinID(field string, parts ...Node) string {
	ids := make([]string, len(parts))
	for i, n := range parts {
		ids[i] = n.id()
		if ids[i] == "" {
			b.From(field, n)
			return ""
		}
	}
	b.From(field, parts[0])
	return strings.Join(ids, "-")
}

// Time reads a date in one of the forms of payload.ParseTime.
func (b *Builder) Time(field string, candidates ...Node) time.Time {
	return pick(b, field, func(n Node) time.Time {
		text := n.Text()
		if text == "" {
			return time.Time{}
		}
		t, err := payload.ParseTime(text)
		if err != nil {
			b.fail(n.path, "must be a valid ISO 8601 date")
		}
		return t
	}, candidates)
}

// Millis reads milliseconds since 1970.
func (b *Builder) Millis(field string, candidates ...Node) time.Time {
	return pick(b, field, func(n Node) time.Time {
		n.failWrong()
		ms, ok := n.value.Int64()
		switch {
		case !n.Exists():
			return time.Time{}
		case !ok || ms < 0 || ms > maxMillis:
			b.fail(n.path, "must be milliseconds since 1970, an integer")
			return time.Time{}
		}
		return time.UnixMilli(ms).UTC()
	}, candidates)
}

// maxMillis is the end of the year 9999.
const maxMillis = 253402300799999

// URL reads a link as [payload.CleanURL] repairs it. It skips what can't be a
// link, because the event is worth more.
func (b *Builder) URL(field string, candidates ...Node) string {
	link := pick(b, field, func(n Node) string {
		text, _ := n.value.Text()
		link, _ := payload.CleanURL(text)
		return link
	}, candidates)
	if link == "" && b.informing(field) != nil {
		for _, n := range candidates {
			if n.Exists() && n.value.JSON() != `""` {
				b.drop(n.path, "must be an absolute http or https URL")
				break
			}
		}
	}
	return link
}

// Lookup sets the status by a table of the system's own words, and keeps that word as metadata. A word that is not in the
// table is a failure: what it means is not guessed.
func (b *Builder) Lookup(table map[string]payload.Status, candidates ...Node) (word string) {
	word = b.Text("status", candidates...)
	b.SetMeta(MetaStatus, word)
	status, ok := table[word]
	switch {
	case ok:
		b.Status = status
	case word != "":
		words := make([]string, 0, len(table))
		for known := range table {
			words = append(words, known)
		}
		slices.Sort(words)
		b.fail(b.origins["status"], "must be one of: "+strings.Join(words, ", "))
	}
	return word
}

// At places the one time that an event has, that of a change: when the deployment ended, if it has ended, and when it
// started as far as anybody knows. isStart says that the change is the start, so that nothing better can be known.
func (b *Builder) At(t time.Time, n Node, isStart bool) {
	if b.StartedAt.IsZero() {
		b.StartedAt = t
		b.From("startedAt", n)
		if !isStart && !t.IsZero() {
			b.SetMeta(MetaNoStart, true)
		}
	}
	if b.CompletedAt.IsZero() && b.Status.Terminal() {
		b.CompletedAt = t
		b.From("completedAt", n)
	}
}

// Meta keeps a member as metadata if it is a string, a number or a boolean, and not empty.
func (b *Builder) Meta(name string, n Node) {
	switch n.Kind() {
	case payload.KindString, payload.KindNumber, payload.KindBool:
		if n.value.JSON() != `""` {
			b.SetMeta(name, n.value)
		}
	}
}

// SetMeta sets metadata to a scalar; an empty string is left out.
func (b *Builder) SetMeta(name string, value any) {
	if value == "" {
		return
	}
	if err := b.Metadata.Set(name, value); err != nil {
		b.fail("metadata."+name, "must be a string, number, or boolean")
	}
}

// completeError is a failure on our side. An invalid document that a Completer
// came upon must not look like an invalid event.
func completeError(system string, err error) error {
	if errors.Is(err, payload.ErrInvalid) {
		return fmt.Errorf("%s: completing the deployment: %v", system, err)
	}
	return fmt.Errorf("%s: completing the deployment: %w", system, err)
}

// finish validates. What the caller adds comes first, since it may be what was missing; but nobody is asked about an
// event that can't be read.
func (b *Builder) finish(ctx context.Context, system string, complete Completer) (*payload.Deployment, error) {
	if len(b.failures) > 0 {
		return nil, &payload.ValidationError{Failures: b.failures, Omitted: b.omitted}
	}
	if complete != nil {
		if err := complete(ctx, &b.Deployment); err != nil {
			return nil, completeError(system, err)
		}
	}
	b.SetCommit(b.CommitSHA)
	err := b.Validate()
	if err == nil {
		d := b.Deployment
		return &d, nil
	}
	var invalid *payload.ValidationError
	if !errors.As(err, &invalid) {
		return nil, err
	}
	return b.judge(system, invalid)
}

// judge decides what an invalid record means. Without the fields that only inform
// it may be valid. Otherwise the event is invalid, or the caller's options are.
func (b *Builder) judge(system string, invalid *payload.ValidationError) (*payload.Deployment, error) {
	for _, failure := range invalid.Failures {
		if field := b.informing(failure.Path); field != nil && *field != "" {
			*field = ""
			b.drop(cmp.Or(b.origins[failure.Path], failure.Path), failure.Message)
			continue
		}
		if advice, ok := b.unknown[failure.Path]; ok && failure.Message == isRequired {
			b.fail(failure.Path, failure.Message+", and the event has none: "+advice)
			continue
		}
		origin, ok := b.origins[failure.Path]
		if !ok { // not from the event, so from an option: the peer can't mend it
			return nil, ConfigError(system, "the deployment, as the options complete it: "+failure.String())
		}
		failure.Path = origin
		b.fail(failure.Path, failure.Message)
	}
	if len(b.failures) == 0 {
		if err := b.Validate(); err != nil {
			return nil, err
		}
		d := b.Deployment
		return &d, nil
	}
	return nil, &payload.ValidationError{Failures: b.failures, Omitted: b.omitted + invalid.Omitted}
}
