// A request is signed and verified, and refused when its URL has changed.
package main

import (
	"bytes"
	"errors"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/deployhook/deployhook/signer"
	"github.com/deployhook/deployhook/signer/httpsig"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	key, err := httpsig.NewKey("2026-11", signer.GenerateSecret())
	if err != nil {
		return err
	}
	scheme, err := httpsig.New(key)
	if err != nil {
		return err
	}
	body := []byte(`{"event":"deploy.live"}`)
	r := httptest.NewRequest(http.MethodPost, "http://hooks.example.com/deploy?env=prod", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if err := scheme.Sign(r.Context(), r, "whk_0198", time.Now(), body); err != nil {
		return err
	}
	if _, err := scheme.Verify(r, body); err != nil {
		return err
	}
	r.URL.RawQuery = "env=staging"
	r.RequestURI = "/deploy?env=staging"
	if _, err := scheme.Verify(r, body); err == nil {
		return errors.New("a changed URL was accepted")
	}
	return nil
}
