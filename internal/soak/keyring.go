package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/deployhook/deployhook/signer"
)

// secrets are the customers' secrets of each endpoint, the newest first.
type secrets map[string][]string

// write replaces the file as a whole, so that no reader sees a part of it.
func (s secrets) write(file string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// keyring has the secrets of a file, which may be replaced.
type keyring struct {
	file    string
	schemes atomic.Pointer[map[string]*signer.Standard]
}

// watchKeys reads the file again several times a second, until ctx ends.
func watchKeys(ctx context.Context, file string) (*keyring, error) {
	k := &keyring{file: file}
	if err := k.read(); err != nil {
		return nil, err
	}
	go func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-tick.C:
				if err := k.read(); err != nil {
					fmt.Fprintln(os.Stderr, "reading the secrets:", err)
				}
			}
		}
	}()
	return k, nil
}

func (k *keyring) read() error {
	text, err := os.ReadFile(k.file)
	if err != nil {
		return err
	}
	var all secrets
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	schemes := map[string]*signer.Standard{}
	for name, texts := range all {
		if schemes[name], err = schemeOf(texts); err != nil {
			return fmt.Errorf("the secrets of %s: %w", name, err)
		}
	}
	k.schemes.Store(&schemes)
	return nil
}

func schemeOf(texts []string) (*signer.Standard, error) {
	var keys []signer.Secret
	for _, text := range texts {
		key, err := signer.ParseSecret(text)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("there are none")
	}
	var opts []signer.Option
	for _, key := range keys[1:] {
		opts = append(opts, signer.WithKey(key))
	}
	return signer.NewStandard(keys[0], opts...)
}

func (k *keyring) scheme(name string) *signer.Standard { return (*k.schemes.Load())[name] }

func (k *keyring) of(name string) endpointKeys { return endpointKeys{k, name} }
