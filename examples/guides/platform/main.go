// Platform is the program of the guide in README.md. Without flags it shows two
// tenants of a platform with webhooks, and ends. With -addr it serves the API
// and the console until SIGTERM. With -migrations it prints the tables.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"

	"github.com/deployhook/deployhook/receiver/service"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/sender/outbox/api"
)

func main() {
	ctx, stop := service.Signals(context.Background())
	defer stop()
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "platform:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	flags := flag.NewFlagSet("platform", flag.ContinueOnError)
	dir := flags.String("dir", "", "`folder` of the SQLite file (default a temporary one)")
	addr := flags.String("addr", "", "`address` to serve on until SIGTERM (default: show what happens, and end)")
	drain := flags.Duration("drain", service.DefaultDrain, "`time` to go on serving after SIGTERM")
	migrations := flags.Bool("migrations", false, "print the SQL of the tables for PostgreSQL, and end")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case *migrations:
		return printMigrations(out)
	case *addr == "":
		return demo(ctx, *dir, out)
	}
	key, err := sealingKey(getenv)
	if err != nil {
		return err
	}
	token := getenv("PLATFORM_API_TOKEN")
	if token == "" {
		return errors.New("PLATFORM_API_TOKEN: set it to the operator's token, such as the output of: openssl rand -hex 32")
	}
	folder := cmp.Or(*dir, ".")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("-dir: %w", err)
	}
	logger := slog.New(slog.NewTextHandler(out, nil))
	p, err := open(ctx, database{url: getenv("PLATFORM_DATABASE"), dir: folder}, key, logger)
	if err != nil {
		return err
	}
	p.tokens[sha256.Sum256([]byte(token))] = api.Access{Operator: true, Actor: "operator"}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *addr)
	if err != nil {
		return errors.Join(fmt.Errorf("-addr: %w", err), p.close())
	}
	logger.Info("listening", "addr", l.Addr().String(), "dir", folder)
	return errors.Join(p.serve(ctx, l, *drain, logger), p.close())
}

// sealingKey reads the key that encrypts URLs and secrets in the database.
func sealingKey(getenv func(string) string) (outbox.SealingKey, error) {
	secret, err := base64.StdEncoding.DecodeString(getenv("PLATFORM_SEALING_KEY"))
	if err == nil {
		var key outbox.SealingKey
		if key, err = outbox.NewSealingKey("2026-11", secret); err == nil {
			return key, nil
		}
	}
	return outbox.SealingKey{}, fmt.Errorf("PLATFORM_SEALING_KEY: want the output of: openssl rand -base64 32: %w", err)
}

func randomKey() (outbox.SealingKey, error) {
	secret := make([]byte, 32)
	rand.Read(secret)
	return outbox.NewSealingKey("demo", secret)
}

// printMigrations prints what an administrator runs, and what the role of the
// service may then do.
func printMigrations(out io.Writer) error {
	steps, err := outbox.Migrations(outbox.Postgres)
	if err != nil {
		return err
	}
	for _, step := range steps {
		fmt.Fprintf(out, "-- %s, version %d\nBEGIN;\n", step.Module, step.Version)
		for _, statement := range step.Statements {
			fmt.Fprintln(out, statement+";")
		}
		fmt.Fprintln(out, "COMMIT;")
	}
	return nil
}
