package sqldedupe_test

import (
	"context"
	"database/sql"
	"encoding/binary"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/internal/servicetest"
)

// BenchmarkClaimComplete handles new deliveries one after the other. The floor
// is an insert and an update of one row in the same kind of table.
func BenchmarkClaimComplete(b *testing.B) {
	onEachBench(b, func(b *testing.B, backend *backend, workers int) {
		s := backend.store(backend.db, sqldedupe.WithoutPruning(), sqldedupe.InsecureUnsynced())
		insert, update := floorStatements(b, backend)
		b.Run("floor", func(b *testing.B) {
			ctx, expires := b.Context(), time.Now().Add(time.Hour)
			at := any(expires)
			if backend.dialect == sqldedupe.SQLite {
				at = expires.UnixMilli()
			}
			each(b, workers, func(k dedupe.Key) error {
				var token int64
				if err := insert(ctx, k[:], at).Scan(&token); err != nil {
					return err
				}
				return update(ctx, k[:], token, at).Scan(&token)
			})
		})
		b.Run("ours", func(b *testing.B) {
			ctx := b.Context()
			each(b, workers, func(k dedupe.Key) error {
				c, err := s.Claim(ctx, k, time.Minute)
				if err != nil || c.State != dedupe.Claimed {
					return errOr(err, c)
				}
				return s.Complete(ctx, c)
			})
		})
	})
}

// BenchmarkDuplicate claims a completed key. The floor reads the row by its
// key.
func BenchmarkDuplicate(b *testing.B) {
	onEachBench(b, func(b *testing.B, backend *backend, workers int) {
		s := backend.store(backend.db, sqldedupe.WithoutPruning(), sqldedupe.InsecureUnsynced())
		ctx := b.Context()
		k := key("duplicate")
		c, err := s.Claim(ctx, k, time.Hour)
		require.NoError(b, err)
		require.NoError(b, s.Complete(ctx, c))
		b.Run("floor", func(b *testing.B) {
			query := "SELECT completed_by FROM " + backend.tableName() + " WHERE key = ?1"
			if backend.dialect == sqldedupe.Postgres {
				query = strings.ReplaceAll(query, "?", "$")
			}
			st, err := backend.db.PrepareContext(ctx, query)
			require.NoError(b, err)
			defer st.Close()
			each(b, workers, func(dedupe.Key) error {
				var by int64
				return st.QueryRowContext(ctx, k[:]).Scan(&by)
			})
		})
		b.Run("ours", func(b *testing.B) {
			each(b, workers, func(dedupe.Key) error {
				c, err := s.Claim(ctx, k, time.Minute)
				if err != nil || c.State != dedupe.Completed {
					return errOr(err, c)
				}
				return nil
			})
		})
	})
}

// BenchmarkInTx commits an effect for each delivery together with the
// completion. It is compared with an effect that is committed before the
// completion.
func BenchmarkInTx(b *testing.B) {
	onEachBench(b, func(b *testing.B, backend *backend, workers int) {
		s := backend.store(backend.db, sqldedupe.WithoutPruning(), sqldedupe.InsecureUnsynced())
		backend.effects()
		effect := backend.effect("one")
		each := func(b *testing.B, f func(k dedupe.Key) error) { each(b, workers, f) }
		ctx := b.Context()
		// A second transaction is not exactly once.
		b.Run("complete", func(b *testing.B) {
			each(b, func(k dedupe.Key) error {
				c, err := s.Claim(ctx, k, time.Minute)
				if err != nil {
					return err
				}
				tx, err := backend.db.BeginTx(ctx, nil)
				if err != nil {
					return err
				}
				if err := effect(ctx, tx); err != nil {
					return err
				}
				if err := tx.Commit(); err != nil {
					return err
				}
				return s.Complete(ctx, c)
			})
		})
		b.Run("intx", func(b *testing.B) {
			each(b, func(k dedupe.Key) error {
				c, err := s.Claim(ctx, k, time.Minute)
				if err != nil {
					return err
				}
				return s.InTx(ctx, c, effect)
			})
		})
	})
}

type unexpected dedupe.Claim

