package sqldedupe_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

// Two deliveries of one event create one row, even if the service restarts in
// between.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	scheme, err := signer.NewStandard(signer.GenerateSecret())
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		if err := service(context.Background(), filepath.Join(dir, "app.db"), scheme); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// 200 {"received":true}
	// releases: 1
	// 200 {"received":true,"duplicate":true}
	// releases: 1
}

// service receives one delivery.
func service(ctx context.Context, path string, scheme *signer.Standard) error {
	db, err := sql.Open("sqlite", "file:"+path+
		"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS releases (app TEXT, version TEXT)"); err != nil {
		return err
	}
	store, err := sqldedupe.NewSQLite(ctx, db)
	if err != nil {
		return err
	}
	defer store.Close()

	record := func(ctx context.Context, e *payload.Event) error {
		d, _ := receiver.FromContext(ctx)
		insert := func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx,
				"INSERT INTO releases (app, version) VALUES (?, ?)",
				e.App, e.Version)
			return err
		}
		return d.CompleteWith(func(c dedupe.Claim) error {
			return store.InTx(ctx, c, insert)
		})
	}

	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "deploys"), receiver.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return err
	}
	status, answer := deliver(rcv.Events(record), scheme, "whk_1")
	fmt.Println(status, answer)

	var releases int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM releases").Scan(&releases); err != nil {
		return err
	}
	fmt.Println("releases:", releases)
	return nil
}

// deliver is a sender that signs an event and posts it.
func deliver(h http.Handler, s signer.Signer, id string) (status int, answer string) {
	const body = `{"event":"deploy.succeeded","timestamp":"2026-03-12T14:22:01Z","deployment_id":"dep_a1b2c3d4","app":"api","version":"1.2.3"}`
	r := httptest.NewRequest(http.MethodPost, "/webhooks/deploy", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if err := s.Sign(r.Context(), r, id, time.Now(), []byte(body)); err != nil {
		return 0, err.Error()
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	text, err := io.ReadAll(w.Body)
	if err != nil {
		return 0, err.Error()
	}
	return w.Code, string(text)
}

func ExampleOpenSQLite() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	store, err := sqldedupe.OpenSQLite(context.Background(), filepath.Join(dir, "deliveries.db"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	fmt.Println(store.TTL())
	// Output: 48h0m0s
}

// The documentation snippets that are not in an example.

func newReceiver(ctx context.Context, scheme *signer.Standard) error {
	store, err := sqldedupe.OpenSQLite(ctx, "deliveries.db")
	if err != nil {
		return err
	}
	defer store.Close()
	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "deploys"))
	if err != nil {
		return err
	}
	http.Handle("POST /webhooks/deploy", rcv.Events(func(context.Context, *payload.Event) error { return nil }))
	return nil
}

func recordDeployment(ctx context.Context, store *sqldedupe.Store, e *payload.Event) error {
	d, _ := receiver.FromContext(ctx)
	return d.CompleteWith(func(c dedupe.Claim) error {
		return store.InTx(ctx, c, func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO deployments (id, app) VALUES (?, ?)", e.DeploymentID, e.App)
			return err
		})
	})
}

func recordWithPgx(ctx context.Context, store *sqldedupe.Store, pool *pgxpool.Pool, claim dedupe.Claim, id string) error {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "INSERT INTO deployments (id) VALUES ($1)", id); err != nil {
			return err
		}
		return store.CompletePgxTx(ctx, tx, claim)
	})
	return err
}

var _, _, _ = newReceiver, recordDeployment, recordWithPgx
