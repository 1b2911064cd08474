package sqldedupe_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
)

func TestReady(t *testing.T) {
	t.Parallel()
	sqldbtest.Readiness{
		SQLite: func(t *testing.T, path string) func(context.Context) error {
			s, err := sqldedupe.OpenSQLite(t.Context(), path)
			require.NoError(t, err)
			t.Cleanup(func() { _ = s.Close() })
			return s.Ready
		},
		Postgres: func(t *testing.T, url string) func(context.Context) error {
			db, err := sql.Open("pgx", url)
			require.NoError(t, err)
			closeAfter(t, db)
			s, err := sqldedupe.NewPostgres(t.Context(), db)
			require.NoError(t, err)
			return s.Ready
		},
	}.Run(t)
}

// A file without room for new pages is not ready, although small rows may still
// fit.
func TestReady_FullFile(t *testing.T) {
	t.Parallel()
	b := openSQLite(t)
	s := b.store(b.db)
	var pages int
	require.NoError(t, b.db.QueryRowContext(t.Context(), "PRAGMA page_count").Scan(&pages))
	_, err := b.db.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages))
	require.NoError(t, err)
	err = s.Ready(t.Context())
	require.ErrorIs(t, err, dedupe.ErrFull)
	require.ErrorContains(t, err, "free space")
	_, err = b.db.ExecContext(t.Context(), "PRAGMA max_page_count = 1000000")
	require.NoError(t, err)
	require.NoError(t, s.Ready(t.Context()))
}

func TestReady_Capacity(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *backend) {
		s := b.store(b.db, sqldedupe.WithCapacity(1))
		require.NoError(t, s.Ready(t.Context()))
		c := claim(t, s, key("1"), amply, dedupe.Claimed)
		require.ErrorIs(t, s.Ready(t.Context()), dedupe.ErrFull)
		require.NoError(t, s.Release(t.Context(), c))
		require.Eventually(t, func() bool { return s.Ready(t.Context()) == nil }, patience, 10*time.Millisecond)
		require.NoError(t, s.Close())
		require.ErrorIs(t, s.Ready(t.Context()), dedupe.ErrClosed)
	})
	require.ErrorIs(t, (&sqldedupe.Store{}).Ready(t.Context()), dedupe.ErrInvalid)
}

// The store refuses deliveries after its file was deleted, because it would
// forget them when the process ends.
func TestClaim_DeletedFile(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not delete open files")
	}
	path := filepath.Join(t.TempDir(), "gone.db")
	s, err := sqldedupe.OpenSQLite(t.Context(), path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	c := claim(t, s, key("1"), amply, dedupe.Claimed)
	require.NoError(t, os.Remove(path))
	_, err = s.Claim(t.Context(), key("2"), amply)
	require.ErrorContains(t, err, "the SQLite file was deleted or replaced while it is open")
	require.ErrorContains(t, s.Complete(t.Context(), c), "stop the process")
}