func (u unexpected) Error() string { return "unexpected: " + u.State.String() }

func errOr(err error, c dedupe.Claim) error {
	if err != nil {
		return err
	}
	return unexpected(c)
}

// unsynced lists the databases without waits for the disk. They show the cost
// of the statements, which a slow or shared disk would hide.
var unsynced = []place{
	{"sqlite-unsynced", func(t testing.TB) *backend {
		path := filepath.Join(t.TempDir(), "test.db")
		db, err := sql.Open("sqlite", sqliteDSN(path, "OFF"))
		require.NoError(t, err)
		db.SetMaxOpenConns(1)
		closeAfter(t, db)
		return &backend{t: t, dialect: sqldedupe.SQLite, db: db}
	}},
	{"postgres-unsynced", func(t testing.TB) *backend {
		b := openPostgres(t)
		b.db = postgresDB(t, servicetest.PostgresURL(t)+"&synchronous_commit=off")
		return b
	}},
}

func onEachBench(b *testing.B, bench func(b *testing.B, backend *backend, workers int)) {
	for _, each := range slices.Concat(backends, unsynced) {
		for name, workers := range map[string]int{"1": 1, "64": 64} {
			b.Run(each.name+"/"+name, func(b *testing.B) {
				backend := each.open(b)
				if backend.dialect == sqldedupe.Postgres {
					backend.db.SetMaxOpenConns(10)
					backend.db.SetMaxIdleConns(10)
				}
				bench(b, backend, workers)
			})
		}
	}
}

var benchKeys atomic.Uint64

// each calls f b.N times from several goroutines, each time with a new key.
func each(b *testing.B, workers int, f func(k dedupe.Key) error) {
	b.Helper()
	b.ReportAllocs()
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan error, workers)
	b.ResetTimer()
	for range workers {
		go func() {
			for left.Add(-1) >= 0 {
				var id [8]byte
				binary.BigEndian.PutUint64(id[:], benchKeys.Add(1))
				if err := f(dedupe.NewKey("bench", b.Name(), string(id[:]))); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range workers {
		require.NoError(b, <-done)
	}
}

type rowQuery func(ctx context.Context, args ...any) *sql.Row

// floorStatements returns prepared statements for a table with the same columns
// and index as the store's.
func floorStatements(b *testing.B, backend *backend) (insert, update rowQuery) {
	b.Helper()
	table := "floor_effects"
	create := []string{
		`CREATE TABLE floor_effects (key BLOB PRIMARY KEY, token INTEGER NOT NULL, completed_by INTEGER, expires INTEGER NOT NULL, sweep INTEGER NOT NULL) WITHOUT ROWID`,
		`CREATE INDEX floor_sweep ON floor_effects (sweep)`,
	}
	if backend.dialect == sqldedupe.Postgres {
		table = backend.effectsTable()
		create = []string{
			`CREATE TABLE ` + table + ` (key bytea PRIMARY KEY, token bigint NOT NULL, completed_by bigint, expires timestamptz NOT NULL, sweep timestamptz NOT NULL) WITH (fillfactor = 70)`,
			`CREATE INDEX ON ` + table + ` (sweep)`,
		}
	}
	for _, text := range create {
		_, err := backend.db.ExecContext(b.Context(), text)
		require.NoError(b, err)
	}
	prepare := func(text string) rowQuery {
		if backend.dialect == sqldedupe.SQLite {
			text = strings.ReplaceAll(text, "$", "?")
		}
		st, err := backend.db.PrepareContext(b.Context(), text)
		require.NoError(b, err)
		b.Cleanup(func() { require.NoError(b, st.Close()) })
		return func(ctx context.Context, args ...any) *sql.Row { return st.QueryRowContext(ctx, args...) }
	}
	insert = prepare(`INSERT INTO ` + table + ` AS t (key, token, expires, sweep) VALUES ($1, 1, $2, $2)
		ON CONFLICT (key) DO UPDATE SET token = t.token + 1 RETURNING token`)
	update = prepare(`UPDATE ` + table + ` SET completed_by = $2, expires = $3 WHERE key = $1 AND token = $2 AND completed_by IS NULL RETURNING token`)
	return insert, update
}
