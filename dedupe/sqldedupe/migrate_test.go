package sqldedupe_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/internal/servicetest"
)

// starter is the environment variable that makes the test binary one of the
// instances that start together.
const starter = "SQLDEDUPE_TEST_START"

// TestStart is not a test. TestInstancesStartTogether runs it in separate
// processes.
func TestStart(t *testing.T) {
	place := os.Getenv(starter)
	if place == "" {
		t.Skip("only with " + starter)
	}
	start := sqldedupe.OpenSQLite
	if table := os.Getenv(starter + "_TABLE"); table != "" {
		db := postgresDB(t, place)
		start = func(ctx context.Context, _ string, _ ...sqldedupe.Option) (*sqldedupe.Store, error) {
			return sqldedupe.NewPostgres(ctx, db, sqldedupe.WithTable(table))
		}
	}
	s, err := start(t.Context(), place)
	require.NoError(t, err)
	c, err := s.Claim(t.Context(), key("the same"), amply)
	require.NoError(t, err)
	fmt.Println("answer:", c.State)
	require.NoError(t, s.Close())
}

func TestInstancesStartTogether(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		environment := append(os.Environ(), starter+"="+filepath.Join(t.TempDir(), "new.db"))
		if b.dialect == sqldedupe.Postgres {
			environment = append(os.Environ(), starter+"="+servicetest.PostgresURL(t), starter+"_TABLE="+b.table)
		}
		var together sync.WaitGroup
		claimed := make(chan bool, 8)
		for range cap(claimed) {
			together.Go(func() {
				cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStart$", "-test.v")
				cmd.Env = environment
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Errorf("%v\n%s", err, out)
				}
				claimed <- strings.Contains(string(out), "answer: claimed")
			})
		}
		together.Wait()
		close(claimed)
		n := 0
		for c := range claimed {
			if c {
				n++
			}
		}
		require.Equal(t, 1, n, "one of 8 instances got the delivery")
	})
}

// TestMigrateTogether does the same repeatedly within one process.
func TestMigrateTogether(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		var handles []*sql.DB
		for range 4 {
			handles = append(handles, b.open())
		}
		var together sync.WaitGroup
		for i := range 8 {
			together.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				if err := sqldedupe.Migrate(ctx, handles[i%4], b.dialect, sqldedupe.WithTable(b.tableName())); err != nil {
					t.Errorf("instance %d: %v", i, err)
				}
			})
		}
		together.Wait()
		s := b.store(b.db, sqldedupe.WithoutMigration())
		claim(t, s, key("1"), amply, dedupe.Claimed)
		require.NoError(t, sqldedupe.Migrate(t.Context(), b.db, b.dialect, sqldedupe.WithTable(b.tableName())), "again")
		claim(t, s, key("1"), amply, dedupe.InFlight)
	})
}

func TestMigrateByHand(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		_, err := b.tryStore(b.db, sqldedupe.WithoutMigration())
		require.ErrorIs(t, err, sqldedupe.ErrConfig)
		require.ErrorContains(t, err, "WithoutMigration")
		all, err := sqldedupe.Migrations(b.dialect, sqldedupe.WithTable(b.tableName()))
		require.NoError(t, err)
		for i, m := range all {
			require.Equal(t, i+1, m.Version)
			_, err := b.tryStore(b.db, sqldedupe.WithoutMigration())
			require.ErrorIs(t, err, sqldedupe.ErrConfig, "the schema is older than needed")
			tx, err := b.db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			for _, statement := range m.Statements {
				_, err := tx.ExecContext(t.Context(), statement)
				require.NoError(t, err)
			}
			require.NoError(t, tx.Commit())
		}
		claim(t, b.store(b.db, sqldedupe.WithoutMigration()), key("1"), amply, dedupe.Claimed)
		claim(t, b.store(b.db), key("1"), amply, dedupe.InFlight)
	})
}

// Tokens keep increasing if a service moves here from a store in memory or in
// Redis, because all tokens start with the time in microseconds.
func TestTokensBeginWithTheTime(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		// the server's clock may be another machine's
		before := time.Now().Add(-time.Minute)
		s := b.store(b.db)
		c := claim(t, s, key("1"), amply, dedupe.Claimed)
		require.Greater(t, int64(c.Token), before.UnixMicro())
		require.Less(t, int64(c.Token), time.Now().Add(time.Hour).UnixMicro())
	})
}

// A failed migration leaves nothing behind, and a newer schema is not changed.
func TestSchemaVersions(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		ctx := t.Context()
		_, err := b.db.ExecContext(ctx, "CREATE TABLE "+b.tableName()+"_schema (other TEXT)")
		require.NoError(t, err)
		_, err = b.tryStore(b.db)
		require.Error(t, err, "a table of another application")
		_, err = b.db.ExecContext(ctx, "DROP TABLE "+b.tableName()+"_schema")
		require.NoError(t, err)

		_, err = b.db.ExecContext(ctx, "CREATE INDEX "+b.tableName()+"_sweep ON "+b.other()+" (id)")
		require.NoError(t, err)
		_, err = b.tryStore(b.db)
		require.Error(t, err, "the index's name is taken")
		require.Error(t, b.db.QueryRowContext(ctx, "SELECT count(*) FROM "+b.tableName()).Scan(new(int)), "the table was rolled back")
		_, err = b.db.ExecContext(ctx, "DROP INDEX "+b.tableName()+"_sweep")
		require.NoError(t, err)

		s := b.store(b.db)
		claim(t, s, key("1"), amply, dedupe.Claimed)
		_, err = b.db.ExecContext(ctx, "UPDATE "+b.tableName()+"_schema SET version = 99")
		require.NoError(t, err)
		for _, opts := range [][]sqldedupe.Option{nil, {sqldedupe.WithoutMigration()}} {
			_, err = b.tryStore(b.db, opts...)
			require.ErrorIs(t, err, sqldedupe.ErrConfig)
			require.ErrorContains(t, err, "99")
		}
		_, err = b.db.ExecContext(ctx, "UPDATE "+b.tableName()+"_schema SET version = 1")
		require.NoError(t, err)
		claim(t, b.store(b.db), key("1"), amply, dedupe.InFlight)
	})
}

// other creates a table of the application.
func (b *backend) other() string {
	b.effects()
	return b.effectsTable()
}
