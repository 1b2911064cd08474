package sqlledger_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/sqlledger"
	"github.com/deployhook/deployhook/signer"
)

// This compiles the package comment's code.
var _ = []any{sqliteDoc, postgresDoc}

func sqliteDoc(ctx context.Context, keys *signer.APIKeys) error {
	ledger, err := sqlledger.OpenSQLite(ctx, "deployments.db")
	if err != nil {
		return err
	}
	defer ledger.Close()
	endpoint, err := deployments.New(keys, ledger) // keys from signer.NewAPIKeys
	if err != nil {
		return err
	}
	http.Handle("POST /api/webhooks/deployments", endpoint)
	return nil
}

func postgresDoc(ctx context.Context) error {
	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL")) // import _ "github.com/jackc/pgx/v5/stdlib"
	if err != nil {
		return err
	}
	ledger, err := sqlledger.NewPostgres(ctx, db)
	_ = ledger
	return err
}

// Records survive a restart of the service.
func ExampleOpenSQLite() {
	dir, err := os.MkdirTemp("", "ledger")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
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
	for range 2 {
		ledger, err := sqlledger.OpenSQLite(context.Background(), filepath.Join(dir, "deployments.db"))
		if err != nil {
			fmt.Println(err)
			return
		}
		endpoint, err := deployments.New(keys, ledger, deployments.WithLogger(slog.New(slog.DiscardHandler)))
		if err != nil {
			fmt.Println(err)
			return
		}
		r := httptest.NewRequest(http.MethodPost, "/api/webhooks/deployments", strings.NewReader(
			`{"deploymentId":"run-1","commitSha":"a1b2c3d","environment":"production","status":"in_progress","startedAt":"2024-01-15T10:30:00Z"}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer dh_0123456789abcdefghij")
		w := httptest.NewRecorder()
		endpoint.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
		if err := ledger.Close(); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// 201 {"action":"created","deploymentId":1,"linkedPRs":0}
	// 200 {"action":"updated","deploymentId":1,"linkedPRs":0}
}
