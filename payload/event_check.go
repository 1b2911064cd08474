package payload

import (
	"fmt"
	"math"
)

// Validate returns everything that is wrong with the event as a
// [*ValidationError], or nil. The delivery ID may be missing, because the
// sender fills it in.
func (e *Event) Validate() error {
	var f failures
	e.check(&f)
	return f.err()
}

func (e *Event) check(f *failures) { e.checkAs(f, "event") }

// checkAs is check for a document in which typeMember holds the type. The paths
// of failures are those of an event in its own form.
func (e *Event) checkAs(f *failures, typeMember string) {
	f.require("event", string(e.Type))
	if !e.Type.wellFormed() {
		f.add("event", dottedWords)
	}
	if e.Timestamp.IsZero() {
		f.add("timestamp", isRequired)
	}
	f.date("timestamp", e.Timestamp)
	if e.DeliveryID != "" && !isVisibleASCII(e.DeliveryID) {
		f.add("delivery_id", visibleASCII)
	}
	f.id("deployment_id", e.DeploymentID)
	f.short("app", e.App, maxName)
	f.short("environment", e.Environment, maxName)
	e.Commit.check(f)
	f.short("triggered_by", e.TriggeredBy, maxName)
	f.short("status", string(e.Status), maxName)
	f.url("url", e.URL)
	f.measure("build_duration_seconds", e.BuildDurationSeconds)
	f.measure("image_size_mb", e.ImageSizeMB)
	f.short("container_id", e.ContainerID, maxName)
	e.HealthCheck.check(f)
	f.text("error", e.Error)
	f.short("version", e.Version, maxName)
	f.short("previous_version", e.PreviousVersion, maxName)
	e.Rollback.check(f)
	f.extra("", e.Extra, isEventField)
	e.checkType(f, typeMember)
}

// checkType checks the fields that a known type requires. The rules follow the
// receiver in the guide to deployment webhooks by Temps, whose messages need:
//
//   - the app in every message about a start, an end or a rollback
//   - the environment in which a version is live
//   - the error of a failed deployment
//   - the version that a rollback restored
func (e *Event) checkType(f *failures, typeMember string) {
	need := func(path, value string) {
		if value == "" {
			f.add(path, fmt.Sprintf("is required when %s is %s", typeMember, e.Type))
		}
	}
	switch e.Type {
	case DeployStarted:
		need("app", e.App)
	case DeployLive:
		need("app", e.App)
		need("environment", e.Environment)
	case DeployFailed:
		need("app", e.App)
		need("error", e.Error)
	case DeployRolledBack:
		need("app", e.App)
		need("previous_version", e.PreviousVersion)
	}
}

func (c *Commit) check(f *failures) {
	if c == nil {
		return
	}
	if c.SHA != "" && !isHex(c.SHA, 64) {
		f.add("commit.sha", hexMessageLong)
	}
	f.text("commit.message", c.Message)
	f.short("commit.author", c.Author, maxName)
	f.short("commit.branch", c.Branch, maxName)
	f.extra("commit", c.Extra, isCommitField)
}

func (h *HealthCheck) check(f *failures) {
	if h == nil {
		return
	}
	f.short("health_check.url", h.URL, maxURL)
	if h.StatusCode != nil && (*h.StatusCode < 0 || *h.StatusCode > 999) {
		f.add("health_check.status_code", statusCodeRule)
	}
	f.measure("health_check.response_time_ms", h.ResponseTimeMS)
	if h.Attempts != nil && (*h.Attempts < 0 || *h.Attempts > math.MaxInt32) {
		f.add("health_check.attempts", attemptsRule)
	}
	f.extra("health_check", h.Extra, isHealthCheckField)
}

func (b *Rollback) check(f *failures) {
	if b == nil {
		return
	}
	f.text("rollback.reason", b.Reason)
	f.short("rollback.restored_version", b.RestoredVersion, maxName)
	f.extra("rollback", b.Extra, isRollbackField)
}

func isEventField(name string) bool {
	switch name {
	case "event", "timestamp", "delivery_id", "deployment_id", "app", "environment", "commit", "triggered_by", "status",
		"url", "build_duration_seconds", "image_size_mb", "cache_hit", "container_id", "health_check", "error",
		"version", "previous_version", "rollback", "metadata":
		return true
	default:
		return false
	}
}

func isCommitField(name string) bool {
	return name == "sha" || name == "message" || name == "author" || name == "branch"
}

func isHealthCheckField(name string) bool {
	return name == "url" || name == "status_code" || name == "response_time_ms" || name == "attempts"
}

func isRollbackField(name string) bool {
	return name == "reason" || name == "restored_version" || name == "automatic"
}
