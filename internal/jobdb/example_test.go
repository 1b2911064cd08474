package jobdb_test

import (
	"context"

	"github.com/riverqueue/river"

	"github.com/deployhook/deployhook/internal/jobdb"
)

var _ = use

// use is the snippet of the package documentation, so that it is compiled.
func use(ctx context.Context, args river.JobArgs, body []byte) error {
	// or jobdb.NewPostgres(pool, "deployhook_inbox")
	db, err := jobdb.OpenSQLite(ctx, "hooks.db")
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Migrate(ctx, "inbox", steps); err != nil {
		// ^ It creates the tables of the module and of River.
		return err
	}
	client, err := db.NewClient(&river.Config{})
	if err != nil {
		return err
	}
	return db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
		if _, err := tx.Exec(ctx, "INSERT INTO {schema}deliveries (body) VALUES (?)", body); err != nil {
			return err
		}
		_, err := client.InsertTx(ctx, tx, args, nil)
		return err
	})
}
