package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/service"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/sender/outbox/api"
	"github.com/deployhook/deployhook/sender/outbox/console"
)

// platform is a platform's service. Its customers are called tenants here, and
// apps in the outbox.
type platform struct {
	db     *sql.DB       // the platform's own tables, in the outbox's database
	pool   *pgxpool.Pool // nil with SQLite
	outbox *outbox.Outbox
	// tokens has who may do what, by the SHA-256 of the token.
	tokens map[[sha256.Size]byte]api.Access
}

// database is where the tables are, in PostgreSQL if url is not empty.
type database struct {
	url string
	dir string // of the SQLite file
}

func open(ctx context.Context, where database, key outbox.SealingKey, logger *slog.Logger, opts ...sender.Option) (_ *platform, err error) {
	p := &platform{tokens: map[[sha256.Size]byte]api.Access{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	settings := []outbox.Option{
		outbox.WithSealingKeys(key),
		outbox.WithRetention(14*24*time.Hour, 10<<30),  // finished deliveries, at most 10 GiB
		outbox.WithDeadRetention(90 * 24 * time.Hour),  // dead letters
		outbox.WithEventRetention(30 * 24 * time.Hour), // events, also those without an endpoint
		outbox.WithLogger(logger),
		outbox.WithSender(opts...),
	}
	if where.url != "" {
		err = p.openPostgres(ctx, where.url, settings)
	} else {
		err = p.openSQLite(ctx, filepath.Join(where.dir, "platform.db"), settings)
	}
	if err != nil {
		return nil, err
	}
	return p, p.outbox.Start(ctx)
}

// pragmas make the platform's connection wait for a lock on the file, and each
// of its transactions write from its beginning.
const pragmas = "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"

func (p *platform) openSQLite(ctx context.Context, file string, settings []outbox.Option) (err error) {
	if p.outbox, err = outbox.OpenSQLite(ctx, file, settings...); err != nil {
		return err
	}
	if p.db, err = sql.Open("sqlite", "file:"+filepath.ToSlash(file)+pragmas); err != nil {
		return err
	}
	p.db.SetMaxOpenConns(1)
	_, err = p.db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS deployments (id TEXT PRIMARY KEY, tenant TEXT, version TEXT)")
	return err
}

// openPostgres leaves the tables to an administrator.
func (p *platform) openPostgres(ctx context.Context, url string, settings []outbox.Option) (err error) {
	if p.pool, err = pgxpool.New(ctx, url); err != nil {
		return err
	}
	p.db = stdlib.OpenDBFromPool(p.pool)
	p.outbox, err = outbox.NewPostgres(ctx, p.pool, append(settings, outbox.WithoutMigration())...)
	return err
}

func (p *platform) close() error {
	var errs []error
	if p.outbox != nil {
		errs = append(errs, p.outbox.Close())
	}
	if p.db != nil {
		errs = append(errs, p.db.Close())
	}
	if p.pool != nil {
		p.pool.Close()
	}
	return errors.Join(errs...)
}

// deployed records a deployment and publishes its event, both or neither.
func (p *platform) deployed(ctx context.Context, tenant, id, version string) error {
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // it does nothing after the commit
	if _, err := tx.ExecContext(ctx, "INSERT INTO deployments (id, tenant, version) VALUES ($1, $2, $3)", id, tenant, version); err != nil {
		return err
	}
	_, err = p.outbox.App(tenant).PublishTx(ctx, tx, &payload.Event{
		Type: payload.DeployLive, Timestamp: time.Now(), DeploymentID: id,
		App: tenant, Version: version, Environment: "production",
	}, outbox.WithEventID("live:"+id))
	if err != nil {
		return err
	}
	return tx.Commit()
}

// authorize finds out who calls. It never looks at the path.
func (p *platform) authorize(r *http.Request) (api.Access, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	access, known := p.tokens[sha256.Sum256([]byte(token))]
	if !ok || !known {
		return api.Access{}, api.ErrUnauthenticated
	}
	return access, nil
}

// serve mounts the API and the console behind the same authorizer.
func (p *platform) serve(ctx context.Context, l net.Listener, drain time.Duration, logger *slog.Logger) error {
	hooks, err := api.New(p.outbox, p.authorize, api.WithChallenge("Bearer"), api.WithLogger(logger))
	if err != nil {
		return err
	}
	pages, err := console.New(p.outbox, p.authorize, console.WithName("Acme"), console.WithLogger(logger))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/webhooks/", http.StripPrefix("/webhooks", hooks))
	mux.Handle("/console/", http.StripPrefix("/console", pages))
	srv, err := service.New(mux, service.WithLogger(logger), service.WithDrain(drain), service.WithCheck("outbox", p.outbox.Ready))
	if err != nil {
		return err
	}
	return srv.Run(ctx, l)
}
