// Receive is the program of the guide in README.md. Without flags it runs two
// instances of a service, sends them deliveries, and ends. With -addr it is one
// instance, and runs until SIGTERM.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/deployhook/deployhook/receiver/service"
	"github.com/deployhook/deployhook/signer"
)

func main() {
	ctx, stop := service.Signals(context.Background())
	defer stop()
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "receive:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	flags := flag.NewFlagSet("receive", flag.ContinueOnError)
	dir := flags.String("dir", "", "`folder` of the SQLite files (default a temporary one)")
	addr := flags.String("addr", "", "`address` to serve on until SIGTERM (default: show what happens, and end)")
	drain := flags.Duration("drain", service.DefaultDrain, "`time` to go on serving after SIGTERM")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *addr == "" {
		return demo(ctx, *dir, out)
	}
	logger := slog.New(slog.NewTextHandler(out, nil))
	scheme, err := schemeOf(getenv)
	if err != nil {
		return err
	}
	folder := cmp.Or(*dir, ".")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("-dir: %w", err)
	}
	i, err := open(ctx, folder, logger)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *addr)
	if err != nil {
		return errors.Join(fmt.Errorf("-addr: %w", err), i.close())
	}
	logger.Info("listening", "addr", l.Addr().String(), "dir", folder)
	return errors.Join(i.serve(ctx, l, scheme, *drain, logger), i.close())
}

func schemeOf(getenv func(string) string) (*signer.Standard, error) {
	k := keys{current: getenv("DEPLOYHOOK_SECRET"), previous: getenv("DEPLOYHOOK_SECRET_PREVIOUS")}
	if k.previous != "" {
		var err error
		if k.cutover, err = time.Parse(time.RFC3339, getenv("DEPLOYHOOK_SECRET_PREVIOUS_UNTIL")); err != nil {
			return nil, fmt.Errorf("DEPLOYHOOK_SECRET_PREVIOUS_UNTIL: want a time such as 2026-12-01T12:00:00Z: %w", err)
		}
	}
	scheme, err := newScheme(k)
	if err != nil {
		return nil, fmt.Errorf("DEPLOYHOOK_SECRET or DEPLOYHOOK_SECRET_PREVIOUS: %w", err)
	}
	return scheme, nil
}
