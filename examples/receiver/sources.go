package main

import (
	"context"
	"net/http"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/argocd"
	"github.com/deployhook/deployhook/payload/circleci"
	"github.com/deployhook/deployhook/payload/coolify"
	"github.com/deployhook/deployhook/payload/dokploy"
	"github.com/deployhook/deployhook/payload/drone"
	"github.com/deployhook/deployhook/payload/flux"
	"github.com/deployhook/deployhook/payload/jenkins"
	"github.com/deployhook/deployhook/payload/netlify"
	"github.com/deployhook/deployhook/payload/temps"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

// source returns the handler of a system whose secret is a literal text.
func (c config) source(name, text string, verifier func(signer.Secret) (signer.Verifier, error), decode func() (receiver.RecordDecoder, error)) (http.Handler, error) {
	secret, err := signer.NewLiteralSecret(text)
	if err != nil {
		return nil, err
	}
	v, err := verifier(secret)
	if err != nil {
		return nil, err
	}
	d, err := decode()
	if err != nil {
		return nil, err
	}
	return c.records(v, name, d)
}

// noCommit marks the commit of a system that does not tell it. A service asks
// the system's API instead.
func noCommit(_ context.Context, d *payload.Deployment) error {
	d.CommitSHA = "00000"
	return nil
}

// now completes the deployment of a system that tells neither commit nor time.
func now(ctx context.Context, d *payload.Deployment) error {
	d.StartedAt = time.Now()
	d.CompletedAt = d.StartedAt
	return noCommit(ctx, d)
}

// tempsServerHandler takes the webhooks of a Temps server as records. Those of
// tempsHandler are the events of Temps' guide.
func tempsServerHandler(c config, text string) (http.Handler, error) {
	return c.source("temps-server", text,
		func(secret signer.Secret) (signer.Verifier, error) { return temps.NewVerifier(secret) },
		func() (receiver.RecordDecoder, error) { return temps.NewDecoder() })
}

func argocdHandler(c config, text string) (http.Handler, error) {
	return c.source("argocd", text,
		func(secret signer.Secret) (signer.Verifier, error) { return argocd.NewVerifier(secret) },
		func() (receiver.RecordDecoder, error) { return argocd.NewDecoder() })
}

func fluxHandler(c config, text string) (http.Handler, error) {
	return c.source("flux", text,
		func(secret signer.Secret) (signer.Verifier, error) { return flux.NewVerifier(secret) },
		func() (receiver.RecordDecoder, error) { return flux.NewDecoder(flux.WithEnvironment("production")) })
}

func dokployHandler(c config, text string) (http.Handler, error) {
	return c.source("dokploy", text,
		func(secret signer.Secret) (signer.Verifier, error) { return dokploy.NewVerifier(secret) },
		func() (receiver.RecordDecoder, error) {
			return dokploy.NewDecoder(dokploy.WithEnvironment("production"), dokploy.WithComplete(noCommit))
		})
}

func netlifyHandler(c config, text string) (http.Handler, error) {
	return c.source("netlify", text,
		func(secret signer.Secret) (signer.Verifier, error) { return netlify.NewVerifier(secret) },
		func() (receiver.RecordDecoder, error) { return netlify.NewDecoder() })
}

func coolifyHandler(c config, text string) (http.Handler, error) {
	return c.source("coolify", text,
		func(secret signer.Secret) (signer.Verifier, error) { return coolify.NewVerifier("coolify", secret) },
		func() (receiver.RecordDecoder, error) { return coolify.NewDecoder(coolify.WithComplete(now)) })
}

func jenkinsHandler(c config, text string) (http.Handler, error) {
	return c.source("jenkins", text,
		func(secret signer.Secret) (signer.Verifier, error) { return jenkins.NewVerifier("jenkins", secret) },
		func() (receiver.RecordDecoder, error) {
			return jenkins.NewDecoder(jenkins.WithEnvironment("production"))
		})
}

func droneHandler(c config, text string) (http.Handler, error) {
	return c.source("drone", text,
		func(secret signer.Secret) (signer.Verifier, error) { return drone.NewVerifier(secret) },
		func() (receiver.RecordDecoder, error) { return drone.NewDecoder() })
}

func circleciHandler(c config, text string) (http.Handler, error) {
	return c.source("circleci", text,
		func(secret signer.Secret) (signer.Verifier, error) { return circleci.NewVerifier(secret) },
		func() (receiver.RecordDecoder, error) {
			return circleci.NewDecoder(circleci.WithEnvironment("production"))
		})
}
