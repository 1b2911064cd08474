package main

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/receiver/service"
	"github.com/deployhook/deployhook/signer"
)

// keys are the secrets that the sender may use. previous is empty unless the
// secret is being rotated.
type keys struct {
	current, previous string
	cutover           time.Time // end of previous
}

// newScheme accepts both secrets until the cutover.
func newScheme(k keys) (*signer.Standard, error) {
	current, err := signer.ParseSecret(k.current)
	if err != nil {
		return nil, err
	}
	if k.previous == "" {
		return signer.NewStandard(current.Named("current"))
	}
	previous, err := signer.ParseSecret(k.previous)
	if err != nil {
		return nil, err
	}
	return signer.NewStandard(current.Named("current"), signer.WithKey(previous.Named("previous").NotAfter(k.cutover)))
}

// instance is one process of the service. All instances share the files of one
// folder.
type instance struct {
	db    *sql.DB
	store *sqldedupe.Store
	inbox *inbox.Inbox
}

const pragmas = "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"

func open(ctx context.Context, dir string, logger *slog.Logger) (_ *instance, err error) {
	i := &instance{}
	defer func() {
		if err != nil {
			err = errors.Join(err, i.close())
		}
	}()
	if i.db, err = sql.Open("sqlite", "file:"+filepath.ToSlash(filepath.Join(dir, "app.db"))+pragmas); err != nil {
		return nil, err
	}
	i.db.SetMaxOpenConns(1)
	// NewSQLite comes first. It waits if another instance is just making the file.
	if i.store, err = sqldedupe.NewSQLite(ctx, i.db); err != nil {
		return nil, err
	}
	for _, table := range []string{"releases", "checks"} {
		if _, err = i.db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+table+" (app TEXT, version TEXT)"); err != nil {
			return nil, err
		}
	}
	i.inbox, err = inbox.OpenSQLite(ctx, filepath.Join(dir, "inbox.db"), i.check, inbox.WithLogger(logger))
	if err != nil {
		return nil, err
	}
	return i, i.inbox.Start(ctx)
}

func (i *instance) close() error {
	var errs []error
	if i.inbox != nil {
		errs = append(errs, i.inbox.Close())
	}
	if i.db != nil {
		errs = append(errs, i.db.Close())
	}
	return errors.Join(errs...)
}

// record is for short work in the service's own database. The row and the
// completion of the claim are one commit.
func (i *instance) record(ctx context.Context, e *payload.Event) error {
	d, _ := receiver.FromContext(ctx)
	return d.CompleteWith(func(c dedupe.Claim) error {
		return i.store.InTx(ctx, c, func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO releases (app, version) VALUES (?, ?)", e.App, e.Version)
			return err
		})
	})
}

// check is for long work. A worker calls it after the sender has its answer,
// and again after an error.
func (i *instance) check(ctx context.Context, e *payload.Event) error {
	if e.App == "" {
		return inbox.Permanent(errors.New("the event names no app"))
	}
	if a, _ := inbox.FromContext(ctx); a.Number == 1 {
		return errors.New("the app does not answer yet") // so that the guide shows a retry
	}
	_, err := i.db.ExecContext(ctx, "INSERT INTO checks (app, version) VALUES (?, ?)", e.App, e.Version)
	return err
}

// serve runs the instance on l until ctx ends.
func (i *instance) serve(ctx context.Context, l net.Listener, scheme signer.Verifier, drain time.Duration, logger *slog.Logger) error {
	rcv, err := receiver.New(scheme, receiver.WithDedupe(i.store, "platform"), receiver.WithLogger(logger))
	if err != nil {
		return err
	}
	later, err := i.inbox.Handler(scheme, "platform")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("POST /webhooks/deploy", rcv.Events(i.record))
	mux.Handle("POST /webhooks/check", later)
	srv, err := service.New(mux, service.WithLogger(logger), service.WithDrain(drain),
		service.WithCheck("releases", i.store.Ready), service.WithCheck("checks", i.inbox.Ready))
	if err != nil {
		return err
	}
	return srv.Run(ctx, l)
}
