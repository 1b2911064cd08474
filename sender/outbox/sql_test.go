package outbox_test

import (
	"bytes"
	"database/sql"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func bytesContains(data []byte, text string) bool { return bytes.Contains(data, []byte(text)) }

// table is the name of a table in SQL.
func (w *world) table(name string) string {
	if w.pool != nil {
		return "deployhook_outbox." + name
	}
	return name
}

// exec runs a statement on the outbox's database directly. {t} stands for the
// table of endpoints.
func (w *world) exec(t testing.TB, statement string) {
	t.Helper()
	if w.pool != nil {
		_, err := w.pool.Exec(t.Context(), strings.ReplaceAll(statement, "{t}", w.table("outbox_endpoint")))
		require.NoError(t, err)
		return
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: w.path}).EscapedPath()+"?_pragma=busy_timeout(10000)")
	require.NoError(t, err)
	defer db.Close()
	_, err = db.ExecContext(t.Context(), strings.ReplaceAll(statement, "{t}", w.table("outbox_endpoint")))
	require.NoError(t, err)
}
