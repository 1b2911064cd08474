package bitbucket_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/bitbucket"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

func Example() {
	event, err := os.ReadFile("testdata/commit_status.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	secret, err := signer.NewLiteralSecret(secretText)
	if err != nil {
		fmt.Println(err)
		return
	}
	store, err := dedupe.NewMemory()
	if err != nil {
		fmt.Println(err)
		return
	}
	environmentOf := func(_ context.Context, d *payload.Deployment) error {
		key, _ := d.Metadata.Get("key")
		environment, ok := strings.CutPrefix(key.String(), "deploy-")
		if !ok {
			return payload.ErrIgnored // a build
		}
		d.Environment = environment
		return nil
	}
	verifier, err := bitbucket.NewVerifier(secret)
	if err != nil {
		fmt.Println(err)
		return
	}
	decode, err := bitbucket.NewDecoder(bitbucket.WithComplete(environmentOf))
	if err != nil {
		fmt.Println(err)
		return
	}
	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "bitbucket"))
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := rcv.Records(decode, func(_ context.Context, d *payload.Deployment) error {
		fmt.Println(d.Service, "in", d.Environment+":", d.Status)
		return nil
	})
	mux := http.NewServeMux()
	mux.Handle("POST /webhooks/bitbucket", handler)

	// Bitbucket sends:
	r := httptest.NewRequest(http.MethodPost, "/webhooks/bitbucket", strings.NewReader(string(event)))
	r.Header.Set("Content-Type", "application/json")
	sign(r.Header, event)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	// Output:
	// checkout in production: success
	// 200 {"received":true}
}
