package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/deployhook/deployhook/examples/platform/internal/engine"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/service"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/cdevents"
	"github.com/deployhook/deployhook/sender/discord"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/sender/periscope"
	"github.com/deployhook/deployhook/sender/slack"
	"github.com/deployhook/deployhook/sender/template"
)

// platform combines the engine that deploys, the outbox that reports, and their
// database.
type platform struct {
	o         *options
	logger    *slog.Logger
	listener  net.Listener
	store     *store
	outbox    *outbox.Outbox
	engine    *engine.Engine
	telemetry openTelemetry
	closer    []func() error
}

func newPlatform(ctx context.Context, o *options, getenv func(string) string, logger *slog.Logger) (_ *platform, err error) {
	p := &platform{o: o, logger: logger}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if err := os.MkdirAll(o.data, 0o700); err != nil {
		return nil, fmt.Errorf("-data: %w", err)
	}
	current, previous, err := sealingKeys(o, getenv, logger)
	if err != nil {
		return nil, err
	}
	if err := p.openDatabase(ctx, current, previous); err != nil {
		return nil, fmt.Errorf("-database: %w", err)
	}
	if err := p.checkKey(ctx); err != nil {
		return nil, err
	}
	if p.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", o.addr); err != nil {
		return nil, fmt.Errorf("-addr: %w", err)
	}
	p.closer = append(p.closer, func() error {
		if err := p.listener.Close(); !errors.Is(err, net.ErrClosed) { // serving closes it, too
			return err
		}
		return nil
	})
	p.engine, err = engine.New(ctx, engine.Config{
		Dir: filepath.Join(o.data, "builds"), Record: p.record, Logger: logger, HealthTimeout: o.health, Watch: o.watch,
		URL: func(app string) string { return p.base() + "/apps/" + app + "/live/" },
	})
	if err != nil {
		return nil, err
	}
	p.closer = append(p.closer, p.engine.Close)
	return p, nil
}

// openDatabase opens the outbox and creates the platform's tables in its
// database.
func (p *platform) openDatabase(ctx context.Context, current outbox.SealingKey, previous []outbox.SealingKey) error {
	opts, err := outboxOptions(p.o, current, previous, p.logger)
	if err != nil {
		return err
	}
	if p.telemetry, err = newTelemetry(); err != nil {
		return err
	}
	opts = append(opts, p.telemetry.outbox)
	s := &store{}
	if p.o.database == "" {
		err = p.openSQLite(ctx, s, opts)
	} else {
		err = p.openPostgres(ctx, s, opts)
	}
	if err != nil {
		return err
	}
	p.store, err = openStore(ctx, s)
	return err
}

func (p *platform) openSQLite(ctx context.Context, s *store, opts []outbox.Option) (err error) {
	path, err := filepath.Abs(databaseFile(p.o))
	if err != nil {
		return err
	}
	unlock, err := lockFile(ctx, path+".lock", p.o.lockWait, p.logger)
	if err != nil {
		return err
	}
	p.closer = append(p.closer, unlock)
	if p.outbox, err = outbox.OpenSQLite(ctx, path, opts...); err != nil {
		return err
	}
	p.closer = append(p.closer, p.outbox.Close)
	if s.lite, err = sql.Open("sqlite", liteURL(path)); err != nil {
		return err
	}
	s.lite.SetMaxOpenConns(2)
	p.closer = append(p.closer, s.close)
	return nil
}

func (p *platform) openPostgres(ctx context.Context, s *store, opts []outbox.Option) error {
	cfg, err := pgxpool.ParseConfig(p.o.database)
	if err != nil {
		// the error would contain the URL with its password
		return errors.New("not a PostgreSQL URL")
	}
	cfg.MaxConns = min(cfg.MaxConns, 10)
	cfg.MaxConns = max(cfg.MaxConns, 5)
	unlock, err := lockPostgres(ctx, cfg.ConnConfig.Copy(), p.o.lockWait, p.logger)
	if err != nil {
		return err
	}
	p.closer = append(p.closer, unlock)
	if s.pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return err
	}
	p.closer = append(p.closer, s.close)
	if p.outbox, err = outbox.NewPostgres(ctx, s.pool, opts...); err != nil {
		return err
	}
	p.closer = append(p.closer, p.outbox.Close)
	return nil
}

