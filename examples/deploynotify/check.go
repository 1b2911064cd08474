package main

import (
	"net/url"
	"slices"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/ci"
)

// check finds mistakes in the flags that do not depend on the run.
func (o *options) check() error {
	switch {
	case o.start && o.finish:
		return usagef("-start and -finish exclude each other; give -start at the beginning and -finish at the end")
	case o.timeout <= 0:
		return usagef("%s %v: want more than zero", o.source("timeout"), o.timeout)
	case !slices.Contains([]string{"", "standard", "timestamped", "temps", "stripe", "bearer"}, o.scheme):
		return usagef("%s %q: want standard, timestamped, temps, stripe or bearer", o.source("scheme"), o.scheme)
	case !slices.Contains([]string{"event", "envelope", "deployment", "cdevents"}, o.format):
		return usagef("%s %q: want event, envelope, deployment or cdevents", o.source("format"), o.format)
	case o.event != "" && o.format != "event" && o.format != "envelope":
		return usagef("%s needs -format event or envelope; for other formats give -status", o.source("event"))
	}
	if err := o.checkOutcome(); err != nil {
		return err
	}
	if err := o.checkURLs(); err != nil {
		return err
	}
	_, err := o.prefixes()
	return err
}

// noURL is the error for a missing URL. A job whose secrets are not mapped
// usually lacks both, so it also names a missing secret.
func (o *options) noURL(s system) error {
	for _, name := range []string{"SECRET", "SECRET_FILE", "API_KEY", "API_KEY_FILE"} {
		if s.getenv(envPrefix+name) != "" {
			return usagef("no URL; give -url or set %s", variableOf("url"))
		}
	}
	return usagef("no URL and no secret; set %s and %sSECRET, and check that this job may read them", variableOf("url"), envPrefix)
}

// checkOutcome refuses flags that contradict each other about the outcome.
func (o *options) checkOutcome() error {
	if o.start && o.status != "" {
		return usagef("-start reports that the deployment is in progress; give %s only with -finish", o.source("status"))
	}
	status, err := o.givenStatus()
	if err != nil {
		return err
	}
	if o.finish && status != "" && !status.Terminal() {
		return usagef("-finish reports the end of a deployment, but %s says that it is %s", o.source("status"), status)
	}
	implied, known := payload.Type(o.event).DeploymentStatus()
	switch {
	case !known:
		return nil
	case o.start && payload.Type(o.event) != payload.DeployStarted:
		return usagef("-start reports the beginning of a deployment, but %s %s is a later event", o.source("event"), o.event)
	case o.finish && !implied.Terminal():
		return usagef("-finish reports the end of a deployment, but %s %s is an earlier event", o.source("event"), o.event)
	case status != "" && !agrees(payload.Type(o.event), status):
		return usagef("%s %s and %s %s contradict each other; leave one out", o.source("event"), o.event, o.source("status"), status)
	}
	return nil
}

// agrees reports whether a deployment with this status can have sent an event
// of a known type. A step in the middle of a deployment can itself succeed.
func agrees(t payload.Type, status payload.Status) bool {
	if t == payload.BuildCompleted || t == payload.HealthCheckPassed {
		return status == payload.StatusInProgress || status == payload.StatusSuccess
	}
	of, _ := status.EventType()
	return of == t
}

// givenStatus returns the status of -start or -status, or "" if neither was
// given.
func (o *options) givenStatus() (payload.Status, error) {
	if o.start {
		return payload.StatusInProgress, nil
	}
	if o.status == "" {
		return "", nil
	}
	status, ok := ci.ParseStatus(o.status)
	if !ok {
		return "", usagef("%s %.40q: want pending, in_progress, success, failure, cancelled or rolled_back, or what your CI system calls it",
			o.source("status"), o.status)
	}
	return status, nil
}

func (o *options) checkURLs() error {
	for _, c := range []struct{ name, text string }{
		{"deploy-url", o.deployURL},
		{"pipeline-url", o.pipelineURL},
		{"repository-url", o.repositoryURL},
		{"incident-url", o.incidentURL},
	} {
		if u, err := url.Parse(c.text); err != nil || u.User != nil {
			return usagef("%s: want a URL without user name, password or token", o.source(c.name))
		}
	}
	u, err := url.Parse(o.url)
	switch {
	case err != nil: // the sender reports what is wrong with it
	case u.User != nil:
		return usagef("%s: must not contain a user name or a password; for an API key set %sAPI_KEY", o.source("url"), envPrefix)
	case u.Scheme == "http" && len(o.networks) == 0:
		return usagef("%s: the URL is http, not https; use https, or allow a private network with %s", o.source("url"), o.allowFlag())
	}
	_, err = o.givenProxy()
	return err
}
