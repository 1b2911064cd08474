package outbox_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// What is in this file runs in the processes that are killed.

const crashEnv = "DEPLOYHOOK_OUTBOX_CRASH_CHILD"

// crashChild is what a process is to do.
type crashChild struct {
	Path, URL, Dir, Name string
	Build                int64
	Key                  []byte
	Publish              bool
	Strict               bool
	Receiver             *crashReceiver // instead of an outbox
}

var childCount atomic.Int64

func (c *crash) start(t *testing.T, publishes bool) *exec.Cmd {
	return c.spawn(t, crashChild{Path: c.w.path, URL: c.w.url, Key: c.key[:], Publish: publishes})
}

func (c *crash) spawn(t *testing.T, child crashChild, files ...*os.File) *exec.Cmd {
	child.Build = childCount.Add(1)
	child.Dir, child.Name = c.dir, fmt.Sprint(child.Build)
	return spawnChild(t, "TestProofCrashChild", crashEnv, child, files...)
}

// spawnChild starts a process that runs one test, which finds its task in a
// variable of the environment. It returns when the process is ready.
func spawnChild(t *testing.T, test, env string, child crashChild, files ...*os.File) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(child)
	require.NoError(t, err)
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.timeout=0")
	cmd.Env = append(os.Environ(), env+"="+string(text))
	cmd.Stderr, cmd.ExtraFiles = os.Stderr, files
	_, err = cmd.StdinPipe() // the child ends when this end of it is closed, be it by the parent's end
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { killChild(cmd) })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err, "the child did not start")
	require.Equal(t, "ready\n", line)
	return cmd
}

// TestProofCrashChild is a process of TestProofCrash, and nothing otherwise.
func TestProofCrashChild(t *testing.T) {
	text := os.Getenv(crashEnv)
	if text == "" {
		t.Skip("only TestProofCrash runs this")
	}
	child := readChild(t, text)
	if child.Receiver != nil {
		child.Receiver.serve(t, child)
	}
	w := child.world(t)
	o, err := w.rawOpen(crashOptions(crashKey(child.Key), child.Build)...)
	require.NoError(t, err)
	require.NoError(t, o.Start(context.Background()))
	fmt.Println("ready")
	if !child.Publish {
		select {}
	}
	intend, ack := child.create(t, "intend"), child.create(t, "ack")
	store := w.appStore(t)
	every := time.NewTicker(time.Second / crashRate)
	defer every.Stop()
	for n := 0; ; n++ {
		<-every.C
		inTx := n%2 == 0
		id := fmt.Sprintf("plain-%s-%d", child.Name, n)
		if inTx {
			id = fmt.Sprintf("tx-%s-%d", child.Name, n)
		}
		_, err := fmt.Fprintln(intend, id)
		require.NoError(t, err)
		if inTx {
			err = store(o.App("shop"), id)
		} else {
			_, err = o.App("shop").Publish(context.Background(), crashEvent(id), outbox.WithEventID(id))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "publishing:", err)
			continue
		}
		_, err = fmt.Fprintln(ack, id)
		require.NoError(t, err)
	}
}

// readChild returns the task of this process, which ends with its parent.
func readChild(t *testing.T, text string) *crashChild {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	child := new(crashChild)
	require.NoError(t, json.Unmarshal([]byte(text), child))
	return child
}

// world returns the parent's database.
func (c *crashChild) world(t *testing.T) *world {
	w := &world{path: c.Path, url: c.URL}
	if w.url != "" {
		w.pool = sqldbtest.OpenPool(t, w.url)
	}
	return w
}

func (c *crashChild) create(t *testing.T, kind string) *os.File {
	f, err := os.Create(filepath.Join(c.Dir, kind+"-"+c.Name))
	require.NoError(t, err)
	return f
}

func crashEvent(id string) *payload.Event { return event(payload.DeployLive, "dep_"+id) }

// appStore returns the application's own way to store an order with its event.
// On PostgreSQL every second transaction is one of database/sql.
func (w *world) appStore(t testing.TB) func(app *outbox.App, id string) error {
	if w.pool == nil {
		db, err := lite(w.path)
		require.NoError(t, err)
		return storeSQL(db, `INSERT INTO orders VALUES (?)`)
	}
	native, standard := w.storePgx(), storeSQL(stdlib.OpenDBFromPool(w.pool), `INSERT INTO orders VALUES ($1)`)
	calls := 0
	return func(app *outbox.App, id string) error {
		calls++
		if calls%2 == 0 {
			return standard(app, id)
		}
		return native(app, id)
	}
}

func (w *world) storePgx() func(app *outbox.App, id string) error {
	ctx := context.Background()
	return func(app *outbox.App, id string) error {
		return pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `INSERT INTO orders VALUES ($1)`, id); err != nil {
				return err
			}
			_, err := app.PublishPgxTx(ctx, tx, crashEvent(id), outbox.WithEventID(id))
			return err
		})
	}
}

func storeSQL(db *sql.DB, insert string) func(app *outbox.App, id string) error {
	ctx := context.Background()
	return func(app *outbox.App, id string) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		if _, err := tx.ExecContext(ctx, insert, id); err != nil {
			return err
		}
		if _, err := app.PublishTx(ctx, tx, crashEvent(id), outbox.WithEventID(id)); err != nil {
			return err
		}
		return tx.Commit()
	}
}
