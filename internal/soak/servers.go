package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/deployhook/deployhook/internal/servicetest"
)

// host lets package servicetest start servers for a program. A server that
// fails ends the call with a panic, which try turns into an error.
type host struct {
	dir      string
	cleanups []func()
}

// serverError is why a server failed.
type serverError string

func (h *host) Helper()                           {}
func (h *host) Cleanup(f func())                  { h.cleanups = append(h.cleanups, f) }
func (h *host) Fatal(args ...any)                 { h.end(fmt.Sprint(args...)) }
func (h *host) Fatalf(format string, args ...any) { h.end(fmt.Sprintf(format, args...)) }
func (h *host) Skip(args ...any)                  { h.end(fmt.Sprint(args...)) }
func (h *host) TempDir() string                   { return h.dir }

func (h *host) end(text string) {
	panic(serverError(text)) // try recovers it
}

// close ends the servers.
func (h *host) close() error {
	return try(func() {
		for i := len(h.cleanups) - 1; i >= 0; i-- {
			h.cleanups[i]()
		}
	})
}

func try(f func()) (err error) {
	defer func() {
		switch failure := recover().(type) {
		case nil:
		case serverError:
			err = errors.New(string(failure))
		default:
			panic(failure) // it is a mistake in the program
		}
	}()
	f()
	return nil
}

// servers are those of a world.
type servers struct {
	host     *host
	own      *servicetest.Server // which may be killed; nil for SQLite
	admin    string              // URL of PostgreSQL's maintenance database, or empty
	database string
}

// startServers starts what the store needs, and completes the place.
func startServers(ctx context.Context, c *config, p *place) (*servers, error) {
	s := &servers{host: &host{dir: p.Dir}}
	var err error
	switch p.Store {
	case onRedis:
		if err = try(func() { s.own = servicetest.StartRedis(s.host) }); err == nil {
			p.Redis = s.own.URL()
		}
	case onPostgres:
		err = s.startPostgres(ctx, c, p)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("-store=%s: %w", p.Store, err), s.host.close())
	}
	return s, nil
}

func (s *servers) startPostgres(ctx context.Context, c *config, p *place) error {
	s.admin = c.postgres
	if s.admin == "" {
		err := try(func() { s.own = servicetest.StartPostgres(s.host) })
		if s.admin = os.Getenv(servicetest.PostgresEnv); err != nil && s.admin == "" {
			return fmt.Errorf("%w, or name a server with -postgres", err)
		}
		if err == nil {
			s.admin = s.own.URL()
		}
	}
	s.database = "soak_" + filepath.Base(p.Dir)
	target, err := url.Parse(s.admin)
	if err != nil {
		return errors.New("the URL of PostgreSQL can't be parsed; write it as postgres://user@host:port/database")
	}
	target.Path = "/" + s.database
	p.Postgres = target.String()
	return s.command(ctx, "CREATE DATABASE "+pgx.Identifier{s.database}.Sanitize())
}

// command runs a statement in the maintenance database.
func (s *servers) command(ctx context.Context, statement string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.admin)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement, args...)
	return errors.Join(err, conn.Close(ctx))
}

// endSessions is what an administrator does with sessions.
func (s *servers) endSessions(ctx context.Context) error {
	return s.command(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", s.database)
}

// restart kills the own server and starts it again.
func (s *servers) restart() error {
	return try(func() { s.own.Kill(); s.own.Restart() })
}

// pause freezes the own server.
func (s *servers) pause(d time.Duration, done <-chan struct{}) error {
	if err := try(s.own.Pause); err != nil {
		return err
	}
	select {
	case <-time.After(d):
	case <-done:
	}
	return try(s.own.Resume)
}

// close ends the own server, or drops the database of another one.
func (s *servers) close(ctx context.Context) error {
	var err error
	if s.own == nil && s.database != "" {
		err = s.command(ctx, "DROP DATABASE "+pgx.Identifier{s.database}.Sanitize()+" WITH (FORCE)")
	}
	return errors.Join(err, s.host.close())
}
