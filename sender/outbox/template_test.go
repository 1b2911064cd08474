package outbox

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// template is a SQLite file that has the tables. Making them takes longer than
// most tests.
var template = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "outbox")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "outbox.db")
	if err := MigrateSQLite(context.Background(), path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// NewSQLite returns the path of a new file for the test that has the tables.
func NewSQLite(t testing.TB) string {
	t.Helper()
	data, err := template()
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "outbox.db")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return path
}
