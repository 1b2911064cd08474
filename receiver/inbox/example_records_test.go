package inbox_test

import (
	"context"
	"log"
	"net/http"
	"os"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/github"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/signer"
)

// GitHub waits 10 seconds for an answer and does not retry, so long work goes
// through an inbox.
func ExampleInbox_Records() {
	ctx := context.Background()
	in, err := inbox.OpenSQLite(ctx, "inbox.db", func(ctx context.Context, e *payload.Event) error {
		d, _ := receiver.FromContext(ctx)
		log.Println(e.Type, e.App, d.Deployment.PipelineURL)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	defer in.Close()
	if err := mountGitHub(in); err != nil {
		log.Fatal(err)
	}
	if err := in.Start(ctx); err != nil {
		log.Fatal(err)
	}
}

func mountGitHub(in *inbox.Inbox) error {
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
	hook, err := in.Records(verifier, "github", decode) // from github.NewVerifier and github.NewDecoder
	if err != nil {
		return err
	}
	http.Handle("POST /webhooks/github", hook)
	return nil
}
