package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: go run ./internal/release COMMAND

  check [-worktree]   pack every module, act as an outside user, check tidiness
  tidy                run go mod tidy in every module
  vuln [-db URL] [-allow-unreachable]
                      run govulncheck in every module
  prepare VERSION     set the version, tidy, check, report API changes, print the tags
  tags                print the tags of the tree's version, dependencies first
  api                 report API changes since the last tag
  licenses            write the table of the dependencies' licenses

Run it inside the repository. check and tags read HEAD, unless -worktree is
given. The others read the files as they are.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, ".", os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program. It returns the exit code, 1 for a failed check and 2 for
// a wrong command line.
func run(ctx context.Context, dir string, args []string, out, errOut io.Writer) int {
	err := command(ctx, dir, args, out, errOut)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, usage)
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintf(errOut, "release: %v\n\n%s", err, usage)
		return 2
	}
	fmt.Fprintf(errOut, "release: %v\n", err)
	return 1
}

var errUsage = errors.New("wrong command line")

func command(ctx context.Context, dir string, args []string, out, errOut io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("%w: name a command", errUsage)
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	worktree := flags.Bool("worktree", false, "")
	db := flags.String("db", defaultVulnDB, "")
	allowUnreachable := flags.Bool("allow-unreachable", false, "")
	if err := flags.Parse(args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	top, err := topLevel(ctx, dir)
	if err != nil {
		return err
	}
	r := &runner{top: top, out: out, errOut: errOut}
	name := args[0]
	switch {
	case name == "prepare" && flags.NArg() == 1:
		return r.prepare(ctx, flags.Arg(0))
	case flags.NArg() > 0:
		return fmt.Errorf("%w: %q takes no such arguments", errUsage, name)
	case name == "check":
		return r.check(ctx, *worktree)
	case name == "tidy":
		return r.tidy(ctx)
	case name == "vuln":
		return r.vuln(ctx, *db, *allowUnreachable)
	case name == "tags":
		return r.tags(ctx)
	case name == "api":
		return r.api(ctx)
	case name == "licenses":
		return r.licenses(ctx)
	case name == "prepare":
		return fmt.Errorf("%w: prepare takes one version such as v0.2.0", errUsage)
	}
	return fmt.Errorf("%w: unknown command %q", errUsage, name)
}
