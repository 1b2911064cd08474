// Platform is a small platform as a service that really deploys. It builds
// programs, runs them, checks their health, switches traffic, rolls failed
// versions back, and reports every step to customers' endpoints.
//
//	go run ./examples/platform -demo
//
// shows all of this and exits. With -keep it goes on running, so that you can
// look around in the console. Without -demo it serves a JSON API. It needs
// only Go, keeps its data in a SQLite file, and stops cleanly on SIGTERM:
//
//	/webhooks/                          the API of package sender/outbox/api
//	/console/                           the pages of package sender/outbox/console
//	POST   /apps/{app}/deployments      {"source":"hello","version":"v2"}
//	GET    /apps/{app}/deployments      also /deployments/{id}
//	POST   /apps/{app}/rollback         {"reason":"prices are wrong","deployment_id":"dep_…"}
//	POST   /apps/{app}/tokens           {"name":"ci","read_only":true}; answers the token, once
//	DELETE /apps/{app}/tokens/{name}
//	GET    /apps/{app}/live/            the app itself
//	GET    /metrics                     for Prometheus, with the operator's token
//	GET    /sources, /livez, /readyz
//
// An operator registers an app with PUT /webhooks/apps/{app}.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
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
		fmt.Fprintln(os.Stderr, "platform:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	o, err := parse(args, getenv, stderr)
	if err != nil {
		return err
	}
	if o.demo {
		return runDemo(ctx, o.keep, stdout, stderr)
	}
	logger := slog.New(slog.NewTextHandler(stderr, nil))
	p, err := newPlatform(ctx, o, getenv, logger)
	if err != nil {
		return err
	}
	return errors.Join(p.serve(ctx), p.close())
}
