package cdevents

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/cdevents"
	"github.com/deployhook/deployhook/sender"
)

// ErrConfig is wrapped by every error of [New]. The text names the invalid
// option.
var ErrConfig = errors.New("cdevents: invalid configuration")

// Format makes CDEvents of events. It is immutable and safe for concurrent use.
type Format struct {
	options  cdevents.Options
	artifact func(*payload.Event) string
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

// WithPipeline sets the name and the URL of the pipeline, which events have no
// field for. Default: none. A deploy.started is then a taskrun.started instead
// of a pipelinerun.started, which requires both.
func WithPipeline(name, url string) Option {
	return optionFunc(func(c *config) {
		if name == "" || url == "" {
			c.mistake("WithPipeline", "name or url is empty")
		}
		c.options.PipelineName, c.options.PipelineURL = name, url
	})
}

// WithArtifact sets a function that returns the package URL of the artifact
// that an event deployed. For "" the event has the default, which is
// pkg:generic/<app>@<version>. The function must be safe for concurrent use,
// and return the same URL for the same event. Default: none. Nil is an error.
func WithArtifact(artifact func(*payload.Event) string) Option {
	return optionFunc(func(c *config) {
		if artifact == nil {
			c.mistake("WithArtifact", "the function is nil; leave it out")
		}
		c.artifact = artifact
	})
}

// New returns a Format. source is a URI-reference that identifies the producer
// of the events, such as the URL of the repository. Receivers recognise
// duplicates by the source and the event's ID together. New reports all
// mistakes at once.
func New(source string, opts ...Option) (*Format, error) {
	c := config{Format: Format{options: cdevents.Options{Source: source}}}
	for _, o := range opts {
		if o == nil {
			c.mistake("New", "a nil Option was given; leave it out")
			continue
		}
		o.apply(&c)
	}
	if err := c.try(); err != nil {
		c.mistakes = append(c.mistakes, fmt.Errorf("%w: New or WithPipeline: %w", ErrConfig, err))
	}
	if err := errors.Join(c.mistakes...); err != nil {
		return nil, err
	}
	return &c.Format, nil
}

// Encode returns the CDEvent in a CloudEvent of the structured mode. Its ID is
// the delivery's. An event that lacks what the CDEvent requires is a
// *payload.ValidationError that names it.
func (f *Format) Encode(_ context.Context, e *payload.Event) (string, []byte, error) {
	o := f.options
	if f.artifact != nil {
		o.ArtifactID = f.artifact(e)
	}
	made, err := cdevents.FromEvent(e, o)
	if err != nil {
		return "", nil, err
	}
	header, body := made.Structured()
	return header.Get("Content-Type"), body, nil
}

// try makes a CDEvent of a sample event, so that New finds a bad source or
// pipeline.
func (c *config) try() error {
	e := payload.Event{
		Type: payload.DeployStarted, Timestamp: time.Unix(0, 0), DeploymentID: "dep_1", DeliveryID: "whk_1",
		App: "app", Environment: "production",
	}
	_, err := cdevents.FromEvent(&e, c.options)
	return err
}
