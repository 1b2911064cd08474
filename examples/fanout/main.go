// Fanout is one receiver for several internal services. It verifies and
// deduplicates each event of a platform, and an outbox in the same database
// passes it on to every service that wants it, signed with the service's own
// secret.
//
//	go run github.com/deployhook/deployhook/examples/fanout@latest
//
// It needs nothing installed, and keeps its data in a SQLite file or in
// PostgreSQL. -h lists the flags and variables.
//
//	POST /webhooks/deploy   the platform's events, signed as Standard Webhooks
//	/api/                   services and deliveries, the API of package sender/outbox/api
//	/console/               the same as pages, of package sender/outbox/console
//	GET  /livez             200 while the process answers
//	GET  /readyz            200 while the database takes writes, and 503 after SIGTERM
//
// With -log it prints the latest deliveries to all services instead.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"

	"github.com/deployhook/deployhook/receiver/service"
)

func main() {
	ctx, stop := service.Signals(context.Background())
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "fanout:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, getenv, stderr)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(stderr, nil))
	s, err := openStores(ctx, o, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if o.log {
		return printLog(ctx, s, o.event, stdout)
	}
	if err := s.outbox.RegisterApp(ctx, services); err != nil {
		return err
	}
	mux := http.NewServeMux()
	hook, err := newHook(s, o, logger)
	if err != nil {
		return err
	}
	mux.Handle("POST /webhooks/deploy", hook)
	if err := mountManagement(mux, s, o, logger); err != nil {
		return err
	}
	return serve(ctx, s, o, mux, logger)
}

func serve(ctx context.Context, s *stores, o *options, mux http.Handler, logger *slog.Logger) error {
	srv, err := service.New(mux, service.WithLogger(logger), service.WithDrain(o.drain),
		service.WithCheck("claims", s.claims.Ready), service.WithCheck("outbox", s.outbox.Ready))
	if err != nil {
		return fmt.Errorf("-drain: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.addr)
	if err != nil {
		return fmt.Errorf("-addr: %w", err)
	}
	if o.deliver {
		// The outbox goes on during the drain time. Closing it stops the attempts.
		if err := s.outbox.Start(context.WithoutCancel(ctx)); err != nil {
			return errors.Join(err, listener.Close())
		}
	}
	logger.Info("listening", "addr", listener.Addr().String(), "deliver", o.deliver)
	return srv.Run(ctx, listener)
}
