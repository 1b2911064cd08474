package inbox

import (
	"context"
	"fmt"

	"github.com/deployhook/deployhook/internal/sqldb"
)

// probe inserts a row and deletes it in the same transaction.
func probe() sqldb.Probe {
	return sqldb.Probe{
		Insert: `INSERT INTO {schema}inbox_delivery (delivery_key, ordering_key, source, principal, delivery_id, signing_key, signed_at, type,
			deployment_id, event_at, received_at, body, state, round, attempts, retry_at, finished_at, last_error, dead_error, trace)
			VALUES (?, '', '', '', '', '', 0, '', '', 0, 0, '', 'probe', 0, 0, 0, 0, '', '', '')`,
		Delete: `DELETE FROM {schema}inbox_delivery WHERE delivery_key = ?`,
	}
}

// Ready reports whether the inbox accepts deliveries, for the readiness of a
// service. It writes to the table in a transaction that leaves nothing behind.
// It fails if the database is down, read-only, locked or full, if the role
// lacks a right, if the SQLite file was deleted or replaced, and with [ErrFull]
// while the backlog is full. The text of the error says what an operator can
// do.
func (in *Inbox) Ready(ctx context.Context) error {
	if err := in.open(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, in.storeTimeout)
	defer cancel()
	room, err := in.backlog.reserve(ctx, in, 1)
	if err != nil {
		return fmt.Errorf("inbox: Ready: %w", sqldb.Explain(err))
	}
	in.backlog.settle(room, 0)
	if room == 0 {
		return ErrFull
	}
	if err := in.db.Ready(ctx, probe()); err != nil {
		return fmt.Errorf("inbox: Ready: %w", err)
	}
	return nil
}
