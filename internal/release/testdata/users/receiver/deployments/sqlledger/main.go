// An endpoint for deployment records keeps them in a SQLite file.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/sqlledger"
	"github.com/deployhook/deployhook/signer"
)

const key = "dh_0123456789abcdefghij"

func main() {
	if err := run(context.Background(), "ledger.db"); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, file string) error {
	hash, err := signer.HashAPIKey(key)
	if err != nil {
		return err
	}
	keys, err := signer.NewAPIKeys([]signer.APIKey{{Principal: "acme", Hash: hash}})
	if err != nil {
		return err
	}
	for _, want := range []int{http.StatusCreated, http.StatusOK} {
		ledger, err := sqlledger.OpenSQLite(ctx, file)
		if err != nil {
			return err
		}
		code, err := post(keys, ledger)
		if err == nil && code != want {
			err = fmt.Errorf("the answer is %d, want %d", code, want)
		}
		if closed := ledger.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func post(keys *signer.APIKeys, ledger deployments.Ledger) (int, error) {
	endpoint, err := deployments.New(keys, ledger)
	if err != nil {
		return 0, err
	}
	r := httptest.NewRequest(http.MethodPost, "/api/webhooks/deployments", strings.NewReader(
		`{"deploymentId":"run-1","commitSha":"a1b2c3d","environment":"production","status":"in_progress","startedAt":"2024-01-15T10:30:00Z"}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+key)
	w := httptest.NewRecorder()
	endpoint.ServeHTTP(w, r)
	return w.Code, nil
}
