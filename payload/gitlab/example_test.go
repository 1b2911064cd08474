package gitlab_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/gitlab"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

const exampleEvent = `{"object_kind":"deployment","status":"canceled","status_changed_at":"2021-04-28 21:50:00 +0200",
"deployment_id":15,"environment":"staging","project":{"name":"diaspora"},"user":{"username":"root"},"ref":"main",
"commit_url":"https://gitlab.example.com/mike/diaspora/-/commit/279484c09fbe69ededfced8c1bb6e6d24616b468"}`

func Example() {
	signing, err := signer.ParseSecret(signingText)
	if err != nil {
		fmt.Println(err)
		return
	}
	store, err := dedupe.NewMemory()
	if err != nil {
		fmt.Println(err)
		return
	}
	verifier, err := gitlab.NewVerifier(gitlab.Secrets{SigningToken: signing})
	if err != nil {
		fmt.Println(err)
		return
	}
	decode, err := gitlab.NewDecoder()
	if err != nil {
		fmt.Println(err)
		return
	}
	rcv, err := receiver.New(verifier, receiver.WithDedupe(store, "gitlab"))
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := rcv.Records(decode, func(_ context.Context, d *payload.Deployment) error {
		fmt.Println(d.Service, "in", d.Environment+":", d.Status)
		return nil
	})
	mux := http.NewServeMux()
	mux.Handle("POST /webhooks/gitlab", handler)

	// GitLab sends:
	r := httptest.NewRequest(http.MethodPost, "/webhooks/gitlab", strings.NewReader(exampleEvent))
	r.Header.Set("Content-Type", "application/json")
	signStandard(r.Header, []byte(exampleEvent))
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	// Output:
	// diaspora in staging: cancelled
	// 200 {"received":true}
}

func ExampleDecode() {
	d, err := gitlab.Decode(context.Background(), []byte(exampleEvent))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(d.DeploymentID, d.Status, d.Branch, d.CommitSHA[:7], d.CompletedAt.Format("15:04:05Z07:00"))

	_, err = gitlab.Decode(context.Background(), []byte(`{"object_kind":"push"}`))
	fmt.Println(err)
	// Output:
	// 15 cancelled main 279484c 19:50:00Z
	// gitlab: not a deployment event: object_kind is "push", not deployment
}
