package jobdb_test

import (
	"context"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/jobdb"
)

var _ = use

// use is the snippet of the package documentation, so that it is compiled.
func use(ctx context.Context, id string, body []byte, faults *contain.Faults) error {
	db, err := jobdb.OpenSQLite(ctx, "hooks.db")
	// or jobdb.NewPostgres(pool, "deployhook_inbox")
	if err != nil {
		return err
	}
	defer db.Close()
	// The steps create the module's tables and jobdb.QueueTable("inbox_job").
	if err := db.Prepare(ctx, "inbox", steps, jobdb.Setup{}); err != nil {
		return err
	}
	queue := jobdb.NewQueue(db, "inbox_job", faults)
	err = db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
		insert := "INSERT INTO {schema}deliveries (id, body) VALUES (?, ?)"
		if _, err := tx.Exec(ctx, insert, id, body); err != nil {
			return err
		}
		_, err := queue.Insert(ctx, tx, []jobdb.NewJob{{Ref: id}})
		return err
	})
	queue.Kick()
	return err
}
