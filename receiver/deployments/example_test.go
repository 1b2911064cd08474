package deployments_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/signer"
)

func ExampleNew() {
	// store this hash of the key that the organization uses
	hash, err := signer.HashAPIKey("dh_0123456789abcdefghij")
	if err != nil {
		fmt.Println(err)
		return
	}
	keys, err := signer.NewAPIKeys([]signer.APIKey{{Principal: "acme", Hash: hash}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ledger, err := deployments.NewMemoryLedger()
	if err != nil {
		fmt.Println(err)
		return
	}
	linker := deployments.LinkerFunc(func(_ context.Context, l deployments.Link) (int, error) {
		fmt.Printf("counting the pull requests of %s in %q..%s\n", l.Service, l.PreviousCommit, l.Commit)
		return 3, nil
	})
	endpoint, err := deployments.New(keys, ledger, deployments.WithLinker(linker), quiet)
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("POST /api/webhooks/deployments", endpoint)

	for _, body := range []string{
		`{"deploymentId":"run-1","commitSha":"a1b2c3d","environment":"production","service":"api","status":"in_progress","startedAt":"2024-01-15T10:30:00Z"}`,
		`{"deploymentId":"run-1","commitSha":"a1b2c3d","environment":"production","service":"api","status":"success","startedAt":"2024-01-15T10:30:00Z","completedAt":"2024-01-15T10:35:00Z"}`,
		`{"deploymentId":"run-1","commitSha":"a1b2c3d","environment":"production","service":"api","status":"pending","startedAt":"2024-01-15T10:30:00Z"}`,
		`{"deploymentId":"run-2","commitSha":"deploy","environment":"production","status":"pending","startedAt":"2024-01-15T11:30:00Z"}`,
	} {
		r := httptest.NewRequest(http.MethodPost, "/api/webhooks/deployments", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer dh_0123456789abcdefghij")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// 201 {"action":"created","deploymentId":1,"linkedPRs":0}
	// counting the pull requests of api in ""..a1b2c3d
	// 200 {"action":"updated","deploymentId":1,"linkedPRs":3}
	// 200 {"action":"unchanged","deploymentId":1,"linkedPRs":3,"stale":true}
	// 400 {"error":"Invalid payload: commitSha must be a valid hex string (5-40 characters)"}
}

// The previous commit is that of the last success, even if deliveries overtake
// each other.
func ExampleMemoryLedger() {
	ledger, err := deployments.NewMemoryLedger()
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	for _, body := range []string{
		`{"deploymentId":"run-1","commitSha":"aaaaaaa","environment":"production","status":"success","startedAt":"2024-01-15T10:30Z","completedAt":"2024-01-15T10:35Z"}`,
		`{"deploymentId":"run-3","commitSha":"ccccccc","environment":"production","status":"success","startedAt":"2024-01-15T12:30Z","completedAt":"2024-01-15T12:35Z"}`,
		`{"deploymentId":"run-2","commitSha":"bbbbbbb","environment":"production","status":"success","startedAt":"2024-01-15T11:30Z","completedAt":"2024-01-15T11:35Z"}`,
	} {
		d, err := payload.DecodeDeployment([]byte(body))
		if err != nil {
			fmt.Println(err)
			return
		}
		if _, err := ledger.Record(ctx, "acme", d); err != nil {
			fmt.Println(err)
			return
		}
	}
	records, err := ledger.List(ctx, "acme", deployments.Filter{Environment: "production"}, deployments.Page{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range records.Items {
		fmt.Printf("%d: %s after %q\n", r.ID, r.Deployment.CommitSHA, r.Deployment.PreviousCommitSHA)
	}
	// Output:
	// 3: bbbbbbb after "aaaaaaa"
	// 2: ccccccc after "bbbbbbb"
	// 1: aaaaaaa after ""
}
