package snippets

import (
	"context"
	"errors"
	"net/http"
	"os"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/argocd"
	"github.com/deployhook/deployhook/payload/azure"
	"github.com/deployhook/deployhook/payload/bitbucket"
	"github.com/deployhook/deployhook/payload/cdevents"
	"github.com/deployhook/deployhook/payload/ci"
	"github.com/deployhook/deployhook/payload/circleci"
	"github.com/deployhook/deployhook/payload/coolify"
	"github.com/deployhook/deployhook/payload/dokploy"
	"github.com/deployhook/deployhook/payload/drone"
	"github.com/deployhook/deployhook/payload/flux"
	"github.com/deployhook/deployhook/payload/github"
	"github.com/deployhook/deployhook/payload/gitlab"
	"github.com/deployhook/deployhook/payload/heroku"
	"github.com/deployhook/deployhook/payload/jenkins"
	"github.com/deployhook/deployhook/payload/netlify"
	"github.com/deployhook/deployhook/payload/render"
	"github.com/deployhook/deployhook/payload/temps"
	"github.com/deployhook/deployhook/payload/vercel"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

// As in packages_test.go, these functions are compiled, and the packages' own
// examples run the same code.
var _ = []any{ciDoc, cdeventsOut, cdeventsIn, githubDoc, gitlabDoc, renderDoc, vercelDoc, herokuDoc, azureDoc, bitbucketDoc, tempsDoc, argocdDoc, fluxDoc, dokployDoc, netlifyDoc, coolifyDoc, jenkinsDoc, droneDoc, circleciDoc}

// Declarations that the snippets use but do not show.
var (
	onDeployment = func(context.Context, *payload.Deployment) error { return nil }
	// lookUp asks the platform's API for data that its webhook omits.
	// environmentOf returns where a repository deploys to.
	lookUp        = onDeployment
	environmentOf = onDeployment
)

func ciDoc(ctx context.Context, runGit func(context.Context, ...string) (string, error)) error {
	run, err := ci.Detect(ctx, ci.Environment{
		Getenv: os.Getenv,
		Files:  os.DirFS("/"),
		Git:    runGit, // your function that runs git, or leave it out
	})
	if err != nil {
		return err
	}
	run.Environment = "production" // set everything that run.Missing names
	run.Status = payload.StatusInProgress
	run.StartedAt = time.Now()
	deployment := run.Deployment() // or run.Event, to send it with a Sender
	_ = deployment
	return nil
}

func cdeventsOut(deployment *payload.Deployment) error {
	event, err := cdevents.FromDeployment(deployment, cdevents.Options{
		Source: "https://ci.example/acme/shop",
	})
	if err != nil {
		return err // names the members that the record lacks
	}
	header, body := event.Binary() // sign body, send both
	_, _ = header, body
	return nil
}

func cdeventsIn(r *http.Request, body []byte) error {
	event, err := cdevents.Decode(r.Header, body)
	if err != nil {
		return err
	}
	deployment, err := event.Deployment(payload.Deployment{})
	if errors.Is(err, payload.ErrIgnored) {
		return nil // valid, but not the status of a deployment: acknowledge it
	}
	_ = deployment
	return err
}

func githubDoc(store dedupe.Store) error {
	secret, err := signer.NewLiteralSecret(os.Getenv("GITHUB_WEBHOOK_SECRET"))
	if err != nil {
		return err
	}
	verifier, err := github.NewVerifier(secret)
	if err != nil {
		return err
	}
	decode, err := github.NewDecoder()
	if err != nil {
		return err
	}
	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "github"))
	if err != nil {
		return err
	}
	http.Handle("POST /webhooks/github", rcv.Records(decode, onDeployment))
	return nil
}

func gitlabDoc(store dedupe.Store) error {
	signing, err := signer.ParseSecret(os.Getenv("GITLAB_SIGNING_TOKEN"))
	if err != nil {
		return err
	}
	verifier, err := gitlab.NewVerifier(gitlab.Secrets{SigningToken: signing})
	if err != nil {
		return err
	}
	decode, err := gitlab.NewDecoder()
	if err != nil {
		return err
	}
	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "gitlab"))
	if err != nil {
		return err
	}
	http.Handle("POST /webhooks/gitlab", rcv.Records(decode, onDeployment))
	return nil
}

