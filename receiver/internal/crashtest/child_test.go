package crashtest

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/redis/go-redis/v9"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/redisdedupe"
	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

const (
	childEnv = "DEPLOYHOOK_CRASHTEST_CHILD"
	source   = "crashtest"
)

// lease is how long the claim of a killed process blocks others. With the
// memory store the claim ends with the process, so the lease may be long.
func (c *childConfig) lease() time.Duration {
	if c.Store == "memory" {
		return time.Minute
	}
	return time.Second
}

// childConfig configures a receiver process. It is passed as JSON in the
// environment.
type childConfig struct {
	Store  string // memory, redis, postgres or sqlite
	URL    string // URL of the database, or the file for sqlite
	Tx     bool   // the handler completes the claim in its own transaction
	Secret string
	Dir    string // directory of the journal and of the marks of planned crashes
}

// child is one receiver process.
type child struct {
	childConfig
	journal *journal
	store   dedupe.Store
	sql     *sqldedupe.Store // set if the store is an SQL database
	db      *sql.DB
	events  sync.Map // dedupe.Key of each verified delivery -> its event's name
}

func (c *child) eventOfKey(key dedupe.Key) string {
	event, _ := c.events.Load(key)
	name, _ := event.(string)
	return name
}

// runChild serves on the inherited listening socket until it is killed.
func runChild(text string) error {
	c := &child{}
	if err := json.Unmarshal([]byte(text), &c.childConfig); err != nil {
		return err
	}
	var err error
	if c.journal, err = openJournal(c.Dir); err != nil {
		return err
	}
	if err := c.open(context.Background()); err != nil {
		return err
	}
	secret, err := signer.ParseSecret(c.Secret)
	if err != nil {
		return err
	}
	scheme, err := signer.NewStandard(secret)
	if err != nil {
		return err
	}
	rcv, err := receiver.New(crashingVerifier{scheme, c},
		receiver.WithDedupe(crashingStore{c.store, c}, source),
		receiver.WithLease(c.lease()),
		receiver.WithStoreTimeout(2*time.Second),
		receiver.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return err
	}
	listener, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: rcv.Events(c.handle), ReadHeaderTimeout: 10 * time.Second}
	return server.Serve(listener)
}

// open opens the store. It retries for a while, because the server may be down
// at the moment.
func (c *child) open(ctx context.Context) error {
	if c.Store == "memory" {
		store, err := dedupe.NewMemory()
		c.store = store
		return err
	}
	deadline := time.Now().Add(patience)
	for {
		err := c.openShared(ctx)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		if errors.Is(err, redisdedupe.ErrConfig) || errors.Is(err, sqldedupe.ErrConfig) {
			return err // waiting does not fix it
		}
		time.Sleep(50 * time.Millisecond) // the server is starting in another process
	}
}

func (c *child) openShared(ctx context.Context) (err error) {
	switch c.Store {
	case "redis":
		options, err := redis.ParseURL(c.URL)
		if err != nil {
			return err
		}
		options.ContextTimeoutEnabled = true
		c.store, err = redisdedupe.New(redis.NewClient(options))
		return err
	case "postgres":
		if c.db, err = sql.Open("pgx", c.URL); err != nil {
			return err
		}
		c.db.SetMaxOpenConns(8)
		c.sql, err = sqldedupe.NewPostgres(ctx, c.db)
	case "sqlite":
		if c.db, err = sql.Open("sqlite", sqliteDSN(c.URL)); err != nil {
			return err
		}
		c.db.SetMaxOpenConns(1)
		c.sql, err = sqldedupe.NewSQLite(ctx, c.db)
	default:
		return fmt.Errorf("no store is named %q", c.Store)
	}
	if err != nil {
		return errors.Join(err, c.db.Close())
	}
	c.store = c.sql
	return nil
}

// handle makes the effect. It inserts a row if the effect commits with the
// claim, and otherwise appends a line to the journal.
func (c *child) handle(ctx context.Context, e *payload.Event) error {
	c.crash(inHandler, e.DeploymentID)
	if !c.Tx {
		if err := c.journal.write(effect, e.DeploymentID); err != nil {
			return err
		}
		c.crash(afterEffect, e.DeploymentID)
		return nil
	}
	d, ok := receiver.FromContext(ctx)
	if !ok {
		return errors.New("no delivery in the context")
	}
	return d.CompleteWith(func(claim dedupe.Claim) error {
		err := c.sql.InTx(ctx, claim, func(ctx context.Context, tx *sql.Tx) error {
			query := "INSERT INTO effects (event, process) VALUES ($1, $2)"
			if _, err := tx.ExecContext(ctx, query, e.DeploymentID, c.journal.process); err != nil {
				return err
			}
			c.crash(afterEffect, e.DeploymentID)
			return nil
		})
		if err == nil {
			c.crash(afterComplete, e.DeploymentID)
		}
		return err
	})
}

// crashingVerifier may kill the process after a successful verification.
type crashingVerifier struct {
	*signer.Standard
	c *child
}

func (v crashingVerifier) Verify(r *http.Request, body []byte) (signer.Verified, error) {
	verified, err := v.Standard.Verify(r, body)
	if err == nil {
		event := eventOf(body)
		v.c.events.Store(dedupe.NewKey(source, verified.Principal, verified.ID), event)
		v.c.crash(afterVerify, event)
	}
	return verified, err
}

// eventOf returns the event's deployment ID, or "" if the body is not an event.
func eventOf(body []byte) string {
	e, err := payload.DecodeEvent(body)
	if err != nil {
		return ""
	}
	return e.DeploymentID
}

// crashingStore may kill the process after a granted claim and after a
// completion.
type crashingStore struct {
	dedupe.Store
	c *child
}

func (s crashingStore) Claim(ctx context.Context, key dedupe.Key, lease time.Duration) (dedupe.Claim, error) {
	claim, err := s.Store.Claim(ctx, key, lease)
	if err == nil && claim.State == dedupe.Claimed {
		s.c.crash(afterClaim, s.c.eventOfKey(key))
	}
	return claim, err
}

func (s crashingStore) Complete(ctx context.Context, claim dedupe.Claim) error {
	err := s.Store.Complete(ctx, claim)
	if err == nil {
		event := s.c.eventOfKey(claim.Key)
		if err := s.c.journal.write(completed, event); err != nil {
			return err
		}
		s.c.crash(afterComplete, event)
	}
	return err
}
