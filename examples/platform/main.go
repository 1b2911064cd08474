// Platform is a small platform as a service that really deploys. It builds
// programs, runs them, checks their health, switches traffic, rolls failed
// versions back, and reports every step to customers' endpoints.
//
//	go run ./examples/platform -demo
//
// shows all of this and exits. Without -demo it serves a JSON API. It needs
// only Go, keeps its data in a SQLite file, and stops cleanly on SIGTERM:
//
//	POST   /apps                   {"name":"shop"}
//	POST   /apps/{app}/deployments {"source":"hello","version":"v2"}
//	GET    /apps/{app}/deployments also /deployments/{id}
//	POST   /apps/{app}/rollback    {"reason":"prices are wrong"}
//	POST   /apps/{app}/replay      {"since":"…","state":"failed"}
//	GET    /apps/{app}/live/       the app itself
//	GET    /metrics                for Prometheus, with the API's token
//	GET    /sources, /livez, /readyz
//
// These are below /apps/{app}, too:
//
//	POST   /endpoints              {"url":"https://…","events":["deploy.*"]}; answers the secret, once
//	GET    /endpoints              also GET, PATCH and DELETE /endpoints/{id}
//	GET    /endpoints/{id}/url     the URL, which other answers leave out
//	POST   /endpoints/{id}/rotate  a new secret; also /test, /disable and /enable
//	GET    /deliveries             ?state=&type=&endpoint=&cursor=
//	GET    /deliveries/{id}        also /deliveries/{id}/attempts
//	POST   /deliveries/{id}/replay
//	GET    /replays/{id}           progress; POST /replays/{id}/resume
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
		return runDemo(ctx, stdout, stderr)
	}
	logger := slog.New(slog.NewTextHandler(stderr, nil))
	p, err := newPlatform(ctx, o, getenv, logger)
	if err != nil {
		return err
	}
	return errors.Join(p.serve(ctx), p.close())
}
