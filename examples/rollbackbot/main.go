// Rollbackbot tests every deployment that goes live, and rolls it back if it is
// broken. At first it only alerts.
//
//	go run github.com/deployhook/deployhook/examples/rollbackbot@latest -check /
//
// It receives deploy.live events, answers them at once, and then requests the
// deployment's pages until they are right or its patience ends. The README
// explains each decision. -h lists the flags and variables.
//
//	POST /webhooks/deploy   the platform's events, signed as Standard Webhooks
//	GET  /livez             200 while the process answers
//	GET  /readyz            200 while its files take writes, and 503 after SIGTERM
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
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

func main() {
	ctx, stop := service.Signals(context.Background())
	err := run(ctx, os.Args[1:], os.Getenv, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "rollbackbot:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) (err error) {
	o, err := parse(args, getenv, stderr)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(stderr, nil))
	guarded, err := newSender(o, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, guarded.Close()) }()
	b, err := newBot(ctx, o, guarded, logger)
	if err != nil {
		return err
	}
	st, err := openStores(ctx, o, b.onEvent, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	b.claims = st.claims

	scheme, err := newScheme(o.secret)
	if err != nil {
		return fmt.Errorf("ROLLBACKBOT_SECRET: %w", err)
	}
	hook, err := st.inbox.Handler(scheme, "platform")
	if err != nil {
		return err
	}
	return serve(ctx, o, st, hook, logger)
}

// newSender returns what sends alerts. Its guard is also that of smoke tests.
func newSender(o *options, logger *slog.Logger) (*sender.Sender, error) {
	opts := []sender.Option{sender.WithLogger(logger)}
	if len(o.networks) > 0 {
		opts = append(opts, sender.AllowNetworks(o.networks...))
	}
	return sender.New(opts...)
}

func newScheme(text string) (*signer.Standard, error) {
	secret, err := signer.ParseSecret(text)
	if err != nil {
		return nil, err
	}
	return signer.NewStandard(secret)
}

func serve(ctx context.Context, o *options, st *stores, hook http.Handler, logger *slog.Logger) error {
	mux := http.NewServeMux()
	mux.Handle("POST /webhooks/deploy", hook)
	srv, err := service.New(mux, service.WithLogger(logger), service.WithDrain(o.drain),
		service.WithCheck("inbox", st.inbox.Ready), service.WithCheck("claims", st.claims.Ready))
	if err != nil {
		return fmt.Errorf("-drain: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.addr)
	if err != nil {
		return fmt.Errorf("-addr: %w", err)
	}
	// The inbox goes on during the drain time. Closing it stops the handlers.
	if err := st.inbox.Start(context.WithoutCancel(ctx)); err != nil {
		return errors.Join(err, listener.Close())
	}
	logger.Info("listening", "addr", listener.Addr().String(), "checks", len(o.checks), "patience", o.patience, "rollback", o.rollback)
	return srv.Run(ctx, listener)
}
