package outbox

import (
	"context"

	"github.com/deployhook/deployhook/internal/sqldb"
)

// probe inserts a row and deletes it in the same transaction. No app has an
// empty name.
func probe() sqldb.Probe {
	return sqldb.Probe{
		Insert: `INSERT INTO {schema}outbox_body (app, event, delivery, created_at, body) VALUES ('', '', '', 0, ?)`,
		Delete: `DELETE FROM {schema}outbox_body WHERE app = '' AND event = '' AND delivery = '' AND body = ?`,
	}
}

// Ready reports whether the outbox can publish events, for the readiness of a
// service. It writes to a table in a transaction that leaves nothing behind. It
// fails if the database is down, read-only, locked or full, if the role lacks a
// right, and if the SQLite file was deleted or replaced. The text of the error
// says what an operator can do.
func (o *Outbox) Ready(ctx context.Context) error {
	if err := o.open(); err != nil {
		return err
	}
	return wrap("ready", o.db.Ready(ctx, probe()))
}
