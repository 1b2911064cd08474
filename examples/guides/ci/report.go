package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/ci"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

// reporter reports the deployments of one pipeline run.
type reporter struct {
	sender   *sender.Sender
	endpoint sender.Endpoint
	getenv   func(string) string
}

// newReporter reads the URL and the secret from the environment, where the CI
// system puts them.
func newReporter(getenv func(string) string, opts ...sender.Option) (*reporter, error) {
	secret, err := signer.ParseSecret(getenv("DEPLOYHOOK_SECRET"))
	if err != nil {
		return nil, fmt.Errorf("DEPLOYHOOK_SECRET: %w", err)
	}
	scheme, err := signer.NewStandard(secret)
	if err != nil {
		return nil, err
	}
	s, err := sender.New(opts...) // the default schedule, Pipeline, tries for about a minute
	if err != nil {
		return nil, err
	}
	return &reporter{s, sender.Endpoint{URL: sender.NewURL(getenv("DEPLOYHOOK_URL")), Signer: scheme}, getenv}, nil
}

// report sends one event about a service, and waits until it is delivered.
func (r *reporter) report(ctx context.Context, service string, t payload.Type, failure string) (*sender.Receipt, error) {
	run, err := ci.Detect(ctx, ci.Environment{Getenv: r.getenv, Files: os.DirFS("/")})
	if err != nil {
		return nil, err
	}
	run.Environment = "production"
	run.Service = service // a separate deployment for each service of a monorepo
	event := run.Event(t)
	event.Timestamp, event.Error = time.Now(), failure
	return r.sender.Send(ctx, r.endpoint, &event)
}
