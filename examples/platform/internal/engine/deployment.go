package engine

import (
	"errors"
	"regexp"
	"time"

	"github.com/deployhook/deployhook/payload"
)

// Errors of Deploy and Rollback.
var (
	ErrBusy          = errors.New("a deployment of this app is in progress")
	ErrClosed        = errors.New("the platform is stopping")
	ErrNothingLive   = errors.New("nothing of this app is live")
	ErrNotLive       = errors.New("the deployment is not live, so there is nothing to roll back")
	ErrNothingBefore = errors.New("there is no version to go back to")
	ErrUnhealthy     = errUnhealthy
)

// FieldError is a mistake in a Request.
type FieldError struct{ Field, Reason string }

func (e *FieldError) Error() string { return e.Field + ": " + e.Reason }

// Request asks for a deployment.
type Request struct {
	App         string
	Source      string // one of Sources
	Version     string // any text; by default made from the time
	Environment string // default: "production"
	TriggeredBy string // default: "api"
	Commit      *payload.Commit
	// HealthTimeout and Watch override the engine's configuration for this
	// deployment. Zero means no override.
	HealthTimeout, Watch time.Duration
}

// Step is the current step of a deployment.
type Step string

// The steps in order.
const (
	StepBuilding Step = "building"
	StepStarting Step = "starting" // running, but not healthy yet
	StepWatching Step = "watching" // live, while the previous version is kept running
	StepDraining Step = "draining" // the previous version finishes its requests
	StepDone     Step = "done"
)

// Deployment is the record of one deployment.
type Deployment struct {
	ID              string         `json:"id"`
	App             string         `json:"app"`
	Environment     string         `json:"environment"`
	Source          string         `json:"source"`
	Version         string         `json:"version"`
	PreviousVersion string         `json:"previous_version,omitempty"`
	Commit          *Commit        `json:"commit,omitempty"`
	TriggeredBy     string         `json:"triggered_by"`
	Status          payload.Status `json:"status"`
	Step            Step           `json:"step"`
	Error           string         `json:"error,omitempty"`
	URL             string         `json:"url,omitempty"`
	StartedAt       time.Time      `json:"started_at"`
	CompletedAt     *time.Time     `json:"completed_at,omitempty"`
}

// Commit is the deployed commit.
type Commit struct {
	SHA     string `json:"sha"`
	Message string `json:"message,omitempty"`
	Author  string `json:"author,omitempty"`
	Branch  string `json:"branch,omitempty"`
}

var version = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$`)

// maxLimit bounds the times in a request.
const (
	maxLimit   = time.Hour
	limitRange = "want 0 for the platform's default, or up to 3600"
)

// limits are the time limits of one deployment.
type limits struct{ health, watch time.Duration }

// limits combines the request's limits with the defaults.
func (c Config) limits(r Request) limits {
	l := limits{health: r.HealthTimeout, watch: r.Watch}
	if l.health == 0 {
		l.health = c.HealthTimeout
	}
	if l.watch == 0 {
		l.watch = c.Watch
	}
	return l
}

// deployment makes the record for a request.
func (r Request) deployment(now time.Time) (Deployment, source, error) {
	src, ok := readSource(r.Source)
	if !ok {
		return Deployment{}, nil, &FieldError{"source", "there is no such program; see GET /sources"}
	}
	if r.Version != "" && !version.MatchString(r.Version) {
		return Deployment{}, nil, &FieldError{"version", "want up to 64 letters, digits, dots, underscores, pluses and hyphens, beginning with a letter or a digit"}
	}
	if r.HealthTimeout < 0 || r.HealthTimeout > maxLimit {
		return Deployment{}, nil, &FieldError{"health_timeout_seconds", limitRange}
	}
	if r.Watch < 0 || r.Watch > maxLimit {
		return Deployment{}, nil, &FieldError{"watch_seconds", limitRange}
	}
	d := Deployment{
		ID: payload.NewDeploymentID(), App: r.App, Environment: r.Environment, Source: r.Source, Version: r.Version,
		TriggeredBy: r.TriggeredBy, Status: payload.StatusInProgress, Step: StepBuilding, StartedAt: now,
	}
	if c := r.Commit; c != nil {
		d.Commit = &Commit{SHA: c.SHA, Message: c.Message, Author: c.Author, Branch: c.Branch}
	}
	if d.Version == "" {
		d.Version = now.Format("v20060102-150405")
	}
	if d.Environment == "" {
		d.Environment = "production"
	}
	if d.TriggeredBy == "" {
		d.TriggeredBy = "api"
	}
	return d, src, nil
}
