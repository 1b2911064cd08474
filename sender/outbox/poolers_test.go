package outbox_test

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/deployhook/deployhook/sender/outbox"
)

var _ = behindPooler

// behindPooler is the snippet of internal/sqldb/POOLERS.md. It is only
// compiled. The tests of PgBouncer use the same options.
func behindPooler(ctx context.Context, key outbox.SealingKey) error {
	pool, err := pgxpool.New(ctx, "postgres://service@pgbouncer:6432/app?default_query_exec_mode=exec")
	if err != nil {
		return err
	}
	o, err := outbox.NewPostgres(ctx, pool, outbox.WithSealingKeys(key), outbox.WithPolling())
	if err != nil {
		return err
	}
	return o.Close()
}
