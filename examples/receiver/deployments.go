package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/gitlinker"
	"github.com/deployhook/deployhook/signer"
)

// deploymentsHandler receives deployment records from organizations with an API
// key.
func deploymentsHandler(c config, text string) (http.Handler, error) {
	scheme, err := newAPIKeys(text)
	if err != nil {
		return nil, err
	}
	opts := []deployments.Option{
		deployments.WithLogger(c.logger), deployments.WithTelemetry(c.telemetry.receivers),
		deployments.WithObserver(c.recent.Observer("deployments")),
	}
	if c.repos != "" {
		linker, err := gitlinker.New(reposIn(c.repos))
		if err != nil {
			return nil, fmt.Errorf("-repos: %w", err)
		}
		opts = append(opts, deployments.WithLinker(linker))
	}
	return deployments.New(scheme, c.stores.ledger, opts...)
}

func newAPIKeys(text string) (*signer.APIKeys, error) {
	keys, err := parseAPIKeys(text)
	if err != nil {
		return nil, err
	}
	return signer.NewAPIKeys(keys)
}

// parseAPIKeys parses org=key,org2=key2. An organization may have several keys.
// Errors name an entry's position, never its text.
func parseAPIKeys(text string) ([]signer.APIKey, error) {
	var keys []signer.APIKey
	for i, entry := range strings.Split(text, ",") {
		org, key, ok := strings.Cut(strings.TrimSpace(entry), "=")
		if !ok || org == "" {
			return nil, fmt.Errorf("entry %d: want org=key", i+1)
		}
		hash, err := signer.HashAPIKey(key)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", i+1, err)
		}
		keys = append(keys, signer.APIKey{Principal: org, Hash: hash})
	}
	if len(keys) == 0 {
		return nil, errors.New("want org=key,org2=key2")
	}
	return keys, nil
}

// reposIn finds a service's repository in dir/ORGANIZATION/SERVICE. It compares
// both names with the existing folders. Text from a sender never becomes part
// of a path.
func reposIn(dir string) gitlinker.Lookup {
	return func(_ context.Context, organization, service string) (string, error) {
		if service == "" {
			return "", nil // no service was given, so there is nothing to count
		}
		repo := dir
		for _, name := range []string{organization, service} {
			entries, err := os.ReadDir(repo)
			if err != nil {
				return "", err
			}
			i := slices.IndexFunc(entries, func(e os.DirEntry) bool { return e.IsDir() && e.Name() == name })
			if i < 0 {
				return "", gitlinker.ErrUnknownService
			}
			repo = filepath.Join(repo, entries[i].Name())
		}
		return repo, nil
	}
}