// checkKey checks at the start whether the key is correct. It also seals data
// of the previous key again.
func (p *platform) checkKey(ctx context.Context) error {
	n, err := p.outbox.ReSeal(ctx)
	if errors.Is(err, outbox.ErrUnseal) {
		return errors.New("PLATFORM_SEALING_KEY is not the key that the database was sealed with; set it to that key, or set PLATFORM_SEALING_KEY_PREVIOUS to it to change keys")
	}
	if n > 0 {
		p.logger.Info("the database is sealed with the new key; remove PLATFORM_SEALING_KEY_PREVIOUS", "endpoints", n)
	}
	return err
}

// outboxOptions registers the formats of chat services and other systems under
// their names.
func outboxOptions(o *options, current outbox.SealingKey, previous []outbox.SealingKey, logger *slog.Logger) ([]outbox.Option, error) {
	opts := []outbox.Option{
		outbox.WithSealingKeys(current, previous...), outbox.WithLogger(logger),
		outbox.WithSchedule(outbox.SchedulePlatform, sender.Scaled(sender.Platform, o.retryScale)),
		outbox.WithBreaker(outbox.DefaultBreakerThreshold, o.scaled(outbox.DefaultBreakerPause), o.scaled(outbox.DefaultBreakerMaxPause)),
	}
	if len(o.networks) > 0 {
		opts = append(opts, outbox.WithSender(sender.AllowNetworks(o.networks...)))
	}
	var problems []error
	add := func(name string, f sender.Format, err error) {
		opts, problems = append(opts, outbox.WithFormat(name, f)), append(problems, err)
	}
	slackFormat, err := slack.New()
	add("slack", slackFormat, err)
	discordFormat, err := discord.New()
	add("discord", discordFormat, err)
	teams, err := template.Teams()
	add("teams", teams, err)
	record, err := periscope.New()
	add("periscope", record, err)
	cd, err := cdevents.New("/deployhook/platform")
	add("cdevents", cd, err)
	return opts, errors.Join(problems...)
}

// record stores a step and publishes its event in one transaction. Customers
// see exactly the steps that happened, whenever the platform is killed.
func (p *platform) record(ctx context.Context, d engine.Deployment, event *payload.Event) error {
	return p.store.inTx(ctx, func(tx appTx) error {
		if err := save(tx.exec, d); err != nil || event == nil {
			return err
		}
		// With a fixed event ID, a step can be recorded twice if the answer to
		// the first commit was lost.
		_, err := tx.publish(p.outbox.App(d.App), event, outbox.WithEventID(d.ID+":"+string(event.Type)))
		return err
	})
}

// resume continues after an earlier platform was stopped or killed.
func (p *platform) resume(ctx context.Context) error {
	unfinished, err := p.store.unfinished(ctx)
	if err != nil {
		return err
	}
	for _, d := range unfinished {
		if err := p.engine.Abandon(ctx, d); err != nil {
			return err
		}
	}
	apps, err := p.apps(ctx)
	if err != nil {
		return err
	}
	for _, app := range apps {
		successes, err := p.store.successes(ctx, app)
		if err != nil {
			return err
		}
		if err := p.engine.Resume(app, successes); err != nil {
			return err
		}
	}
	return nil
}

// base returns the platform's URL for links.
func (p *platform) base() string { return "http://" + p.listener.Addr().String() }

// serve answers and delivers until ctx ends. It goes on for the drain time, and
// then finishes running requests.
func (p *platform) serve(ctx context.Context) error {
	if err := p.resume(ctx); err != nil {
		return fmt.Errorf("resume after the last run: %w", err)
	}
	if err := p.outbox.Start(context.WithoutCancel(ctx)); err != nil { // close stops it
		return err
	}
	handler, err := p.newHandler()
	if err != nil {
		return err
	}
	srv, err := service.New(handler, service.WithLogger(p.logger), service.WithDrain(p.o.drain), service.WithCheck("outbox", p.outbox.Ready),
		service.WithReadTimeouts(min(p.o.read, service.DefaultHeaderTimeout), p.o.read), p.telemetry.health)
	if err != nil {
		return fmt.Errorf("-drain: %w", err)
	}
	// At once, because the time for requests does not help a deployment.
	defer context.AfterFunc(ctx, p.engine.Cancel)()
	p.logger.Info("listening", "addr", p.listener.Addr().String(), "url", p.base(), "token", p.o.token != "")
	return srv.Run(ctx, p.listener)
}

// close stops everything in reverse order. The engine is first, because it
// still records events.
func (p *platform) close() error {
	var errs []error
	for i := len(p.closer) - 1; i >= 0; i-- {
		errs = append(errs, p.closer[i]())
	}
	if p.engine != nil {
		p.logger.Info("stopped")
	}
	return errors.Join(errs...)
}
