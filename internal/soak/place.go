package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"path/filepath"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/redis/go-redis/v9"

	"github.com/deployhook/deployhook/dedupe/redisdedupe"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// place says where a world's databases are. It is the same for all of its
// processes.
type place struct {
	Store    string
	Dir      string // of SQLite files and of the receivers' secrets
	Postgres string // URL of the database
	Redis    string // URL
	Key      []byte // seals the outbox's secrets
}

// The limits are short, so that the work of a killed process is soon taken up.
const (
	attemptTimeout = 3 * time.Second
	handlerTimeout = 5 * time.Second
	claimLease     = 5 * time.Second
)

// connections is how many PostgreSQL sessions each part of a process has.
const connections = 8

func (p place) outboxFile() string  { return filepath.Join(p.Dir, "outbox.db") }
func (p place) inboxFile() string   { return filepath.Join(p.Dir, "inbox.db") }
func (p place) secretsFile() string { return filepath.Join(p.Dir, "secrets.json") }

// openOutbox opens the outbox. Call the function that it returns to close it.
func (p place) openOutbox(ctx context.Context, log *slog.Logger) (*outbox.Outbox, func() error, error) {
	key, err := outbox.NewSealingKey("soak", p.Key)
	if err != nil {
		return nil, nil, err
	}
	opts := []outbox.Option{
		outbox.WithSealingKeys(key), outbox.WithLogger(log), outbox.WithWorkers(50),
		outbox.WithMaxTimeout(attemptTimeout), outbox.WithDisableAfter(0),
		outbox.WithBreaker(5, time.Second, 5*time.Second), outbox.WithSchedule(outbox.SchedulePlatform, patientSchedule),
		outbox.WithSender(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8"))),
	}
	if p.Postgres == "" {
		o, err := outbox.OpenSQLite(ctx, p.outboxFile(), opts...)
		if err != nil {
			return nil, nil, err
		}
		return o, o.Close, nil
	}
	pool, err := p.pool(ctx)
	if err != nil {
		return nil, nil, err
	}
	o, err := outbox.NewPostgres(ctx, pool, opts...)
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	return o, func() error { defer pool.Close(); return o.Close() }, nil
}

// patientSchedule never gives up, so that no fault makes a dead letter.
func patientSchedule() backoff.BackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.MaxElapsedTime = 200*time.Millisecond, 5*time.Second, 0
	return b
}

// openInbox opens the inbox. Call the function that it returns to close it.
func (p place) openInbox(ctx context.Context, handle receiver.EventHandler, log *slog.Logger) (*inbox.Inbox, func() error, error) {
	opts := []inbox.Option{
		inbox.WithHandlerTimeout(handlerTimeout), inbox.WithRescueAfter(2 * time.Second), inbox.WithLogger(log),
		inbox.WithMaxAttempts(1000), inbox.WithRetrySchedule(patientSchedule),
	}
	if p.Postgres == "" {
		in, err := inbox.OpenSQLite(ctx, p.inboxFile(), handle, opts...)
		if err != nil {
			return nil, nil, err
		}
		return in, in.Close, nil
	}
	pool, err := p.pool(ctx)
	if err != nil {
		return nil, nil, err
	}
	in, err := inbox.NewPostgres(ctx, pool, handle, opts...)
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	return in, func() error { defer pool.Close(); return in.Close() }, nil
}

func (p place) pool(ctx context.Context) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(p.Postgres)
	if err != nil {
		return nil, err
	}
	config.MaxConns = connections
	return pgxpool.NewWithConfig(ctx, config)
}

// openClaims opens the store of claims in Redis. Call the function that it
// returns to close it.
func (p place) openClaims(ctx context.Context) (*redisdedupe.Store, func() error, error) {
	options, err := redis.ParseURL(p.Redis)
	if err != nil {
		return nil, nil, err
	}
	options.ContextTimeoutEnabled = true
	client := redis.NewClient(options)
	store, err := redisdedupe.New(client)
	if err == nil {
		err = store.Ready(ctx)
	}
	if err != nil {
		return nil, nil, errors.Join(err, client.Close())
	}
	return store, client.Close, nil
}

// openApp opens the application's own connections to a database of a store, the
// file or PostgreSQL.
func (p place) openApp(file string) (*app, error) {
	if p.Postgres != "" {
		db, err := sql.Open("pgx", p.Postgres)
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(connections)
		return &app{db, "$%d"}, nil
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+
		"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
	return &app{db, "?%d"}, err
}

// app is the application's own tables.
type app struct {
	*sql.DB
	parameter string // how a statement names its n-th argument
}

// setUp creates the tables.
func (a *app) setUp(ctx context.Context) error {
	for _, statement := range []string{
		`CREATE TABLE IF NOT EXISTS soak_release (event text PRIMARY KEY)`,
		`CREATE TABLE IF NOT EXISTS soak_effect (endpoint text NOT NULL, event text NOT NULL, delivery text NOT NULL)`,
	} {
		if _, err := a.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// insert adds a row to a table in a transaction.
func (a *app) insert(ctx context.Context, tx *sql.Tx, table string, values ...any) error {
	list := ""
	for i := range values {
		if i > 0 {
			list += ", "
		}
		list += fmt.Sprintf(a.parameter, i+1)
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO "+table+" VALUES ("+list+")", values...)
	return err
}

// inTx runs f in a transaction. A panic of f leaves it to the driver.
func (a *app) inTx(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := a.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// releases returns the events that have a row of the application.
func (a *app) releases(ctx context.Context) (map[string]bool, error) {
	all := map[string]bool{}
	err := a.each(ctx, `SELECT event FROM soak_release`, func(rows *sql.Rows) error {
		var event string
		err := rows.Scan(&event)
		all[event] = true
		return err
	})
	return all, err
}

// effects returns how often each delivery took effect.
func (a *app) effects(ctx context.Context) (map[arrival]int, error) {
	all := map[arrival]int{}
	err := a.each(ctx, `SELECT endpoint, event, delivery FROM soak_effect`, func(rows *sql.Rows) error {
		var one arrival
		err := rows.Scan(&one.endpoint, &one.event, &one.delivery)
		all[one]++
		return err
	})
	return all, err
}

func (a *app) each(ctx context.Context, query string, scan func(*sql.Rows) error) error {
	rows, err := a.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// eventually calls open until it succeeds, because a server may be down at the
// moment. It gives up when ctx ends.
func eventually(ctx context.Context, open func() error) error {
	wait := backoff.WithContext(backoff.NewConstantBackOff(100*time.Millisecond), ctx)
	return backoff.Retry(func() error {
		err := open()
		if errors.Is(err, outbox.ErrConfig) || errors.Is(err, inbox.ErrConfig) || errors.Is(err, redisdedupe.ErrConfig) {
			return backoff.Permanent(err)
		}
		return err
	}, wait)
}
