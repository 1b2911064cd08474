package outbox

import (
	"context"
	cryptorand "crypto/rand"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// Statements that change many deliveries of an endpoint lock them in the order
// of their IDs, so that two of them can't deadlock. The planner may choose to
// read the table in another order. Here another transaction holds a delivery in
// the middle.
func TestDeliveries_AreLockedInOrder(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(ctx context.Context, o *inside, endpoint string) error{
		"disable": func(ctx context.Context, o *inside, endpoint string) error {
			return o.health.cancelPending(ctx, owned{"shop", endpoint}, "test")
		},
		"maintain": func(ctx context.Context, o *inside, _ string) error { return o.retention.cancelForgotten(ctx) },
		"record": func(_ context.Context, o *inside, endpoint string) error {
			var results []*result
			ids, err := jobdb.Collect(o.t.Context(), o.db, scanText, `SELECT id FROM {schema}outbox_delivery WHERE endpoint = ?`, endpoint)
			for i, id := range ids {
				r := o.loaded(id).delivered(time.Now())
				if i%2 == 0 { // it ends without an attempt
					r = &result{id: id, job: r.job, state: Superseded, doneAt: time.Now()}
				}
				results = append(results, r)
			}
			o.write(results...)
			return err
		},
		"supersede": func(ctx context.Context, o *inside, _ string) error {
			_, err := o.App("shop").Publish(ctx, stepOf(payload.DeployLive))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := readingInDiskOrder(t, WithSupersession())
			endpoint := o.endpoint("shop", 0)
			var ids []string
			for range 30 {
				p, err := o.App("shop").Publish(t.Context(), stepOf(payload.DeployStarted))
				require.NoError(t, err)
				ids = append(ids, p.Deliveries[0].ID)
			}
			for _, i := range rand.Perm(len(ids)) { // PostgreSQL stores them once more, in this order
				o.exec(`UPDATE {schema}outbox_delivery SET attempts_size = 1 WHERE id = ?`, ids[i])
			}
			if name == "disable" || name == "maintain" {
				o.exec(`UPDATE {schema}outbox_endpoint SET state = 'disabled'`)
			}
			const held = 15
			free := o.whileHeld(ids[held], func() error { return change(context.Background(), o, endpoint) })
			require.Equal(t, ids[held+1:], free, "those before the one that is held are locked, and those after are not")
			require.Zero(t, o.count(`state = 'pending' AND type = 'deploy.started'`))
		})
	}
}

func stepOf(typ payload.Type) *payload.Event {
	return &payload.Event{Type: typ, Timestamp: time.Now().UTC(), DeploymentID: "d", App: "shop", Environment: "production"}
}

// readingInDiskOrder is an outbox on PostgreSQL whose statements read tables in
// the order in which the rows are stored.
func readingInDiskOrder(t *testing.T, opts ...Option) *inside {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(sqldbtest.NewDatabase(t))
	require.NoError(t, err)
	for _, plan := range []string{"enable_nestloop", "enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan"} {
		cfg.ConnConfig.RuntimeParams[plan] = "off"
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	secret := make([]byte, keySize)
	_, _ = cryptorand.Read(secret)
	key, err := NewSealingKey("k1", secret)
	require.NoError(t, err)
	opts = append([]Option{WithSealingKeys(key), WithSender(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")))}, opts...)
	o, err := NewPostgres(t.Context(), pool, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.Close()) })
	return &inside{o, t}
}

// whileHeld runs a change while another transaction holds a delivery. It
// returns which deliveries the change had not locked when it waited.
func (o *inside) whileHeld(id string, change func() error) (free []string) {
	o.t.Helper()
	done := make(chan error, 1)
	err := o.db.InTx(o.t.Context(), func(ctx context.Context, tx *jobdb.Tx) error {
		var pid int64
		if err := tx.QueryRow(ctx, `SELECT pg_backend_pid() FROM {schema}outbox_delivery WHERE id = ? FOR UPDATE`, id).Scan(&pid); err != nil {
			return err
		}
		go func() { done <- change() }()
		for waiting := int64(0); waiting == 0; {
			err := o.db.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE ? = ANY(pg_blocking_pids(pid))`, pid).Scan(&waiting)
			if err != nil {
				return err
			}
			if len(done) > 0 {
				return fmt.Errorf("it has not waited: %v", <-done)
			}
		}
		return o.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) (err error) {
			free, err = jobdb.Collect(ctx, tx, scanText, `SELECT id FROM {schema}outbox_delivery ORDER BY id FOR UPDATE SKIP LOCKED`)
			return err
		})
	})
	require.NoError(o.t, err)
	require.NoError(o.t, <-done)
	return free
}
