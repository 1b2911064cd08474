package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
)

// stores has the inbox of events and the claims of deployments.
type stores struct {
	inbox  *inbox.Inbox
	claims *sqldedupe.Store
	closer []func() error
}

// close closes in reverse order. The inbox waits for its handlers, which need
// the claims.
func (s *stores) close() error {
	var errs []error
	for i := len(s.closer) - 1; i >= 0; i-- {
		errs = append(errs, s.closer[i]())
	}
	return errors.Join(errs...)
}

func openStores(ctx context.Context, o *options, handler receiver.EventHandler, logger *slog.Logger) (_ *stores, err error) {
	s := &stores{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	opts := []inbox.Option{inbox.WithLogger(logger), inbox.WithHandlerTimeout(o.handlerTimeout())}
	if o.database != "" {
		return s, s.openPostgres(ctx, o.database, handler, opts)
	}
	if err := os.MkdirAll(o.data, 0o700); err != nil {
		return nil, fmt.Errorf("-data: %w", err)
	}
	if s.claims, err = sqldedupe.OpenSQLite(ctx, filepath.Join(o.data, "claims.db")); err != nil {
		return nil, fmt.Errorf("-data: %w", err)
	}
	s.closer = append(s.closer, s.claims.Close)
	if s.inbox, err = inbox.OpenSQLite(ctx, filepath.Join(o.data, "inbox.db"), handler, opts...); err != nil {
		return nil, fmt.Errorf("-data: %w", err)
	}
	s.closer = append(s.closer, s.inbox.Close)
	return s, nil
}

func (s *stores) openPostgres(ctx context.Context, dsn string, handler receiver.EventHandler, opts []inbox.Option) error {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		// the error would contain the URL with its password
		return errors.New("-database: not a PostgreSQL URL")
	}
	cfg.MaxConns = max(cfg.MaxConns, 8)
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("-database: %w", err)
	}
	s.closer = append(s.closer, func() error { pool.Close(); return nil })
	db := stdlib.OpenDBFromPool(pool)
	s.closer = append(s.closer, db.Close)
	if s.claims, err = sqldedupe.NewPostgres(ctx, db); err != nil {
		return fmt.Errorf("-database: %w", err)
	}
	s.closer = append(s.closer, s.claims.Close)
	if s.inbox, err = inbox.NewPostgres(ctx, pool, handler, opts...); err != nil {
		return fmt.Errorf("-database: %w", err)
	}
	s.closer = append(s.closer, s.inbox.Close)
	return nil
}

// handlerTimeout is longer than the handler can take. After the patience each
// check may have a last try. The rollback and an alert about its failure
// follow.
func (o *options) handlerTimeout() time.Duration {
	timeout := o.patience + 5*time.Minute
	for _, c := range o.checks {
		timeout += time.Duration(c.Within)
	}
	return timeout
}
