// Ci is the program of the guide in README.md. Without flags it reports the
// deployments of a pipeline run to a receiver of its own, and ends. With -serve
// it is only the receiver, and runs until SIGTERM.
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
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/service"
	"github.com/deployhook/deployhook/sender"
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
		fmt.Fprintln(os.Stderr, "ci:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	flags := flag.NewFlagSet("ci", flag.ContinueOnError)
	addr := flags.String("serve", "", "`address` of a receiver that runs until SIGTERM (default: report to one, and end)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *addr == "" {
		return demo(ctx, out)
	}
	hook, err := newReceiver(getenv("DEPLOYHOOK_SECRET"), out)
	if err != nil {
		return fmt.Errorf("DEPLOYHOOK_SECRET: %w", err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *addr)
	if err != nil {
		return fmt.Errorf("-serve: %w", err)
	}
	srv, err := service.New(hook, service.WithDrain(0), service.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return errors.Join(err, l.Close())
	}
	return srv.Run(ctx, l)
}

// newReceiver prints the events that it gets. It answers the first request for
// /busy/ with 503, as a service does that restarts.
func newReceiver(text string, out io.Writer) (http.Handler, error) {
	secret, err := signer.ParseSecret(text)
	if err != nil {
		return nil, err
	}
	scheme, err := signer.NewStandard(secret)
	if err != nil {
		return nil, err
	}
	store, err := dedupe.NewMemory()
	if err != nil {
		return nil, err
	}
	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "ci"), receiver.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, err
	}
	events := rcv.Events(func(_ context.Context, e *payload.Event) error {
		fmt.Fprintf(out, "  got %-16s %-5s %s\n", e.Type, e.App, e.DeploymentID)
		return nil
	})
	mux := http.NewServeMux()
	mux.Handle("POST /webhooks/deploy", events)
	var busy atomic.Bool
	mux.HandleFunc("POST /busy/deploy", func(w http.ResponseWriter, r *http.Request) {
		if busy.CompareAndSwap(false, true) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		events.ServeHTTP(w, r)
	})
	return mux, nil
}

// demo reports a run of a monorepo with two services.
func demo(ctx context.Context, out io.Writer) error {
	secret := signer.GenerateSecret().Reveal()
	hook, err := newReceiver(secret, out)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: hook, ReadHeaderTimeout: time.Minute}
	defer server.Close()
	go server.Serve(l) //nolint:errcheck // it ends with Close
	base := "http://" + l.Addr().String()
	env := map[string]string{ // what GitHub Actions sets, among others
		"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "1658821493", "GITHUB_RUN_ATTEMPT": "1", "GITHUB_JOB": "deploy",
		"GITHUB_SHA": "f4c8e2af4c8e2af4c8e2af4c8e2af4c8e2af4c8e", "GITHUB_REF": "refs/heads/main", "GITHUB_REPOSITORY": "acme/shop",
		"DEPLOYHOOK_SECRET": secret, // from the secret store of the CI system
	}
	for _, c := range []struct {
		title, path, service string
		t                    payload.Type
		failure              string
	}{
		{"web is deployed", "/webhooks/deploy", "web", payload.DeployLive, ""},
		{"api fails", "/webhooks/deploy", "api", payload.DeployFailed, "the health check failed"},
		{"the receiver restarts", "/busy/deploy", "web", payload.DeployLive, ""},
		{"the URL is wrong", "/nothing", "web", payload.DeployLive, ""},
	} {
		env["DEPLOYHOOK_URL"] = base + c.path
		fmt.Fprintln(out, c.title)
		if err := step(ctx, out, env, c.service, c.t, c.failure); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// step reports one event, with short waits between its attempts.
func step(ctx context.Context, out io.Writer, env map[string]string, service string, t payload.Type, failure string) error {
	r, err := newReporter(func(name string) string { return env[name] },
		sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")), // for this program's receiver
		sender.WithSchedule(sender.Scaled(sender.Pipeline, 0.01)))
	if err != nil {
		return err
	}
	defer r.sender.Close()
	receipt, err := r.report(ctx, service, t, failure)
	if receipt == nil {
		return err
	}
	fmt.Fprintf(out, "  %s, attempts: %d\n", receipt.Outcome, len(receipt.Attempts))
	if err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		fmt.Fprintf(out, "  the step fails: %s\n", first)
	}
	return nil
}
