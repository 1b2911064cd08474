package render_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/render"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

func Example() {
	event, err := os.ReadFile("testdata/deploy_ended.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	secret, err := signer.ParseSecret("whsec_" + base64.StdEncoding.EncodeToString([]byte(key)))
	if err != nil {
		fmt.Println(err)
		return
	}
	store, err := dedupe.NewMemory()
	if err != nil {
		fmt.Println(err)
		return
	}
	lookUp := func(_ context.Context, d *payload.Deployment) error {
		// A program asks Render's API about the event in d's metadata.
		d.DeploymentID, d.CommitSHA = "dep-1", "3f786850e387550fdab836ed7e6dc881de23001b"
		return nil
	}
	verifier, err := render.NewVerifier(secret)
	if err != nil {
		fmt.Println(err)
		return
	}
	decode, err := render.NewDecoder(render.WithEnvironment("production"), render.WithComplete(lookUp))
	if err != nil {
		fmt.Println(err)
		return
	}
	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "render"))
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := rcv.Records(decode, func(_ context.Context, d *payload.Deployment) error {
		fmt.Println(d.Service, "in", d.Environment+":", d.Status)
		return nil
	})
	mux := http.NewServeMux()
	mux.Handle("POST /webhooks/render", handler)

	// Render sends:
	r := httptest.NewRequest(http.MethodPost, "/webhooks/render", strings.NewReader(string(event)))
	r.Header.Set("Content-Type", "application/json")
	sign(r.Header, event)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	// Output:
	// checkout-api in production: success
	// 200 {"received":true}
}
