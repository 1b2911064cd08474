package github_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/github"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

const exampleEvent = `{"action":"created",
"deployment_status":{"id":7,"state":"success","created_at":"2025-07-02T09:15:42Z","environment":"production"},
"deployment":{"id":42,"sha":"3f786850e387550fdab836ed7e6dc881de23001b","ref":"main","created_at":"2025-07-02T09:14:58Z"},
"repository":{"name":"octo-repo"}}`

func Example() {
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
	verifier, err := github.NewVerifier(secret)
	if err != nil {
		fmt.Println(err)
		return
	}
	decode, err := github.NewDecoder()
	if err != nil {
		fmt.Println(err)
		return
	}
	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "github"))
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := rcv.Records(decode, func(_ context.Context, d *payload.Deployment) error {
		fmt.Println(d.Service, "in", d.Environment+":", d.Status)
		return nil
	})
	mux := http.NewServeMux()
	mux.Handle("POST /webhooks/github", handler)

	// GitHub sends:
	r := httptest.NewRequest(http.MethodPost, "/webhooks/github", strings.NewReader(exampleEvent))
	r.Header.Set("Content-Type", "application/json")
	sign(r.Header, []byte(exampleEvent))
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	// Output:
	// octo-repo in production: success
	// 200 {"received":true}
}

func ExampleDecode() {
	d, err := github.Decode(context.Background(), []byte(exampleEvent))
	if err != nil {
		fmt.Println(err)
		return
	}
	status, _ := d.Metadata.Get("originalStatus")
	fmt.Println(d.DeploymentID, d.Status, status.String(), d.Branch, d.CommitSHA[:7])

	_, err = github.Decode(context.Background(), []byte(`{"zen":"Keep it logically awesome."}`))
	fmt.Println(err)
	// Output:
	// 42 success success main 3f78685
	// github: not a deployment event: a ping
}
