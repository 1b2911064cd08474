package recovery_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/deployhook/deployhook/receiver/recovery"
)

// This compiles the package comment's code.
var _ = []any{appDoc}

func appDoc(ctx context.Context) error {
	key, err := os.ReadFile("app.private-key.pem")
	if err != nil {
		return err
	}
	token, err := recovery.GitHubAppToken(os.Getenv("GITHUB_APP_CLIENT_ID"), key)
	if err != nil {
		return err
	}
	client, err := recovery.New(recovery.GitHubApp(), token)
	if err != nil {
		return err
	}
	return client.Run(ctx) // every 10 minutes, until ctx ends
}

// A token in a file may be replaced while the service runs.
func ExampleNew() {
	token := func(context.Context) (string, error) {
		text, err := os.ReadFile("/run/secrets/gitlab-token")
		return string(text), err
	}
	client, err := recovery.New(recovery.GitLabProject("acme/api", 42), token, recovery.WithDryRun())
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = client

	_, err = recovery.New(recovery.GitLabProject("acme/api", 0), token)
	fmt.Println(strings.Contains(err.Error(), "the webhook's ID is 0"))
	// Output: true
}
