package payload

import "time"

// An Event is one step of a deployment, as described in the guide to deployment
// webhooks by Temps: JSON with snake_case names.
//
// Type, Timestamp and DeploymentID are always required. The known types also
// require the fields that their readers need:
//
//	deploy.started        App
//	build.completed       nothing else
//	health_check.passed   nothing else
//	deploy.live           App, Environment
//	deploy.failed         App, Error
//	deploy.rolled_back    App, PreviousVersion
//
// An empty string, a zero time, a nil pointer, and an empty Metadata mean that
// the member is absent. Fields in which zero differs from absent are pointers,
// as in new(137.0) and new(true). Members without a field are kept in Extra and
// written back on encoding.
//
// Several goroutines may read an Event at the same time. A goroutine that
// changes one needs exclusive access.
type Event struct {
	// Type is the kind of event. JSON name "event". Required.
	Type Type

	// Timestamp is the time of the step, not the time of sending. It is encoded
	// in UTC with up to nine fractional digits of a second. [ParseTime] lists
	// the accepted formats. JSON name "timestamp". Required.
	Timestamp time.Time

	// DeliveryID is the same in all attempts of one delivery. It has 1 to 255
	// visible ASCII characters. The sender fills it in, see [NewDeliveryID].
	// JSON name "delivery_id".
	DeliveryID string

	// DeploymentID is the same in all events of one deployment. It has 1 to 255
	// characters and no control characters. JSON name "deployment_id".
	// Required.
	DeploymentID string

	// App is the name of the deployed app. JSON name "app", up to 1024
	// characters.
	App string

	// Environment is the target, such as "production", "staging" or any other
	// name. JSON name "environment", up to 1024 characters.
	Environment string

	// Commit is the deployed commit. JSON name "commit".
	Commit *Commit

	// TriggeredBy is the person or process that started the deployment, such as
	// a user name, "git_push" or "schedule". JSON name "triggered_by", up to
	// 1024 characters.
	TriggeredBy string

	// Status is the outcome of the step that the event reports. In a
	// build.completed event, success means that the build succeeded, not the
	// deployment. Third parties use other words, so any text of up to 1024
	// characters is accepted. [Status.Known] tells whether it is one of the six
	// statuses. JSON name "status".
	Status Status

	// URL is the address of the deployed app. Encoding and decoding clean it
	// with [CleanURL]. JSON name "url".
	URL string

	// BuildDurationSeconds is the duration of the build in seconds, 0 or more.
	// JSON name "build_duration_seconds".
	BuildDurationSeconds *float64

	// ImageSizeMB is the size of the image in megabytes, 0 or more. JSON name
	// "image_size_mb".
	ImageSizeMB *float64

	// CacheHit reports whether the build used its cache. JSON name "cache_hit".
	CacheHit *bool

	// ContainerID names the new container. JSON name "container_id", up to 1024
	// characters.
	ContainerID string

	// HealthCheck is the result of the health check. JSON name "health_check".
	HealthCheck *HealthCheck

	// Error explains to people why a deployment failed. Its length is not
	// limited. JSON name "error".
	Error string

	// Version is the deployed version. JSON name "version", up to 1024
	// characters.
	Version string

	// PreviousVersion is the version that was live before. After a rollback it
	// is the version that is live again. JSON name "previous_version", up to
	// 1024 characters.
	PreviousVersion string

	// Rollback holds details of a rollback. JSON name "rollback".
	Rollback *Rollback

	// Metadata holds the sender's own names and values. JSON name "metadata".
	Metadata Metadata

	// Extra holds the members that have no field above, exactly as they were
	// written.
	Extra Object

	// Dropped lists the members that decoding left out because their values
	// were unusable, for example a url that is not a link. Encoding ignores it.
	Dropped []Failure
}

// Commit identifies the deployed commit. An empty string means that the member
// is absent.
type Commit struct {
	// SHA is the commit's hash or a prefix of it, 5 to 64 hexadecimal digits.
	// JSON name "sha".
	SHA string
	// Message is the commit message. Its length is not limited. JSON name
	// "message".
	Message string
	// Author is a name or an e-mail address. JSON name "author", up to 1024
	// characters.
	Author string
	// Branch is the deployed branch. JSON name "branch", up to 1024 characters.
	Branch string
	// Extra holds the members that have no field above, exactly as they were
	// written.
	Extra Object
}

// HealthCheck is the result of a platform's check of a new container. An empty
// string and a nil pointer mean that the member is absent.
type HealthCheck struct {
	// URL is the requested URL, which is often only a path such as "/health".
	// JSON name "url", up to 8192 characters.
	URL string
	// StatusCode is the HTTP status of the response, 0 to 999. JSON name
	// "status_code".
	StatusCode *int
	// ResponseTimeMS is the response time in milliseconds, 0 or more. JSON name
	// "response_time_ms".
	ResponseTimeMS *float64
	// Attempts is the number of checks including the last one, 0 to 2147483647.
	// JSON name "attempts".
	Attempts *int
	// Extra holds the members that have no field above, exactly as they were
	// written.
	Extra Object
}

// Rollback describes why an earlier version was restored, and which one. An
// empty string and a nil pointer mean that the member is absent.
type Rollback struct {
	// Reason is a text for people. Its length is not limited. JSON name
	// "reason".
	Reason string
	// RestoredVersion is the version that is live again, if it differs from
	// Event.PreviousVersion. JSON name "restored_version", up to 1024
	// characters.
	RestoredVersion string
	// Automatic is true if the platform decided to roll back, and false if a
	// person did. JSON name "automatic".
	Automatic *bool
	// Extra holds the members that have no field above, exactly as they were
	// written.
	Extra Object
}
