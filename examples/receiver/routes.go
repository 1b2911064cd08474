package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/github"
	"github.com/deployhook/deployhook/payload/gitlab"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/console"
	"github.com/deployhook/deployhook/signer"
)

type config struct {
	getenv func(string) string
	stores *stores
	repos  string
	logger *slog.Logger
	// recent counts what is received, for the console.
	recent *console.Recent
	// loopback is whether only this machine reaches the receiver.
	loopback bool

	telemetry openTelemetry
}

// route is an endpoint that is served if its variable is set.
type route struct {
	pattern  string
	variable string
	handler  func(c config, secret string) (http.Handler, error)
}

var routes = [...]route{
	{"POST /webhooks/deploy", "DEPLOYHOOK_SECRET", standardHandler},
	{"POST /webhooks/temps", "DEPLOYHOOK_TEMPS_SECRET", tempsHandler},
	{"POST /webhooks/github", "GITHUB_WEBHOOK_SECRET", githubHandler},
	{"POST /webhooks/gitlab", "GITLAB_WEBHOOK_SECRET", gitlabHandler},
	{"POST /webhooks/temps-server", "TEMPS_WEBHOOK_SECRET", tempsServerHandler},
	{"POST /webhooks/argocd", "ARGOCD_TOKEN", argocdHandler},
	{"POST /webhooks/flux", "FLUX_TOKEN", fluxHandler},
	{"POST /webhooks/dokploy", "DOKPLOY_TOKEN", dokployHandler},
	{"POST /webhooks/netlify", "NETLIFY_WEBHOOK_SECRET", netlifyHandler},
	{"POST /webhooks/coolify", "COOLIFY_PASSWORD", coolifyHandler},
	{"POST /webhooks/jenkins", "JENKINS_PASSWORD", jenkinsHandler},
	{"POST /webhooks/drone", "DRONE_WEBHOOK_SECRET", droneHandler},
	{"POST /webhooks/circleci", "CIRCLECI_WEBHOOK_SECRET", circleciHandler},
	{"POST /api/webhooks/deployments", "DEPLOYHOOK_API_KEYS", deploymentsHandler},
	{"POST /api/webhooks/incidents", "DEPLOYHOOK_API_KEYS", incidentsHandler},
	{"GET /api/metrics/dora", "DEPLOYHOOK_API_KEYS", metricsHandler},
}

// served lists the routes for the start-up line.
type served struct{ served, notServed []string }

func newMux(c config) (*http.ServeMux, served, error) {
	mux := http.NewServeMux()
	var s served
	mux.Handle("GET /metrics", c.telemetry.metrics)
	for _, r := range routes {
		_, path, _ := strings.Cut(r.pattern, " ")
		secret := c.getenv(r.variable)
		if secret == "" {
			s.notServed = append(s.notServed, path+" ("+r.variable+" is not set)")
			continue
		}
		h, err := r.handler(c, secret)
		if err != nil {
			return nil, served{}, fmt.Errorf("%s: %w", r.variable, err)
		}
		mux.Handle(r.pattern, h)
		s.served = append(s.served, path)
	}
	if c.loopback {
		return mux, s, c.mountConsole(mux)
	}
	return mux, s, nil
}

// onEvent is where a service acts on an event. If it returns nil, the event is
// handled and never delivered again.
func (c config) onEvent(ctx context.Context, e *payload.Event) error {
	c.logger.InfoContext(ctx, "event", "type", e.Type, "deployment", e.DeploymentID, "app", e.App, "environment", e.Environment)
	return nil
}

// onDeployment acts on deployments of other systems.
func (c config) onDeployment(ctx context.Context, d *payload.Deployment) error {
	c.logger.InfoContext(ctx, "deployment", "id", d.DeploymentID, "service", d.Service, "environment", d.Environment, "status", d.Status)
	return nil
}

func (c config) receiver(v signer.Verifier, source string) (*receiver.Receiver, error) {
	return receiver.New(v, receiver.WithDedupe(c.stores.dedupe, source), receiver.WithLogger(c.logger),
		receiver.WithTelemetry(c.telemetry.receivers), receiver.WithObserver(c.recent.Observer(source)))
}

// records returns the handler for another system's webhook.
func (c config) records(v signer.Verifier, source string, decode receiver.RecordDecoder) (http.Handler, error) {
	rcv, err := c.receiver(v, source)
	if err != nil {
		return nil, err
	}
	return rcv.Records(decode, c.onDeployment), nil
}

func standardHandler(c config, text string) (http.Handler, error) {
	secret, err := signer.ParseSecret(text)
	if err != nil {
		return nil, err
	}
	scheme, err := signer.NewStandard(secret)
	if err != nil {
		return nil, err
	}
	rcv, err := c.receiver(scheme, "deploy")
	if err != nil {
		return nil, err
	}
	return rcv.Events(c.onEvent), nil
}

// tempsHandler accepts both header prefixes of this scheme.
func tempsHandler(c config, text string) (http.Handler, error) {
	secret, err := signer.NewLiteralSecret(text)
	if err != nil {
		return nil, err
	}
	temps, err := signer.NewTimestamped(secret, signer.WithHeaderPrefix("X-Temps"))
	if err != nil {
		return nil, err
	}
	common, err := signer.NewTimestamped(secret)
	if err != nil {
		return nil, err
	}
	either, err := signer.AnyOf(temps, common)
	if err != nil {
		return nil, err
	}
	rcv, err := c.receiver(either, "temps")
	if err != nil {
		return nil, err
	}
	return rcv.Events(c.onEvent), nil
}

func githubHandler(c config, text string) (http.Handler, error) {
	secret, err := signer.NewLiteralSecret(text)
	if err != nil {
		return nil, err
	}
	verifier, err := github.NewVerifier(secret)
	if err != nil {
		return nil, err
	}
	decode, err := github.NewDecoder()
	if err != nil {
		return nil, err
	}
	return c.records(verifier, "github", decode)
}

// gitlabHandler accepts a signing token, which begins with whsec_, or GitLab's
// older secret token.
func gitlabHandler(c config, text string) (http.Handler, error) {
	var secrets gitlab.Secrets
	var err error
	if strings.HasPrefix(text, "whsec_") {
		secrets.SigningToken, err = signer.ParseSecret(text)
	} else {
		secrets.Token, err = signer.NewLiteralSecret(text)
	}
	if err != nil {
		return nil, err
	}
	verifier, err := gitlab.NewVerifier(secrets)
	if err != nil {
		return nil, err
	}
	decode, err := gitlab.NewDecoder()
	if err != nil {
		return nil, err
	}
	return c.records(verifier, "gitlab", decode)
}
