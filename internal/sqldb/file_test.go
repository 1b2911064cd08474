package sqldb_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb"
)

// patience ends only a hang.
const patience = 10 * time.Minute

func openFile(t *testing.T, path string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.OpenFile(t.Context(), path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Migrate(t.Context(), planOf("test", steps)))
	return db
}

func addThing(t *testing.T, q sqldb.Querier, name string, body []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := q.Exec(ctx, "INSERT INTO {schema}thing (name, body) VALUES (?, ?)", name, body)
	require.NoError(t, err)
}

func TestReader_DoesNotWaitForWriters(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	db, other := openFile(t, path), openFile(t, path)
	addThing(t, db, "first", nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for name, writer := range map[string]*sqldb.DB{"the same handle": db, "another process": other} {
		require.NoError(t, writer.InTx(ctx, func(_ context.Context, tx *sqldb.Tx) error {
			addThing(t, tx, name, nil)
			assert.Equal(t, 0, count(t, db.Reader(), "name = ?", name), "not committed")
			assert.Equal(t, 1, count(t, db.Reader(), "name = 'first'"))
			return nil
		}))
		assert.Equal(t, 1, count(t, db.Reader(), "name = ?", name))
	}
}

func TestReader_DoesNotDelayWriters(t *testing.T) {
	t.Parallel()
	db := openFile(t, filepath.Join(t.TempDir(), "test.db"))
	addThing(t, db, "a", nil)
	addThing(t, db, "b", nil)
	rows, err := db.Reader().Query(t.Context(), "SELECT name FROM {schema}thing ORDER BY name")
	require.NoError(t, err)
	defer rows.Close()
	require.True(t, rows.Next())
	addThing(t, db, "c", nil)
	require.NoError(t, db.InTx(t.Context(), func(_ context.Context, tx *sqldb.Tx) error {
		addThing(t, tx, "d", nil)
		return nil
	}))
	assert.Equal(t, 4, count(t, db.Reader(), "true"))
	names := 1
	for rows.Next() {
		names++
	}
	require.NoError(t, rows.Err())
	assert.Equal(t, 2, names, "a result has the rows of the time at which it began")
}

func TestReader_SeesWhatWasCommitted(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b backend) {
		db := b.migrated(t)
		for i := range 100 {
			addThing(t, db, fmt.Sprint(i), nil)
			require.Equal(t, i+1, count(t, db.Reader(), "true"))
		}
	})
	db := openFile(t, filepath.Join(t.TempDir(), "test.db"))
	for i := range 100 {
		addThing(t, db, fmt.Sprint(i), nil)
		require.Equal(t, i+1, count(t, db.Reader(), "true"))
	}
	var name string
	require.ErrorIs(t, db.Reader().QueryRow(t.Context(), "SELECT name FROM {schema}thing WHERE id = 0").Scan(&name), sqldb.ErrNoRows)
}

func TestReader_ChangesNothing(t *testing.T) {
	t.Parallel()
	db := openFile(t, filepath.Join(t.TempDir(), "test.db"))
	addThing(t, db, "a", nil)
	_, err := db.Reader().Exec(t.Context(), "DELETE FROM {schema}thing")
	require.ErrorContains(t, err, "readonly")
	assert.Equal(t, 1, count(t, db, "true"))
}

func pragma(t *testing.T, q sqldb.Querier, name string) (value int) {
	t.Helper()
	require.NoError(t, q.QueryRow(t.Context(), "PRAGMA "+name).Scan(&value))
	return value
}

func TestOpenFile_PragmasOfItsOwnFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.db")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	for name, path := range map[string]string{"a missing file": filepath.Join(dir, "missing.db"), "an empty file": empty} {
		for _, when := range []string{"created", "opened again"} {
			db := openFile(t, path)
			assert.Equal(t, 2, pragma(t, db, "auto_vacuum"), "%s, %s", name, when)
			assert.Equal(t, 1, pragma(t, db, "secure_delete"), "%s, %s", name, when)
			require.NoError(t, db.Close())
		}
	}
}

func TestOpenFile_KeepsPragmasOfOtherFiles(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]int{"none": 0, "full": 1} {
		path := filepath.Join(t.TempDir(), name)
		own, err := sql.Open("sqlite", path)
		require.NoError(t, err)
		_, err = own.ExecContext(t.Context(), fmt.Sprintf("PRAGMA page_size = 8192; PRAGMA auto_vacuum = %d; CREATE TABLE own (id integer)", mode))
		require.NoError(t, err)
		require.NoError(t, own.Close())

		db := openFile(t, path)
		assert.Equal(t, mode, pragma(t, db, "auto_vacuum"), name)
		assert.Equal(t, 8192, pragma(t, db, "page_size"), name)
		assert.Equal(t, 0, pragma(t, db, "secure_delete"), name)
		addThing(t, db, "a", make([]byte, 100_000))
		_, err = db.Exec(t.Context(), "DELETE FROM {schema}thing")
		require.NoError(t, err)
		free := pragma(t, db, "freelist_count")
		require.NoError(t, db.Shrink(t.Context()))
		require.NoError(t, db.Scrub(t.Context()))
		assert.Equal(t, free, pragma(t, db, "freelist_count"), name)
	}
}

