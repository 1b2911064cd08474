// Receiver is a service that receives deployment webhooks, with every kind of
// endpoint in one binary.
//
//	go run github.com/deployhook/deployhook/examples/receiver@latest
//
// It needs nothing installed, keeps its data in a SQLite file, and stops
// cleanly on SIGTERM. Secrets come from the environment. A route is served only
// if its secret is set:
//
//	POST /webhooks/deploy            DEPLOYHOOK_SECRET         Standard Webhooks, whsec_…
//	POST /webhooks/temps             DEPLOYHOOK_TEMPS_SECRET   hex HMAC of timestamp and body, X-Webhook or X-Temps headers
//	POST /webhooks/github            GITHUB_WEBHOOK_SECRET     GitHub's deployment events
//	POST /webhooks/gitlab            GITLAB_WEBHOOK_SECRET     GitLab's deployment events
//	POST /webhooks/temps-server      TEMPS_WEBHOOK_SECRET      a Temps server's deployment events
//	POST /webhooks/argocd            ARGOCD_TOKEN              Argo CD's syncs, by the ConfigMap of payload/argocd
//	POST /webhooks/flux              FLUX_TOKEN                Flux's alerts, signed by a Provider of type generic-hmac
//	POST /webhooks/dokploy           DOKPLOY_TOKEN             Dokploy's custom notifications, with the token as a bearer token
//	POST /webhooks/netlify           NETLIFY_WEBHOOK_SECRET    Netlify's deploy notifications, signed with a JSON Web Signature
//	POST /webhooks/coolify           COOLIFY_PASSWORD          Coolify's notifications, with user coolify and the password in the URL
//	POST /webhooks/jenkins           JENKINS_PASSWORD          builds by Jenkins' Notification plugin, with user jenkins and the password in the URL
//	POST /webhooks/drone             DRONE_WEBHOOK_SECRET      Drone's promotions and rollbacks, with its HTTP signatures
//	POST /webhooks/circleci          CIRCLECI_WEBHOOK_SECRET   CircleCI's completed workflows
//	POST /api/webhooks/deployments   DEPLOYHOOK_API_KEYS       deployment records: org=key,org2=key2
//	POST /api/webhooks/incidents     DEPLOYHOOK_API_KEYS       incidents
//	GET  /api/metrics/dora           DEPLOYHOOK_API_KEYS       the five DORA metrics
//	GET  /console/                                             pages for the team, if -addr is a loopback address
//	GET  /metrics                                              for Prometheus
//	GET  /livez                      200 while the process answers
//	GET  /readyz                     200 while the stores take writes, and 503 after SIGTERM
//
// The endpoint of deployment records accepts the same calls as Periscope's.
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

	"github.com/deployhook/deployhook/receiver/console"
	"github.com/deployhook/deployhook/receiver/service"
)

func main() {
	ctx, stop := service.Signals(context.Background())
	defer stop()
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "receiver:", err)
		os.Exit(1)
	}
}

const defaultStore = "sqlite:deployhook.db"

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet("receiver", flag.ContinueOnError)
	flags.SetOutput(stderr)
	addr := flags.String("addr", "127.0.0.1:8080", "where to listen")
	where := flags.String("store", "", "`store` that remembers deliveries: memory, sqlite:FILE, postgres://… or redis://… (default $DEPLOYHOOK_STORE, "+
		"which hides a URL with a password from other users, or else "+defaultStore+")")
	repos := flags.String("repos", "", "`folder` with git repositories ORGANIZATION/SERVICE, for counting merged pull requests")
	drain := flags.Duration("drain", service.DefaultDrain, "`time` for which the receiver goes on serving after SIGTERM while /readyz answers 503; "+
		"longer than the load balancer needs to notice")
	var r reportFlags
	r.add(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		// the argument is not printed, because it may be a URL with a password
		return errors.New("unexpected argument after the flags; see -h")
	}
	logger := slog.New(slog.NewTextHandler(stderr, nil))

	st, err := openStores(ctx, cmp.Or(*where, getenv("DEPLOYHOOK_STORE"), defaultStore), logger)
	if err != nil {
		return fmt.Errorf("-store: %w", err)
	}
	defer func() { err = errors.Join(err, st.close()) }()
	c := config{getenv: getenv, stores: st, repos: *repos, logger: logger, recent: console.NewRecent(), loopback: isLoopback(*addr)}
	if r.organization != "" {
		return r.write(ctx, c, stdout)
	}
	if c.telemetry, err = newTelemetry(); err != nil {
		return err
	}
	mux, routes, err := newMux(c)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *addr)
	if err != nil {
		return fmt.Errorf("-addr: %w", err)
	}
	logger.Info("listening", "addr", listener.Addr().String(), "console", c.consoleAt(listener.Addr()), "store", st.name, "served", routes.served, "not_served", routes.notServed)
	if len(routes.served) == 0 {
		logger.Warn("no secret is set, so no webhook is served; set at least one of the variables under not_served")
	}
	srv, err := service.New(mux, service.WithLogger(logger), service.WithDrain(*drain),
		service.WithCheck("deliveries", st.dedupeReady), service.WithCheck("records", st.ledgerReady), c.telemetry.health)
	if err != nil {
		return errors.Join(fmt.Errorf("-drain: %w", err), listener.Close())
	}
	return srv.Run(ctx, listener)
}
