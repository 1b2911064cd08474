package inbox_test

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/github"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/receiver/receivertest"
	"github.com/deployhook/deployhook/signer"
)

// GitHub waits 10 seconds for an answer and does not retry, so long work goes
// through an inbox.
func ExampleInbox_Records() {
	ctx := context.Background()
	in, err := inbox.OpenSQLite(ctx, "inbox.db", announce)
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

// announce is a handler that needs the record.
func announce(ctx context.Context, e *payload.Event) error {
	d, ok := receiver.FromContext(ctx)
	if !ok || d.Deployment == nil {
		return inbox.Permanent(errors.New("there is no record"))
	}
	log.Println(e.Type, e.App, d.Source, d.Deployment.CommitSHA)
	return nil
}

// The snippet of the package documentation calls a handler as a worker does.
func TestDoc_HandlerIsTestedDirectly(t *testing.T) {
	t.Parallel()
	ctx := receiver.NewContext(t.Context(), &receiver.Delivery{
		Source: "github", Deployment: receivertest.Deployment(payload.StatusSuccess),
	})
	err := announce(ctx, receivertest.Event(payload.DeployLive))
	require.NoError(t, err)
	require.Error(t, announce(t.Context(), receivertest.Event(payload.DeployLive)))
}
