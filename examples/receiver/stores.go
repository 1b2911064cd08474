package main

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/url"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // driver for -store postgres://…
	"github.com/redis/go-redis/v9"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/redisdedupe"
	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/receiver/console"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/sqlledger"
)

// ledger keeps records and reads them again for the metrics and the console.
type ledger interface {
	deployments.Ledger
	deployments.History
	console.Ledger
}

// stores has the dedupe store and the ledger of deployment records.
type stores struct {
	name   string // for the log, instead of the URL, which may contain a password
	dedupe dedupe.Store
	ledger ledger
	// They write to the stores.
	dedupeReady, ledgerReady func(context.Context) error
	closer                   []func() error
}

func (s *stores) close() error {
	var errs []error
	for i := len(s.closer) - 1; i >= 0; i-- {
		errs = append(errs, s.closer[i]())
	}
	return errors.Join(errs...)
}

// openStores opens the store of -store. No other code depends on its kind.
func openStores(ctx context.Context, where string, logger *slog.Logger) (*stores, error) {
	if where == "memory" {
		return openMemory()
	}
	if file, ok := strings.CutPrefix(where, "sqlite:"); ok {
		return openSQLite(ctx, file)
	}
	// An error of url.Parse contains the URL with its password, so it is not
	// returned.
	u, err := url.Parse(where)
	if err != nil {
		return nil, errors.New("not a URL; want memory, sqlite:FILE, postgres://… or redis://…")
	}
	switch u.Scheme {
	case "postgres", "postgresql":
		return openPostgres(ctx, where)
	case "redis", "rediss":
		redis.SetLogger(redisdedupe.NewClientLogger(logger))
		return openRedis(ctx, where)
	}
	return nil, errors.New("want memory, sqlite:FILE, postgres://… or redis://…")
}

func openMemory() (*stores, error) {
	store, err := dedupe.NewMemory()
	if err != nil {
		return nil, err
	}
	ledger, err := deployments.NewMemoryLedger()
	if err != nil {
		return nil, err
	}
	return &stores{
		name: "memory", dedupe: store, ledger: ledger,
		dedupeReady: store.Ready, ledgerReady: ledger.Ready, closer: []func() error{store.Close},
	}, nil
}

func openSQLite(ctx context.Context, file string) (*stores, error) {
	if file == "" {
		return nil, errors.New("sqlite: needs a file name, as in sqlite:deployhook.db")
	}
	store, err := sqldedupe.OpenSQLite(ctx, file)
	if err != nil {
		return nil, err
	}
	ledger, err := sqlledger.OpenSQLite(ctx, file)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return &stores{
		name: "sqlite", dedupe: store, ledger: ledger,
		dedupeReady: store.Ready, ledgerReady: ledger.Ready,
		closer: []func() error{store.Close, ledger.Close},
	}, nil
}

func openPostgres(ctx context.Context, dsn string) (*stores, error) {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return nil, errors.New("not a PostgreSQL URL")
	}
	db.SetMaxOpenConns(16)
	store, err := sqldedupe.NewPostgres(ctx, db)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	ledger, err := sqlledger.NewPostgres(ctx, db)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &stores{name: "postgres", dedupe: store, ledger: ledger, dedupeReady: store.Ready, ledgerReady: ledger.Ready, closer: []func() error{db.Close}}, nil
}

// openRedis remembers deliveries in Redis. Deployment records stay in memory,
// because Redis is not suited for them.
func openRedis(ctx context.Context, where string) (*stores, error) {
	options, err := redis.ParseURL(where)
	if err != nil {
		return nil, errors.New("not a Redis URL")
	}
	options.ContextTimeoutEnabled = true // calls end with their context
	client := redis.NewClient(options)
	store, err := redisdedupe.New(client)
	if err == nil {
		err = store.Ready(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	ledger, err := deployments.NewMemoryLedger()
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return &stores{
		name: "redis", dedupe: store, ledger: ledger,
		dedupeReady: store.Ready, ledgerReady: ledger.Ready, closer: []func() error{client.Close},
	}, nil
}