// canary returns a text of about 50 kB, which no other name has.
func canary(name string) []byte { return []byte(strings.Repeat("canary of "+name+"; ", 3000)) }

// requireNowhere fails if the file of a database, or its -wal file, contains a
// text.
func requireNowhere(t *testing.T, path, text string) {
	t.Helper()
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + suffix)
		require.NoError(t, err)
		require.False(t, bytes.Contains(data, []byte(text)), "%q is in the file%s", text, suffix)
	}
}

func TestScrub(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	db := openFile(t, path)
	for i := range 50 {
		addThing(t, db, fmt.Sprint("thing ", i), canary(fmt.Sprint(i)))
	}
	for i := range 50 {
		if i%5 > 0 {
			_, err := db.Exec(t.Context(), "DELETE FROM {schema}thing WHERE name = ?", fmt.Sprint("thing ", i))
			require.NoError(t, err)
		}
	}
	before := pragma(t, db, "page_count")
	require.NoError(t, db.Shrink(t.Context()))
	shrunk := pragma(t, db, "page_count")
	assert.Less(t, shrunk, before)
	assert.NotZero(t, pragma(t, db, "freelist_count"), "the next rows need pages")
	require.NoError(t, db.Scrub(t.Context()))
	assert.Less(t, pragma(t, db, "page_count"), shrunk)
	assert.Zero(t, pragma(t, db, "freelist_count"))
	for i := range 50 {
		if i%5 > 0 {
			requireNowhere(t, path, fmt.Sprintf("canary of %d;", i))
		}
	}
	assert.Equal(t, 10, count(t, db, "length(body) > 0"))
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.EqualValues(t, pragma(t, db, "page_count")*pragma(t, db, "page_size"), info.Size())
}

func TestScrub_DoesNotDisturbReaders(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	db := openFile(t, path)
	addThing(t, db, "a", canary("a"))
	addThing(t, db, "b", nil)
	rows, err := db.Reader().Query(t.Context(), "SELECT name FROM {schema}thing ORDER BY name")
	require.NoError(t, err)
	defer rows.Close()
	require.True(t, rows.Next())
	_, err = db.Exec(t.Context(), "DELETE FROM {schema}thing WHERE name = 'a'")
	require.NoError(t, err)
	require.ErrorIs(t, db.Scrub(t.Context()), sqldb.ErrInUse)
	require.True(t, rows.Next())
	require.NoError(t, rows.Close())
	require.NoError(t, db.Scrub(t.Context()))
	requireNowhere(t, path, "canary of a;")
}

// SQLite begins a -wal file anew only while no reader uses it. Here there is
// always one, since each reader stays until there is another that began after
// the next commit. In a long pause of the writer, the readers go on.
func TestOpenFile_BoundsTheWAL(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	db := openFile(t, path)
	addThing(t, db, "a", nil)
	addThing(t, db, "b", nil)
	read := func() sqldb.Rows {
		rows, err := db.Reader().Query(context.Background(), "SELECT name FROM {schema}thing")
		if assert.NoError(t, err) {
			assert.True(t, rows.Next())
		}
		return rows
	}
	var reading sync.WaitGroup
	defer reading.Wait()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	rows, commits := read(), make(chan struct{})
	reading.Go(func() {
		for ctx.Err() == nil {
			select {
			case <-commits:
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
			next := read()
			assert.NoError(t, rows.Close())
			rows = next
		}
		assert.NoError(t, rows.Close())
	})
	for i := range 400 {
		body := bytes.Repeat([]byte{byte(i)}, 1<<20)
		require.NoError(t, db.InTx(t.Context(), func(_ context.Context, tx *sqldb.Tx) error {
			_, err := tx.Exec(t.Context(), "UPDATE {schema}thing SET body = ? WHERE name = 'b'", body)
			return err
		}))
		commits <- struct{}{}
	}
	info, err := os.Stat(path + "-wal")
	require.NoError(t, err)
	assert.Less(t, info.Size(), int64(200<<20), "400 MB were written")
}

func TestOpenFile_FilesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	require.NoError(t, openFile(t, path).Close())
	require.NoError(t, os.Chmod(path, 0o400))
	if file, err := os.OpenFile(path, os.O_RDWR, 0); err == nil {
		require.NoError(t, file.Close())
		t.Skip("the user may write to every file")
	}
	_, err := sqldb.OpenFile(t.Context(), path)
	require.ErrorIs(t, err, sqldb.ErrConfig)
	require.ErrorContains(t, err, "the file can't be opened")
	_, err = sqldb.OpenSQLite(t.Context(), path, 1, sqldb.BusyTimeout)
	require.ErrorIs(t, err, sqldb.ErrConfig)
}
