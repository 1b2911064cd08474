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

// MaxRaw is the largest event, in bytes, that is kept as the deployment's
// RawPayload.
const MaxRaw = 64 << 10

// The metadata names that all systems share.
const (
	// MetaStatus is the system's own word for the status.
	MetaStatus = "originalStatus"
	// MetaNoStart is true if the event has the time of a change but not the
	// start of the deployment. startedAt is then the time of the event.
	MetaNoStart = "startedAtUnknown"
	// MetaNoRaw is true if the event was too large for rawPayload.
	MetaNoRaw = "rawPayloadOmitted"
)

// A Builder builds a deployment from an event. Its methods read a value from
// the first candidate that has one, and record the path of that member. If the
// deployment breaks a rule, the error then names the event's own member.
type Builder struct {
	payload.Deployment

	origins map[string]string // path in the deployment -> path in the event
	// path in the deployment -> advice if the event has no value
	unknown  map[string]string
	failures []payload.Failure
	omitted  int                       // failures after the first 32
	objects  map[string]payload.Object // objects already read, by path
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
	// Only the kind matters, because the object itself is in objects.
	value, err := valueOf([]byte("{}"))
	return b, Node{b: b, value: value}, err
}

// isRequired is package payload's message for a missing member.
const isRequired = "is required"

// maxFailures is the maximum number of failures that one error lists, as in
// package payload.
const maxFailures = 32

// fail records a failure. Only the first failure of a path counts. Those after
// the maximum are counted and not listed.
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

// From records which member a field of the deployment comes from, for errors.
func (b *Builder) From(field string, n Node) { b.origins[field] = n.path }

// pick returns the first result that is not empty. Without one, errors about
// the field name the first candidate, because that member should have been
// present.
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

// informing returns the field if it only informs people, or else nil. Invalid
// values of such fields are dropped, because an event is worth more.
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

// drop records a dropped value for the log line.
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

// Unknown records that the event has no member for a field, and what the
// operator can do about it. If the field stays empty, the error contains this
// advice instead of the name of a member.
func (b *Builder) Unknown(field, advice string) {
	if b.unknown == nil {
		b.unknown = make(map[string]string, 1)
	}
	b.unknown[field] = advice
}

// Commit reads the deployed commit. advice is for an event that has none, see
// [Builder.Unknown]. An empty advice means that every event has a commit.
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

// JoinID joins several members, strings or integers, to a unique ID. All of
// them are required.
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

// Time reads a date in one of the formats of payload.ParseTime.
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

// Seconds reads seconds since 1970. Zero counts as absent.
func (b *Builder) Seconds(field string, candidates ...Node) time.Time {
	return pick(b, field, func(n Node) time.Time {
		n.failWrong()
		seconds, ok := n.value.Int64()
		switch {
		case !n.Exists() || ok && seconds == 0:
			return time.Time{}
		case !ok || seconds < 0 || seconds > maxMillis/1000:
			b.fail(n.path, "must be seconds since 1970, an integer")
			return time.Time{}
		}
		return time.Unix(seconds, 0).UTC()
	}, candidates)
}

// maxDuration bounds durations, so that no sum with a time overflows.
const maxDuration = 100 * 365 * 24 * time.Hour

// Duration reads a number of milliseconds, up to 100 years.
func (b *Builder) Duration(n Node) time.Duration {
	n.failWrong()
	ms, ok := n.value.Int64()
	switch {
	case !n.Exists():
		return 0
	case !ok || ms < 0 || ms > maxDuration.Milliseconds():
		b.fail(n.path, "must be a number of milliseconds, an integer")
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

// maxMillis is the end of the year 9999.
const maxMillis = 253402300799999

// URL reads a link with [payload.CleanURL]. It drops an invalid link, because
// the event is worth more.
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

// Lookup sets the status by a table of the system's own words, and keeps the
// word as metadata. An unknown word is a failure, because its meaning must not
// be guessed.
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

// At sets the times of a deployment from the only time of an event, which is
// the time of a change. If the deployment has ended, the time is its end. It is
// also the start unless a better one is known. isStart tells that the change is
// the start itself.
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

// Meta keeps a member as metadata if it is a nonempty string, a number or a
// boolean.
func (b *Builder) Meta(name string, n Node) {
	switch n.Kind() {
	case payload.KindString, payload.KindNumber, payload.KindBool:
		if n.value.JSON() != `""` {
			b.SetMeta(name, n.value)
		}
	}
}

// SetMeta sets metadata to a scalar. It leaves out an empty string.
func (b *Builder) SetMeta(name string, value any) {
	if value == "" {
		return
	}
	if err := b.Metadata.Set(name, value); err != nil {
		b.fail("metadata."+name, "must be a string, number, or boolean")
	}
}

// completeError wraps an error of a Completer, which is a failure of the
// receiver. It hides [payload.ErrInvalid], because an invalid document that the
// Completer found must not look like an invalid event.
func completeError(system string, err error) error {
	if errors.Is(err, payload.ErrInvalid) {
		return fmt.Errorf("%s: WithComplete: %v", system, err)
	}
	return fmt.Errorf("%s: WithComplete: %w", system, err)
}

// finish validates the deployment. It calls complete first, because complete
// may supply a missing value. It does not call complete for an event that
// cannot be read.
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

// judge decides about an invalid record. The record may be valid without the
// fields that only inform people. Otherwise either the event or the caller's
// options are invalid.
func (b *Builder) judge(system string, invalid *payload.ValidationError) (*payload.Deployment, error) {
	for _, failure := range invalid.Failures {
		if field := b.informing(failure.Path); field != nil && *field != "" {
			*field = ""
			b.drop(cmp.Or(b.origins[failure.Path], failure.Path), failure.Message)
			continue
		}
		if advice, ok := b.unknown[failure.Path]; ok && failure.Message == isRequired {
			b.fail(failure.Path, failure.Message+", and the event has none; "+advice)
			continue
		}
		origin, ok := b.origins[failure.Path]
		// The value comes from an option instead of the event, so the sender
		// cannot correct it.
		if !ok {
			return nil, ConfigError(system, "the deployment after the options were applied: "+failure.String())
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
