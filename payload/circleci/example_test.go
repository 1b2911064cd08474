package circleci_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/circleci"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

func Example() {
	event, err := os.ReadFile("testdata/workflow_github.json")
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
	verifier, err := circleci.NewVerifier(secret)
	if err != nil {
		fmt.Println(err)
		return
	}
	decode, err := circleci.NewDecoder(circleci.WithEnvironment("production"))
	if err != nil {
		fmt.Println(err)
		return
	}
	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "circleci"))
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := rcv.Records(decode, func(_ context.Context, d *payload.Deployment) error {
		fmt.Println(d.Service, "in", d.Environment+":", d.Status)
		return nil
	})
	mux := http.NewServeMux()
	mux.Handle("POST /webhooks/circleci", handler)

	// CircleCI sends:
	r := httptest.NewRequest(http.MethodPost, "/webhooks/circleci", strings.NewReader(string(event)))
	r.Header.Set("Content-Type", "application/json")
	sign(r.Header, event)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	// Output:
	// webhook-service in production: success
	// 200 {"received":true}
}
