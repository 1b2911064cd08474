// Deploynotify reports a deployment from a pipeline: it reads what the CI system says about the run, builds the event,
// signs it, sends it, and retries for about a minute.
//
//	go run github.com/deployhook/deployhook/examples/deploynotify@latest -environment production -status success
//
// It exits with 0 when the event was delivered, 1 when it was not, and 2 when it was used wrongly, with one line that
// says which. Every flag has a twin in the environment; secrets are read from there (or from a file) and never from
// a flag. Run it with -h for all of them, and with -dry-run to see the request without sending it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/deployhook/deployhook/payload/ci"
)

// Exit statuses.
const (
	exitDelivered    = 0
	exitNotDelivered = 1
	exitUsage        = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], surroundings{getenv: os.Getenv, files: os.DirFS("/"), git: runGit, stdout: os.Stdout, stderr: os.Stderr})
	stop()
	os.Exit(code)
}

// surroundings is what the program sees of the machine.
type surroundings struct {
	getenv         func(string) string
	files          fs.FS
	git            func(ctx context.Context, args ...string) (string, error)
	stdout, stderr io.Writer
}

func runGit(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "git", args...).Output()
	return strings.TrimSpace(string(out)), err
}

// usageError is a mistake in how the program was called: exit status 2.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// run is the program; it returns the exit status.
func run(ctx context.Context, args []string, s surroundings) int {
	o, err := parse(args, s)
	if errors.Is(err, flag.ErrHelp) {
		return exitDelivered
	}
	if err != nil {
		fmt.Fprintln(s.stderr, "deploynotify:", err)
		return exitUsage
	}
	if o.version {
		fmt.Fprintln(s.stdout, toolVersion())
		return exitDelivered
	}
	line, err := notify(ctx, o, s)
	var usage usageError
	switch {
	case err == nil:
		fmt.Fprintln(s.stderr, "deploynotify:", line)
		return exitDelivered
	case errors.As(err, &usage):
		fmt.Fprintln(s.stderr, "deploynotify:", err)
		return exitUsage
	case o.failOpen:
		fmt.Fprintln(s.stderr, "deploynotify: NOT delivered, and -fail-open is set:", err)
		return exitDelivered
	}
	fmt.Fprintln(s.stderr, "deploynotify: not delivered:", err)
	return exitNotDelivered
}

// notify does the work and returns the line to print.
func notify(ctx context.Context, o *options, s surroundings) (string, error) {
	detected, err := ci.Detect(ctx, ci.Environment{Getenv: s.getenv, Files: s.files, Git: s.git})
	if err != nil {
		return "", err
	}
	rep, err := o.report(detected)
	if err != nil {
		return "", err
	}
	msg, header, err := rep.message(o)
	if err != nil {
		return "", err
	}
	return o.send(ctx, s, rep, msg, header)
}
