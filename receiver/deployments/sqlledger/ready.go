package sqlledger

import (
	"context"
	"fmt"

	"github.com/deployhook/deployhook/internal/sqldb"
	"github.com/deployhook/deployhook/receiver/deployments"
)

// No organization has an empty name or one of [sqldb.DB.Ready]'s size. On
// PostgreSQL the role needs no right to delete, so one row remains.
var probes = map[Dialect]sqldb.Probe{
	SQLite: {
		Insert: `INSERT INTO {schema}organizations (organization, last_id) VALUES (?, 0)`,
		Delete: `DELETE FROM {schema}organizations WHERE organization = ?`,
	},
	Postgres: {
		Insert: `INSERT INTO {schema}organizations (organization, last_id) VALUES (substr(CAST(? AS bytea), 1, 0), 0)
			ON CONFLICT (organization) DO UPDATE SET last_id = excluded.last_id`,
	},
}

// Ready reports whether the ledger takes records, for the readiness of a
// service. It writes to a table. It fails if the database is down, read-only,
// locked or full, if the role lacks a right, and if the SQLite file was deleted
// or replaced. The text of the error says what an operator can do.
func (l *Ledger) Ready(ctx context.Context) error {
	switch {
	case l == nil || l.db == nil:
		return errZero
	case l.closed.Load():
		return fmt.Errorf("sqlledger: %w", deployments.ErrClosed)
	}
	return wrap("ready", l.db.Ready(ctx, probes[l.db.Dialect()]))
}
