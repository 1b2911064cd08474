// Package samples makes events and records of deployments for tests and demos.
// All of them are about the same deployment, and valid.
package samples

import (
	"time"

	"github.com/deployhook/deployhook/payload"
)

// Types returns the types of event that package payload knows, in the order of
// a deployment.
func Types() []payload.Type {
	return []payload.Type{
		payload.DeployStarted, payload.BuildCompleted, payload.HealthCheckPassed,
		payload.DeployLive, payload.DeployFailed, payload.DeployRolledBack,
	}
}

// Statuses returns the statuses of a deployment.
func Statuses() []payload.Status {
	return []payload.Status{
		payload.StatusPending, payload.StatusInProgress, payload.StatusSuccess,
		payload.StatusFailure, payload.StatusCancelled, payload.StatusRolledBack,
	}
}

const (
	deploymentID = "dep_a1b2c3d4"
	sha          = "f4c8e2a91b7d3e5f60718293a4b5c6d7e8f90123"
	previousSHA  = "0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e"
	service      = "api-service"
	environment  = "production"
	version      = "1.4.2"
	previous     = "1.4.1"
)

// Event returns an event at the given time, with the members that a platform
// sends with that type. A type of your own has those that all types share.
func Event(typ payload.Type, at time.Time) *payload.Event {
	e := &payload.Event{
		Type: typ, Timestamp: at.UTC(), DeploymentID: deploymentID, App: service, Environment: environment,
		Commit:      &payload.Commit{SHA: sha, Message: "fix: resolve timeout in payment handler", Author: "dana@example.com", Branch: "main"},
		TriggeredBy: "git_push",
	}
	if status, known := typ.DeploymentStatus(); known {
		e.Status = status
	}
	switch typ {
	case payload.BuildCompleted:
		e.Status = payload.StatusSuccess
		e.BuildDurationSeconds, e.ImageSizeMB, e.CacheHit = new(47.3), new(128.5), new(true)
	case payload.HealthCheckPassed:
		e.Status, e.ContainerID = payload.StatusSuccess, "ctr_9f8e7d6c"
		e.HealthCheck = &payload.HealthCheck{URL: "/health", StatusCode: new(200), ResponseTimeMS: new(12.0), Attempts: new(2)}
	case payload.DeployLive:
		e.URL, e.Version, e.PreviousVersion = "https://api-service.example.com", version, previous
	case payload.DeployFailed:
		e.Error = "health check did not pass within 60 seconds"
	case payload.DeployRolledBack:
		e.Version, e.PreviousVersion = version, previous
		e.Rollback = &payload.Rollback{Reason: "error rate above 5 %", RestoredVersion: previous, Automatic: new(true)}
	}
	return e
}

// Deployment returns a record with that status. The deployment began two
// minutes before the given time. With a terminal status it ended then.
func Deployment(status payload.Status, at time.Time) *payload.Deployment {
	d := &payload.Deployment{
		DeploymentID: deploymentID, CommitSHA: sha, PreviousCommitSHA: previousSHA, Environment: environment, Status: status,
		StartedAt: at.Add(-2 * time.Minute).UTC(), Service: service, Branch: "main", Version: version,
		TriggeredBy: "git_push", RepositoryURL: "https://github.com/example/api-service",
	}
	if status.Terminal() {
		d.CompletedAt = at.UTC()
	}
	return d
}