func renderDoc(store dedupe.Store) error {
	secret, err := signer.ParseSecret(os.Getenv("RENDER_WEBHOOK_SECRET"))
	if err != nil {
		return err
	}
	verifier, err := render.NewVerifier(secret)
	if err != nil {
		return err
	}
	decode, err := render.NewDecoder(render.WithComplete(lookUp))
	if err != nil {
		return err
	}
	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "render"))
	if err != nil {
		return err
	}
	http.Handle("POST /webhooks/render", rcv.Records(decode, onDeployment))
	return nil
}

func vercelDoc(store dedupe.Store) error {
	secret, err := signer.NewLiteralSecret(os.Getenv("VERCEL_WEBHOOK_SECRET"))
	if err != nil {
		return err
	}
	verifier, err := vercel.NewVerifier(secret)
	if err != nil {
		return err
	}
	decode, err := vercel.NewDecoder()
	if err != nil {
		return err
	}
	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "vercel"))
	if err != nil {
		return err
	}
	http.Handle("POST /webhooks/vercel", rcv.Records(decode, onDeployment))
	return nil
}

func herokuDoc(store dedupe.Store) error {
	secret, err := signer.NewLiteralSecret(os.Getenv("HEROKU_WEBHOOK_SECRET"))
	if err != nil {
		return err
	}
	verifier, err := heroku.NewVerifier(secret)
	if err != nil {
		return err
	}
	decode, err := heroku.NewDecoder(heroku.WithEnvironment("production"))
	if err != nil {
		return err
	}
	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "heroku"))
	if err != nil {
		return err
	}
	http.Handle("POST /webhooks/heroku", rcv.Records(decode, onDeployment))
	return nil
}

func azureDoc(store dedupe.Store) error {
	password, err := signer.NewLiteralSecret(os.Getenv("AZURE_HOOK_PASSWORD"))
	if err != nil {
		return err
	}
	verifier, err := azure.NewVerifier("azure-devops", password)
	if err != nil {
		return err
	}
	decode, err := azure.NewDecoder()
	if err != nil {
		return err
	}
	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "azure"))
	if err != nil {
		return err
	}
	http.Handle("POST /webhooks/azure", rcv.Records(decode, onDeployment))
	return nil
}

func bitbucketDoc(store dedupe.Store) error {
	secret, err := signer.NewLiteralSecret(os.Getenv("BITBUCKET_WEBHOOK_SECRET"))
	if err != nil {
		return err
	}
	verifier, err := bitbucket.NewVerifier(secret)
	if err != nil {
		return err
	}
	decode, err := bitbucket.NewDecoder(bitbucket.WithComplete(environmentOf))
	if err != nil {
		return err
	}
	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "bitbucket"))
	if err != nil {
		return err
	}
	http.Handle("POST /webhooks/bitbucket", rcv.Records(decode, onDeployment))
	return nil
}

func tempsDoc(store dedupe.Store) error {
	secret, err := signer.NewLiteralSecret(os.Getenv("TEMPS_WEBHOOK_SECRET"))
	if err != nil {
		return err
	}
	verifier, err := temps.NewVerifier(secret)
	if err != nil {
		return err
	}
	decode, err := temps.NewDecoder()
	if err != nil {
		return err
	}
	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "temps"))
	if err != nil {
		return err
	}
	http.Handle("POST /webhooks/temps", rcv.Records(decode, onDeployment))
	return nil
}

func argocdDoc(store dedupe.Store) error {
	token, err := signer.NewLiteralSecret(os.Getenv("ARGOCD_TOKEN"))
	if err != nil {
		return err
	}
	verifier, err := argocd.NewVerifier(token)
	if err != nil {
		return err
	}
	decode, err := argocd.NewDecoder()
	if err != nil {
		return err
	}
	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "argocd"))
	if err != nil {
		return err
	}
	http.Handle("POST /webhooks/argocd", rcv.Records(decode, onDeployment))
	return nil
}

