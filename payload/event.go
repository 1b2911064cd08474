package payload

import "time"

// An Event is one step of a deployment's life, as the guide to deployment webhooks by Temps describes them: JSON with
// names in snake_case.
//
// Type, Timestamp and DeploymentID are required of every event, and the known types require what their readers need:
//
//	deploy.started        App
//	build.completed       nothing else
//	health_check.passed   nothing else
//	deploy.live           App, Environment
//	deploy.failed         App, Error
//	deploy.rolled_back    App, PreviousVersion
//
// For strings, empty means absent. Where absent and zero differ the field is a pointer: new(137.0), new(true). Members
// that have no field here are kept in Extra and come out again on encoding.
//
// An Event may be read by several goroutines; whoever changes one must be alone with it.
type Event struct {
	// Type is the kind of event. JSON name "event". Required.
	Type Type

	// Timestamp is when the step happened, not when the event was sent. Encoded in UTC with up to nine digits of a
	// second; see [ParseTime] for the forms that are read. JSON name "timestamp". Required.
	Timestamp time.Time

	// DeliveryID is the same for all attempts of one delivery: 1 to 255 visible ASCII characters. The sender fills it
	// in; see [NewDeliveryID]. JSON name "delivery_id".
	DeliveryID string

	// DeploymentID is the same for all events of one deployment: 1 to 255 characters, none of them a control
	// character. JSON name "deployment_id". Required.
	DeploymentID string

	// App is the name of what is deployed. JSON name "app", up to 1024 characters.
	App string

	// Environment is the target: "production", "staging", or any other name. JSON name "environment", up to 1024
	// characters.
	Environment string

	// Commit is what is deployed. JSON name "commit".
	Commit *Commit

	// TriggeredBy is who or what started the deployment: a user, "git_push", "schedule". JSON name "triggered_by", up
	// to 1024 characters.
	TriggeredBy string

	// Status is the outcome of the step that the event reports: success in a build.completed means that the build
	// succeeded, not the deployment. Third parties use words of their own here, so any text of up to 1024 characters
	// is accepted; [Status.Known] tells. JSON name "status".
	Status Status

	// URL is where the deployed app answers. Encoding and decoding clean it as
	// CleanURL does. JSON name "url".
	URL string

	// BuildDurationSeconds is how long the build took, in seconds: 0 or more. JSON name "build_duration_seconds".
	BuildDurationSeconds *float64

	// ImageSizeMB is the size of the image in megabytes: 0 or more. JSON name "image_size_mb".
	ImageSizeMB *float64

	// CacheHit reports whether the build used its cache. JSON name "cache_hit".
	CacheHit *bool

	// ContainerID names the new container. JSON name "container_id", up to 1024 characters.
	ContainerID string

	// HealthCheck is what the health check saw. JSON name "health_check".
	HealthCheck *HealthCheck

	// Error says why a deployment failed, for people; its length is not limited. JSON name "error".
	Error string

	// Version is the version that is deployed. JSON name "version", up to 1024 characters.
	Version string

	// PreviousVersion is the version that was live before; after a rollback, the one that is live again. JSON name
	// "previous_version", up to 1024 characters.
	PreviousVersion string

	// Rollback says more about a rollback. JSON name "rollback".
	Rollback *Rollback

	// Metadata are the sender's own names and values. JSON name "metadata".
	Metadata Metadata

	// Extra are the members that have no field above, as they were written.
	Extra Object

	// Dropped lists the members that decoding left out because it could not keep
	// them: a url that is no link, for example. Encoding ignores it.
	Dropped []Failure
}

// Commit identifies what was deployed. For strings, empty means absent.
type Commit struct {
	// SHA is the commit's hash or the beginning of it: 5 to 64 hexadecimal digits. JSON name "sha".
	SHA string
	// Message is the commit message; its length is not limited. JSON name "message".
	Message string
	// Author is a name or an e-mail address. JSON name "author", up to 1024 characters.
	Author string
	// Branch is the branch that was deployed. JSON name "branch", up to 1024 characters.
	Branch string
	// Extra are the members that have no field above, as they were written.
	Extra Object
}

// HealthCheck is what a platform's check of a new container saw.
type HealthCheck struct {
	// URL is what was requested; often only a path, such as "/health". JSON name "url", up to 8192 characters.
	URL string
	// StatusCode is the HTTP status of the answer: 0 to 999. JSON name "status_code".
	StatusCode *int
	// ResponseTimeMS is how long the answer took, in milliseconds: 0 or more. JSON name "response_time_ms".
	ResponseTimeMS *float64
	// Attempts is how many checks it took, the last one included: 0 to 2147483647. JSON name "attempts".
	Attempts *int
	// Extra are the members that have no field above, as they were written.
	Extra Object
}

// Rollback says why an earlier version was restored, and which.
type Rollback struct {
	// Reason is for people; its length is not limited. JSON name "reason".
	Reason string
	// RestoredVersion is the version that is live again, if it is worth telling apart from Event.PreviousVersion. JSON
	// name "restored_version", up to 1024 characters.
	RestoredVersion string
	// Automatic is true if the platform decided, false if a person did. JSON name "automatic".
	Automatic *bool
	// Extra are the members that have no field above, as they were written.
	Extra Object
}
