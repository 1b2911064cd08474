package main

import (
	"net/http"

	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/signer"
)

// This compiles the snippet of the repository's README.
var _ = readmeDeployments

func readmeDeployments(mux *http.ServeMux, keys *signer.APIKeys, ledger deployments.Ledger, linker deployments.Linker) error {
	endpoint, err := deployments.New(keys, ledger, deployments.WithLinker(linker)) // keys from signer.NewAPIKeys
	if err != nil {
		return err
	}
	mux.Handle("POST /api/webhooks/deployments", endpoint)
	return nil
}
