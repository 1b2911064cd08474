package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // driver for the SQLite file, the same as the outbox's

	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// stores has the claims of events and the outbox, in one database.
type stores struct {
	claims *sqldedupe.Store
	outbox *outbox.Outbox
	closer []func() error
}

// close closes in reverse order.
func (s *stores) close() error {
	var errs []error
	for i := len(s.closer) - 1; i >= 0; i-- {
		errs = append(errs, s.closer[i]())
	}
	return errors.Join(errs...)
}

const (
	// maxServices is how many services there can be.
	maxServices = 100
	// maxTimeout is how long an attempt may take. It is short, because after a
	// crash the attempts of that process are repeated only when it has passed.
	maxTimeout = 10 * time.Second
)

func openStores(ctx context.Context, o *options, logger *slog.Logger) (_ *stores, err error) {
	s := &stores{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	opts := []outbox.Option{outbox.WithSealingKeys(o.key), outbox.WithLogger(logger), outbox.WithMaxEndpoints(maxServices), outbox.WithMaxTimeout(maxTimeout)}
	if len(o.networks) > 0 {
		opts = append(opts, outbox.WithSender(sender.AllowNetworks(o.networks...)))
	}
	if o.database != "" {
		if err := s.openPostgres(ctx, o.database, opts); err != nil {
			return nil, fmt.Errorf("-database: %w", err)
		}
		return s, nil
	}
	if err := s.openSQLite(ctx, o.data, opts); err != nil {
		return nil, fmt.Errorf("-data: %w", err)
	}
	return s, nil
}

func (s *stores) openSQLite(ctx context.Context, dir string, opts []outbox.Option) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path, err := filepath.Abs(filepath.Join(dir, "fanout.db"))
	if err != nil {
		return err
	}
	if s.outbox, err = outbox.OpenSQLite(ctx, path, opts...); err != nil {
		return err
	}
	s.closer = append(s.closer, s.outbox.Close)
	// Transactions take the write lock at their start, as App.PublishTx requires.
	q := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)"}, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String())
	if err != nil {
		return err
	}
	s.closer = append(s.closer, db.Close)
	db.SetMaxOpenConns(1)
	if s.claims, err = sqldedupe.NewSQLite(ctx, db); err != nil {
		return err
	}
	s.closer = append(s.closer, s.claims.Close)
	return nil
}

func (s *stores) openPostgres(ctx context.Context, dsn string, opts []outbox.Option) error {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		// the error would contain the URL with its password
		return errors.New("not a PostgreSQL URL")
	}
	cfg.MaxConns = max(cfg.MaxConns, 8)
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return err
	}
	s.closer = append(s.closer, func() error { pool.Close(); return nil })
	if s.outbox, err = outbox.NewPostgres(ctx, pool, opts...); err != nil {
		return err
	}
	s.closer = append(s.closer, s.outbox.Close)
	db := stdlib.OpenDBFromPool(pool)
	s.closer = append(s.closer, db.Close)
	if s.claims, err = sqldedupe.NewPostgres(ctx, db); err != nil {
		return err
	}
	s.closer = append(s.closer, s.claims.Close)
	return nil
}
