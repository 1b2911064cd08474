package crashtest

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe/redisdedupe"
	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
)

// redisFault sets maxmemory, and maybe the policy.
func redisFault(limit string, policy ...string) func(t *testing.T) storeFault {
	return func(t *testing.T) storeFault {
		t.Helper()
		options, err := redis.ParseURL(servicetest.StartRedis(t).URL())
		require.NoError(t, err)
		options.ContextTimeoutEnabled = true
		client := redis.NewClient(options)
		t.Cleanup(func() { _ = client.Close() })
		store, err := redisdedupe.New(client)
		require.NoError(t, err)
		set := func(name, value string) {
			require.NoError(t, client.ConfigSet(context.Background(), name, value).Err())
		}
		return storeFault{store: store, inject: func() {
			if len(policy) > 0 {
				set("maxmemory-policy", policy[0])
			}
			set("maxmemory", limit)
		}, undo: func() {
			set("maxmemory", "0")
			set("maxmemory-policy", "noeviction")
		}}
	}
}

// postgresStore opens a store on a server of its own. exec runs a statement as
// its administrator.
func postgresStore(t *testing.T) (store readyStore, server *servicetest.Server, exec func(statement string)) {
	t.Helper()
	server = servicetest.StartPostgres(t)
	open := func() *sql.DB {
		db, err := sql.Open("pgx", server.URL())
		require.NoError(t, err)
		db.SetMaxOpenConns(8)
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
	store, err := sqldedupe.NewPostgres(t.Context(), open())
	require.NoError(t, err)
	admin := open()
	return store, server, func(statement string) {
		t.Helper()
		_, err := admin.ExecContext(context.Background(), statement)
		require.NoError(t, err)
	}
}

func postgresReadOnly(t *testing.T) storeFault {
	t.Helper()
	store, _, exec := postgresStore(t)
	return storeFault{store: store, inject: readOnly(exec, "on"), undo: readOnly(exec, "off")}
}

func readOnly(exec func(string), value string) func() {
	return func() {
		exec("ALTER SYSTEM SET default_transaction_read_only = " + value)
		exec("SELECT pg_reload_conf()")
	}
}

func postgresKilled(t *testing.T) storeFault {
	t.Helper()
	store, server, _ := postgresStore(t)
	return storeFault{store: store, inject: server.Kill, undo: server.Restart}
}

func postgresFull(t *testing.T) storeFault {
	t.Helper()
	store, _, exec := postgresStore(t)
	inject, undo := fullTable(exec, "deployhook_dedupe")
	return storeFault{store: store, inject: inject, undo: undo}
}

// fullTable makes a trigger that fails like a full disk.
func fullTable(exec func(string), table string) (inject, undo func()) {
	exec(`CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		RAISE 'could not extend file "base/5/16390": No space left on device' USING ERRCODE = 'disk_full'; END $$`)
	return func() {
		exec("CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON " + table + " FOR EACH STATEMENT EXECUTE FUNCTION full_disk()")
	}, func() { exec("DROP TRIGGER full_disk ON " + table) }
}

func sqliteStore(t *testing.T) (store readyStore, db *sql.DB, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "dedupe.db")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	db, err := sql.Open("sqlite", "file:"+path+"?mode=rw&_pragma=busy_timeout(200)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	store, err = sqldedupe.NewSQLite(t.Context(), db)
	require.NoError(t, err)
	return store, db, path
}

func sqliteLocked(t *testing.T) storeFault {
	t.Helper()
	store, _, path := sqliteStore(t)
	inject, undo := lockFile(t, path)
	return storeFault{store: store, inject: inject, undo: undo}
}

// lockFile is another process, such as a backup, that holds the lock.
func lockFile(t *testing.T, path string) (inject, undo func()) {
	t.Helper()
	other, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(60000)&_txlock=immediate")
	require.NoError(t, err)
	t.Cleanup(func() { _ = other.Close() })
	var tx *sql.Tx
	return func() {
		var err error
		tx, err = other.BeginTx(context.Background(), nil)
		require.NoError(t, err)
	}, func() { require.NoError(t, tx.Rollback()) }
}

func sqliteFull(t *testing.T) storeFault {
	t.Helper()
	store, db, _ := sqliteStore(t)
	limit := func(pages int) {
		_, err := db.ExecContext(context.Background(), fmt.Sprintf("PRAGMA max_page_count = %d", pages))
		require.NoError(t, err)
	}
	return storeFault{store: store, inject: func() { limit(1) }, undo: func() { limit(1 << 30) }} // SQLite keeps the pages that are in use
}

func sqliteDeleted(t *testing.T) storeFault {
	t.Helper()
	store, _, path := sqliteStore(t)
	inject, undo := deleteFile(t, path)
	return storeFault{store: store, inject: inject, undo: undo}
}

// deleteFile moves a file away, which looks like a deletion and can be undone.
func deleteFile(t *testing.T, path string) (inject, undo func()) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not delete open files")
	}
	return func() { require.NoError(t, os.Rename(path, path+".gone")) }, func() { require.NoError(t, os.Rename(path+".gone", path)) }
}

// inboxOn returns an inbox on a PostgreSQL server of its own, and a fault.
func inboxOn(fault func(server *servicetest.Server, exec func(string)) (inject, undo func())) func(t *testing.T) storeFault {
	return func(t *testing.T) storeFault {
		t.Helper()
		server := servicetest.StartPostgres(t)
		pool, err := pgxpool.New(t.Context(), server.URL())
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		require.NoError(t, inbox.Migrate(t.Context(), pool))
		inject, undo := fault(server, func(statement string) {
			t.Helper()
			_, err := pool.Exec(context.Background(), statement)
			require.NoError(t, err)
		})
		return storeFault{inject: inject, undo: undo, inbox: func(h receiver.EventHandler, opts ...inbox.Option) (*inbox.Inbox, error) {
			return inbox.NewPostgres(t.Context(), pool, h, opts...)
		}}
	}
}

func inboxReadOnly(_ *servicetest.Server, exec func(string)) (inject, undo func()) {
	return readOnly(exec, "on"), readOnly(exec, "off")
}

func inboxKilled(server *servicetest.Server, _ func(string)) (inject, undo func()) {
	return server.Kill, server.Restart
}

func inboxFull(_ *servicetest.Server, exec func(string)) (inject, undo func()) {
	return fullTable(exec, "deployhook_inbox.inbox_delivery")
}

func sqliteInbox(t *testing.T) (path string, open openInbox) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "inbox.db")
	return path, func(h receiver.EventHandler, opts ...inbox.Option) (*inbox.Inbox, error) {
		return inbox.OpenSQLite(t.Context(), path, h, opts...)
	}
}

func inboxLocked(t *testing.T) storeFault {
	t.Helper()
	path, open := sqliteInbox(t)
	inject, undo := lockFile(t, path)
	return storeFault{inbox: open, inject: inject, undo: undo}
}

func inboxDeleted(t *testing.T) storeFault {
	t.Helper()
	path, open := sqliteInbox(t)
	inject, undo := deleteFile(t, path)
	return storeFault{inbox: open, inject: inject, undo: undo}
}
