package sqlledger_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/deployhook/deployhook/receiver/deployments/sqlledger"
)

// The ledger's tables are next to those of the application.
func ExampleNewSQLite() {
	dir, err := os.MkdirTemp("", "ledger")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(filepath.Join(dir, "app.db"))+"?_pragma=busy_timeout(10000)") // import _ "modernc.org/sqlite"
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	ctx := context.Background()
	ledger, err := sqlledger.NewSQLite(ctx, db)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ledger.Ready(ctx))
	// Output: <nil>
}

// Any number of instances share a PostgreSQL database.
func ExampleNewPostgres() {
	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL")) // import _ "github.com/jackc/pgx/v5/stdlib"
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	ledger, err := sqlledger.NewPostgres(context.Background(), db)
	if err != nil {
		log.Fatal(err)
	}
	defer ledger.Close()
}
