package ci_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/ci"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

// The last step of a pipeline reports the deployment. Send tries for about a
// minute.
func Example_send() {
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) // stands for the other service
	defer receiver.Close()
	variables := map[string]string{ // stand for the environment of a run of GitHub Actions
		"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "1658821493", "GITHUB_RUN_ATTEMPT": "1", "GITHUB_JOB": "deploy",
		"GITHUB_SHA": "f4c8e2af4c8e2af4c8e2af4c8e2af4c8e2af4c8e", "GITHUB_REPOSITORY": "acme/shop",
		"DEPLOYHOOK_URL": receiver.URL, "DEPLOYHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
	}
	getenv := func(name string) string { return variables[name] } // in a pipeline os.Getenv

	ctx := context.Background()
	run, err := ci.Detect(ctx, ci.Environment{Getenv: getenv, Files: os.DirFS("/")})
	if err != nil {
		log.Fatal(err)
	}
	run.Environment = "production"
	event := run.Event(payload.DeployLive)
	event.Timestamp = time.Now()

	secret, err := signer.ParseSecret(getenv("DEPLOYHOOK_SECRET"))
	if err != nil {
		log.Fatal(err)
	}
	scheme, err := signer.NewStandard(secret)
	if err != nil {
		log.Fatal(err)
	}
	s, err := sender.New(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8"))) // leave the option out in production
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	receipt, err := s.Send(ctx, sender.Endpoint{URL: sender.NewURL(getenv("DEPLOYHOOK_URL")), Signer: scheme}, &event)
	if err != nil {
		log.Fatal(err) // fails the job
	}
	fmt.Println(receipt.Outcome, event.App, event.DeploymentID)
	// Output: delivered shop github-actions:1658821493:1:deploy:production
}
