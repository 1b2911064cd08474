package periscope

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// ErrConfig is wrapped by every error of [New]. The text names the invalid
// option.
var ErrConfig = errors.New("periscope: invalid configuration")

// ErrUnknownStart says that the start of the deployment is unknown and
// [WithExactStart] is set.
var ErrUnknownStart = errors.New("periscope: nothing says when the deployment started")

// StartedAt and AssumedStart are names in the metadata of events and records,
// see [Format].
const (
	// StartedAt is the member by which an event can say when its deployment
	// started.
	StartedAt = "startedAt"
	// AssumedStart is the member that a record has, with the value true, if its
	// startedAt is only the event's time.
	AssumedStart = "startedAtAssumed"
)

// Format turns events into records for Periscope's deployment webhook. It is
// immutable and safe for concurrent use.
//
// A record must say when the deployment started, and only a deploy.started
// event knows it. The startedAt of other events comes from the first of these
// that exists:
//
//  1. what the function set with [WithStartTimes] says;
//  2. the member "startedAt" of the event's metadata, in any form that
//     [payload.ParseTime] reads;
//  3. the startedAt of the record set with [WithBase];
//  4. the event's own timestamp, which makes the deployment's duration zero;
//     the record's metadata then has the member "startedAtAssumed": true.
//     [WithExactStart] makes it an error instead.
//
// A start after the event is not taken from 1 to 3.
type Format struct {
	base   payload.Deployment
	starts func(deploymentID string) (time.Time, bool)
	exact  bool
}

var _ sender.Format = (*Format)(nil)

// Option configures [New].
type Option interface {
	apply(*config)
}

type config struct {
	Format
	mistakes []error
}

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

func (c *config) mistake(option, format string, args ...any) {
	c.mistakes = append(c.mistakes, fmt.Errorf("%w: %s: %s", ErrConfig, option, fmt.Sprintf(format, args...)))
}

// WithBase sets the members of records that an event does not set. They are the
// environment and the service if an event lacks them, and members without a
// field in events, such as the pipeline's name and URL or the organization.
// Default: nothing. DeploymentID, Status and CompletedAt must be empty, because
// only an event knows them. CommitSHA and StartedAt are for a program that
// sends the events of one deployment.
func WithBase(base payload.Deployment) Option {
	return optionFunc(func(c *config) {
		if base.DeploymentID != "" || base.Status != "" || !base.CompletedAt.IsZero() {
			c.mistake("WithBase", "DeploymentID, Status and CompletedAt come from the event; leave them out")
		}
		c.base = base
	})
}

// WithStartTimes sets a function that knows when a deployment started, from the
// program's records or from earlier deploy.started events. It must be quick,
// and safe for concurrent use. Default: none. Nil is an error.
func WithStartTimes(starts func(deploymentID string) (time.Time, bool)) Option {
	return optionFunc(func(c *config) {
		if starts == nil {
			c.mistake("WithStartTimes", "the function is nil; leave it out")
		}
		c.starts = starts
	})
}

// WithExactStart makes Encode fail with [ErrUnknownStart] where a record's
// startedAt would only be the event's own time. Default: off.
func WithExactStart() Option { return optionFunc(func(c *config) { c.exact = true }) }

// New returns a Format. It reports all mistakes in the options at once.
func New(opts ...Option) (*Format, error) {
	var c config
	for _, o := range opts {
		if o == nil {
			c.mistake("New", "a nil Option was given; leave it out")
			continue
		}
		o.apply(&c)
	}
	if err := c.checkBase(); err != nil {
		c.mistake("WithBase", "%v", err)
	}
	if err := errors.Join(c.mistakes...); err != nil {
		return nil, err
	}
	return &c.Format, nil
}

// checkBase completes the base with the values of a sample event and validates
// it, so that New reports its mistakes.
func (c *config) checkBase() error {
	d := c.base
	d.DeploymentID, d.Status = "dep", payload.StatusPending
	if d.CommitSHA == "" {
		d.CommitSHA = "0000000"
	}
	if d.Environment == "" {
		d.Environment = "production"
	}
	if d.StartedAt.IsZero() {
		d.StartedAt = time.Unix(0, 0)
	}
	d.CompletedAt = time.Time{}
	return d.Validate()
}

// Encode returns the record as JSON, with the members that Periscope documents.
// Some events have no record, and the error then wraps [sender.ErrNoMessage]:
//
//   - events that do not change the status of a deployment, which are
//     build.completed, health_check.passed and unknown types without a
//     deployment's status
//   - events without a commit if the base has none either, because Periscope
//     takes no record without a commit
//
// Any other missing member is a *payload.ValidationError that names it.
func (f *Format) Encode(_ context.Context, e *payload.Event) (string, []byte, error) {
	if e.Type == payload.BuildCompleted || e.Type == payload.HealthCheckPassed {
		return "", nil, fmt.Errorf("%w: %s changes no deployment's status", sender.ErrNoMessage, e.Type)
	}
	status, ok := e.DeploymentStatus()
	if !ok {
		return "", nil, fmt.Errorf("%w: a deployment can't have its status", sender.ErrNoMessage)
	}
	if (e.Commit == nil || e.Commit.SHA == "") && f.base.CommitSHA == "" {
		return "", nil, fmt.Errorf("%w: it has no commit, which Periscope requires", sender.ErrNoMessage)
	}
	base := f.base
	base.Status = status
	assumed := false
	if e.Type != payload.DeployStarted {
		base.StartedAt, assumed = f.start(e)
	}
	if assumed && f.exact {
		return "", nil, fmt.Errorf("%w: set %q in the event's metadata, or WithStartTimes", ErrUnknownStart, StartedAt)
	}
	d, err := e.Deployment(base)
	if err != nil {
		return "", nil, err
	}
	if assumed {
		if err := d.Metadata.Set(AssumedStart, true); err != nil {
			return "", nil, err
		}
	}
	strip(d)
	body, err := d.Encode()
	return "application/json", body, err
}

// strip takes off the members that Periscope does not document.
func strip(d *payload.Deployment) {
	d.RepositoryURL, d.Commits, d.ArtifactDigest = "", nil, ""
	d.Version, d.RollbackOf, d.IncidentURL = "", "", ""
}

// start is when the deployment of e started, and whether that is only assumed.
func (f *Format) start(e *payload.Event) (start time.Time, assumed bool) {
	if f.starts != nil {
		if t, ok := f.starts(e.DeploymentID); ok && plausible(t, e) {
			return t, false
		}
	}
	if v, ok := e.Metadata.Get(StartedAt); ok {
		text, _ := v.Text()
		if t, err := payload.ParseTime(text); err == nil && plausible(t, e) {
			return t, false
		}
	}
	if plausible(f.base.StartedAt, e) {
		return f.base.StartedAt, false
	}
	return e.Timestamp, true
}

func plausible(start time.Time, e *payload.Event) bool {
	return start.Unix() >= 0 && !start.After(e.Timestamp)
}
