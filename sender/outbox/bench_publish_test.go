package outbox_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
)

// BenchmarkPublish measures how long it takes to store one event, for one or
// for ten endpoints. The baseline for one is River's insert of a job with the
// body. The baseline for ten is an insert of ten rows with the body into a
// table that was made by hand. Both run in a transaction.
func BenchmarkPublish(b *testing.B) {
	onBoth(b, func(b *testing.B, w *world) {
		b.Run("endpoints=1/floor", func(b *testing.B) { benchPublishJob(b, w.fresh(b)) })
		b.Run("endpoints=1/ours", func(b *testing.B) { benchPublishOurs(b, w.fresh(b), 1) })
		b.Run("endpoints=10/floor", func(b *testing.B) { benchPublishRows(b, w.fresh(b), 10) })
		b.Run("endpoints=10/ours", func(b *testing.B) { benchPublishOurs(b, w.fresh(b), 10) })
	})
}

func benchPublishOurs(b *testing.B, w *world, endpoints int) {
	o := w.open(b)
	subscribe(b, o, "http://127.0.0.1:1", endpoints)
	e := benchEvent()
	begin(b)
	for b.Loop() {
		publish(b, o.App("shop"), e)
	}
}

func benchPublishJob(b *testing.B, w *world) {
	client := bareRiver(b, w, benchWorkers)
	body, err := benchEvent().Encode()
	require.NoError(b, err)
	begin(b)
	for b.Loop() {
		require.NoError(b, client.InsertTx(b.Context(), bareArgs{URL: "https://example.com/", Body: body}))
	}
}

// handMade is the table of a sender that was written by hand. It has what the
// sender needs to find and to make the deliveries that are due.
var handMade = []string{
	`CREATE TABLE hand_delivery (
		id text NOT NULL PRIMARY KEY,
		endpoint text NOT NULL,
		attempts bigint NOT NULL DEFAULT 0,
		due_at bigint NOT NULL,
		done_at bigint NOT NULL DEFAULT 0,
		body {blob} NOT NULL
	)`,
	`CREATE INDEX hand_delivery_due ON hand_delivery (due_at) WHERE done_at = 0`,
}

// benchPublishRows inserts the rows with one statement, which is prepared once.
func benchPublishRows(b *testing.B, w *world, endpoints int) {
	body, err := benchEvent().Encode()
	require.NoError(b, err)
	publish := w.byHand(b, endpoints)
	args := make([]any, 4*endpoints)
	begin(b)
	for b.Loop() {
		for i := range endpoints {
			copy(args[4*i:], []any{payload.NewDeliveryID(), fmt.Sprintf("ep_%032d", i), time.Now().UnixMicro(), body})
		}
		require.NoError(b, publish(args))
	}
}

// byHand makes the table, and returns what inserts rows of four columns each in
// a transaction.
func (w *world) byHand(b *testing.B, rows int) func(args []any) error {
	ctx := context.Background()
	cells := make([]string, rows)
	for i := range cells {
		cells[i] = fmt.Sprintf("($%d, $%d, $%d, $%d)", 4*i+1, 4*i+2, 4*i+3, 4*i+4)
	}
	insert := "INSERT INTO hand_delivery (id, endpoint, due_at, body) VALUES " + strings.Join(cells, ", ")
	if w.pool != nil {
		for _, s := range handMade {
			w.exec(b, strings.ReplaceAll(s, "{blob}", "bytea"))
		}
		return func(args []any) error {
			return pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
				_, err := tx.Exec(ctx, insert, args...)
				return err
			})
		}
	}
	db, err := lite(w.path)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, db.Close()) })
	for _, s := range handMade {
		_, err := db.ExecContext(ctx, strings.ReplaceAll(s, "{blob}", "blob"))
		require.NoError(b, err)
	}
	prepared, err := db.PrepareContext(ctx, insert)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, prepared.Close()) })
	return func(args []any) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		if _, err := tx.StmtContext(ctx, prepared).ExecContext(ctx, args...); err != nil {
			return err
		}
		return tx.Commit()
	}
}