func fluxDoc(store dedupe.Store) error {
	token, err := signer.NewLiteralSecret(os.Getenv("FLUX_TOKEN"))
	if err != nil {
		return err
	}
	verifier, err := flux.NewVerifier(token)
	if err != nil {
		return err
	}
	decode, err := flux.NewDecoder(flux.WithEnvironment("production"))
	if err != nil {
		return err
	}
	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "flux"))
	if err != nil {
		return err
	}
	http.Handle("POST /webhooks/flux", rcv.Records(decode, onDeployment))
	return nil
}

func dokployDoc(store dedupe.Store) error {
	token, err := signer.NewLiteralSecret(os.Getenv("DOKPLOY_TOKEN"))
	if err != nil {
		return err
	}
	verifier, err := dokploy.NewVerifier(token)
	if err != nil {
		return err
	}
	decode, err := dokploy.NewDecoder(dokploy.WithEnvironment("production"), dokploy.WithComplete(lookUp))
	if err != nil {
		return err
	}
	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "dokploy"))
	if err != nil {
		return err
	}
	http.Handle("POST /webhooks/dokploy", rcv.Records(decode, onDeployment))
	return nil
}

func netlifyDoc(store dedupe.Store) error {
	secret, err := signer.NewLiteralSecret(os.Getenv("NETLIFY_WEBHOOK_SECRET"))
	if err != nil {
		return err
	}
	verifier, err := netlify.NewVerifier(secret)
	if err != nil {
		return err
	}
	decode, err := netlify.NewDecoder()
	if err != nil {
		return err
	}
	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "netlify"))
	if err != nil {
		return err
	}
	http.Handle("POST /webhooks/netlify", rcv.Records(decode, onDeployment))
	return nil
}

func coolifyDoc(store dedupe.Store) error {
	password, err := signer.NewLiteralSecret(os.Getenv("COOLIFY_PASSWORD"))
	if err != nil {
		return err
	}
	verifier, err := coolify.NewVerifier("coolify", password)
	if err != nil {
		return err
	}
	decode, err := coolify.NewDecoder(coolify.WithComplete(lookUp))
	if err != nil {
		return err
	}
	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "coolify"))
	if err != nil {
		return err
	}
	http.Handle("POST /webhooks/coolify", rcv.Records(decode, onDeployment))
	return nil
}

func jenkinsDoc(store dedupe.Store) error {
	password, err := signer.NewLiteralSecret(os.Getenv("JENKINS_PASSWORD"))
	if err != nil {
		return err
	}
	verifier, err := jenkins.NewVerifier("jenkins", password)
	if err != nil {
		return err
	}
	decode, err := jenkins.NewDecoder(jenkins.WithEnvironment("production"))
	if err != nil {
		return err
	}
	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "jenkins"))
	if err != nil {
		return err
	}
	http.Handle("POST /webhooks/jenkins", rcv.Records(decode, onDeployment))
	return nil
}

func droneDoc(store dedupe.Store) error {
	secret, err := signer.NewLiteralSecret(os.Getenv("DRONE_WEBHOOK_SECRET"))
	if err != nil {
		return err
	}
	verifier, err := drone.NewVerifier(secret)
	if err != nil {
		return err
	}
	decode, err := drone.NewDecoder()
	if err != nil {
		return err
	}
	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "drone"))
	if err != nil {
		return err
	}
	http.Handle("POST /webhooks/drone", rcv.Records(decode, onDeployment))
	return nil
}

func circleciDoc(store dedupe.Store) error {
	secret, err := signer.NewLiteralSecret(os.Getenv("CIRCLECI_WEBHOOK_SECRET"))
	if err != nil {
		return err
	}
	verifier, err := circleci.NewVerifier(secret)
	if err != nil {
		return err
	}
	decode, err := circleci.NewDecoder(circleci.WithEnvironment("production"), circleci.WithWorkflows("deploy"))
	if err != nil {
		return err
	}
	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "circleci"))
	if err != nil {
		return err
	}
	http.Handle("POST /webhooks/circleci", rcv.Records(decode, onDeployment))
	return nil
}
