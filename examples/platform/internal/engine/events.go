package engine

import (
	"math"
	"time"

	"github.com/deployhook/deployhook/payload"
)

// event returns an event with the members that all events of a deployment have.
func (d *Deployment) event(t payload.Type, now time.Time) *payload.Event {
	e := &payload.Event{
		Type: t, Timestamp: now, DeploymentID: d.ID, App: d.App, Environment: d.Environment, TriggeredBy: d.TriggeredBy,
		Version: d.Version, PreviousVersion: d.PreviousVersion, Status: d.Status,
	}
	if c := d.Commit; c != nil {
		e.Commit = &payload.Commit{SHA: c.SHA, Message: c.Message, Author: c.Author, Branch: c.Branch}
	}
	return e
}

// buildCompleted reports the build's outcome in its status, not the
// deployment's.
func (d *Deployment) buildCompleted(b built, now time.Time) *payload.Event {
	e := d.event(payload.BuildCompleted, now)
	e.Status = payload.StatusSuccess
	e.BuildDurationSeconds = new(round(b.duration.Seconds()))
	e.ImageSizeMB = new(round(float64(b.bytes) / 1e6))
	e.CacheHit = new(b.cacheHit)
	return e
}

func (d *Deployment) healthCheckPassed(h health, i *instance, now time.Time) *payload.Event {
	e := d.event(payload.HealthCheckPassed, now)
	e.Status = payload.StatusSuccess
	e.ContainerID = "process-" + i.pid()
	e.HealthCheck = &payload.HealthCheck{
		URL: healthPath, StatusCode: new(h.status), ResponseTimeMS: new(round(float64(h.took.Microseconds()) / 1e3)), Attempts: new(h.attempts),
	}
	return e
}

func (d *Deployment) live(i *instance, now time.Time) *payload.Event {
	e := d.event(payload.DeployLive, now)
	e.URL = d.URL
	e.ContainerID = "process-" + i.pid()
	return e
}

func (d *Deployment) failed(now time.Time) *payload.Event {
	e := d.event(payload.DeployFailed, now)
	e.Error = d.Error
	return e
}

func (d *Deployment) rolledBack(to, reason string, automatic bool, now time.Time) *payload.Event {
	e := d.event(payload.DeployRolledBack, now)
	e.PreviousVersion, e.URL = to, d.URL
	e.Rollback = &payload.Rollback{Reason: reason, RestoredVersion: to, Automatic: new(automatic)}
	return e
}

// round rounds to three decimals.
func round(f float64) float64 { return math.Round(f*1000) / 1000 }
