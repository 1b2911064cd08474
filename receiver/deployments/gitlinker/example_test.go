package gitlinker_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/dora"
	"github.com/deployhook/deployhook/receiver/deployments/gitlinker"
	"github.com/deployhook/deployhook/signer"
)

// This compiles the package comment's code.
var _ = []any{linkerDoc, metricsDoc}

func linkerDoc(keys *signer.APIKeys, ledger deployments.Ledger) error {
	linker, err := gitlinker.New(gitlinker.ByService("acme", map[string]string{
		"api-gateway": "/srv/mirrors/api-gateway.git",
		"my-service":  "/srv/mirrors/my-service.git",
	}))
	if err != nil {
		return err
	}
	endpoint, err := deployments.New(keys, ledger, deployments.WithLinker(linker))
	_ = endpoint
	return err
}

func metricsDoc(ledger deployments.History, linker *gitlinker.Linker) error {
	calculator, err := dora.New(ledger, dora.WithCommits(linker))
	_ = calculator
	return err
}

func ExampleByService() {
	linker, err := gitlinker.New(gitlinker.ByService("acme", map[string]string{"api": "/srv/mirrors/api.git"}))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = linker.LinkedPRs(context.Background(), deployments.Link{Organization: "another", Service: "api", Commit: "a1b2c3d"})
	fmt.Println(errors.Is(err, gitlinker.ErrUnknownService))
	// Output: true
}
