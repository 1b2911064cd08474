// Quickstart sends deployment events to a receiver on this machine, and shows
// everything that can go wrong on the way:
//
//	go run ./examples/quickstart
//
// It starts an HTTP server on a free loopback port, sends it signed events of
// the current commit and prints a timeline. It exits with 0 only if every case
// ended as expected.
//
//	flag      effect
//	-json     prints one JSON object per case
//	-scale    factor for the waits between attempts
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"
)

func main() {
	signals, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	ctx, cancel := context.WithCancel(context.Background())
	context.AfterFunc(signals, func() {
		stop() // first, so that a second signal ends the process at once
		cancel()
	})
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil:
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("bad usage")

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(stderr)
	asJSON := flags.Bool("json", false, "print one JSON object per case instead of a timeline")
	scale := flags.Float64("scale", 0.02, "`factor` for the waits between attempts; 1 waits as long as in production")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if flags.NArg() > 0 || *scale <= 0 || *scale > 1 {
		fmt.Fprintln(stderr, "give no arguments, and a -scale of more than 0 and at most 1")
		return errUsage
	}

	event := currentEvent(ctx)
	demo, err := newDemo(event, *scale)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, demo.close()) }()

	var out printer = &timeline{w: stdout, scale: *scale}
	if *asJSON {
		out = jsonLines{json.NewEncoder(stdout)}
	}
	out.start(demo)
	started := time.Now()
	failed := 0
	for _, c := range cases {
		res := demo.run(ctx, c)
		if !res.OK {
			failed++
		}
		out.result(res)
	}
	out.end(len(cases), failed, time.Since(started))
	if failed > 0 {
		return fmt.Errorf("%d of %d cases did not end as expected", failed, len(cases))
	}
	return ctx.Err()
}
