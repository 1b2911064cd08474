package dora_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/dora"
	"github.com/deployhook/deployhook/receiver/deployments/gitlinker"
	"github.com/deployhook/deployhook/signer"
)

func Example() {
	ctx := context.Background()
	ledger, err := deployments.NewMemoryLedger()
	if err != nil {
		fmt.Println(err)
		return
	}
	at := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	for i, commit := range []string{"c0ffee1", "c0ffee2", "c0ffee1"} { // the third goes back
		live := at.Add(time.Duration(i) * time.Hour)
		_, err := ledger.Record(ctx, "acme", &payload.Deployment{
			DeploymentID: fmt.Sprint("run-", i+1), CommitSHA: commit, Service: "api", Environment: "production",
			Status: payload.StatusSuccess, StartedAt: live, CompletedAt: live,
		})
		if err != nil {
			fmt.Println(err)
			return
		}
	}
	w, err := dora.NewWindow("Europe/Berlin", "2026-03-02", "2026-03-09")
	if err != nil {
		fmt.Println(err)
		return
	}
	calculator, err := dora.New(ledger)
	if err != nil {
		fmt.Println(err)
		return
	}
	reports, err := calculator.Reports(ctx, "acme", w)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range reports {
		fmt.Println(r.Service, "failed:", r.ChangeFailRate.Deployments, "of", r.ChangeFailRate.N)
		if err := r.WriteText(os.Stdout); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// api failed: [run-2] of 3
	// api in production (acme)
	// 2026-03-02 to 2026-03-09, exclusive, Europe/Berlin
	//
	//   change lead time                  not measured              ·  0 commits (left out: 1 first, 2 no history)
	//   deployment frequency              0.43 a day, 1 days a week  █  3 deployments
	//   failed deployment recovery time   1h0m                      █  1 recovered
	//   change fail rate                  33.3 %                    █  1 of 3
	//   deployment rework rate            33.3 %                    █  1 of 3
}

// The code of the package's documentation, and the handler.
func _(ctx context.Context, mux *http.ServeMux, keys *signer.APIKeys, ledger deployments.History, linker *gitlinker.Linker) ([]*dora.Report, error) {
	w, err := dora.NewWindow("Europe/Berlin", "2026-01-01", "2026-04-01")
	if err != nil {
		return nil, err
	}
	calculator, err := dora.New(ledger, dora.WithCommits(linker)) // of package gitlinker
	if err != nil {
		return nil, err
	}
	handler, err := dora.NewHandler(keys, calculator)
	if err != nil {
		return nil, err
	}
	mux.Handle("GET /api/metrics/dora", handler)
	return calculator.Reports(ctx, "acme", w)
}
