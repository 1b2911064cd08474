// Deploynotify reports a deployment from a pipeline. It reads the run's data
// from the CI system, builds and signs the event, sends it, and retries for
// about a minute.
//
//	go run github.com/deployhook/deployhook/examples/deploynotify@latest -environment production -status success
//
// It prints one line and exits with one of these:
//
//	status   meaning
//	0        delivered
//	1        not delivered
//	2        wrong usage
//
// Every flag but -version can also be set by an environment variable. Secrets
// are read from the environment or from a file, never from a flag. Use -h to
// list all flags, and -dry-run to see the request without sending it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/deployhook/deployhook/payload/ci"
)

// Exit statuses.
const (
	exitDelivered    = 0
	exitNotDelivered = 1
	exitUsage        = 2
)

// grace is how long the work may continue after the timeout or a signal. Work
// that ends with its context needs none of it. The limit matters for a read or
// a write that hangs in the kernel, for example on a network file system.
const grace = 2 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], system{
		getenv: os.Getenv, files: os.DirFS("/"), git: runGit, proxy: http.ProxyFromEnvironment, stdout: os.Stdout, stderr: os.Stderr,
	})
	stop()
	os.Exit(code)
}

// system is the part of the machine that the program uses.
type system struct {
	getenv         func(string) string
	files          fs.FS
	git            func(ctx context.Context, args ...string) (string, error)
	proxy          func(*http.Request) (*url.URL, error) // proxy selected by the environment
	stdout, stderr io.Writer
}

func runGit(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.WaitDelay = grace / 2 // a child of git may keep its output open
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

// usageError is a mistake in the call. The exit status is 2.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// run runs the program and returns the exit status.
func run(ctx context.Context, args []string, s system) int {
	o, err := parse(args, s)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitDelivered
	case err != nil:
		fmt.Fprintln(s.stderr, "deploynotify:", err)
		return exitUsage
	case o.version:
		fmt.Fprintln(s.stdout, toolVersion())
		return exitDelivered
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	line, err := within(ctx, func() (string, error) { return notify(ctx, o, s) })
	var usage usageError
	switch {
	case err == nil:
		fmt.Fprintln(s.stderr, "deploynotify:", line)
		return exitDelivered
	case errors.As(err, &usage):
		fmt.Fprintln(s.stderr, "deploynotify:", err)
		return exitUsage
	case o.failOpen:
		fmt.Fprintln(s.stderr, "deploynotify: NOT delivered, but the exit status is 0 because of -fail-open:", err)
		return exitDelivered
	}
	fmt.Fprintln(s.stderr, "deploynotify: not delivered:", err)
	return exitNotDelivered
}

// within returns the result of work. If the context ends, it gives up after the
// grace period. The process then exits.
func within(ctx context.Context, work func() (string, error)) (string, error) {
	type result struct {
		line string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		line, err := work()
		done <- result{line, err}
	}()
	select {
	case r := <-done:
		return r.line, r.err
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.line, r.err
	case <-timer.C:
		return "", endReason(ctx)
	}
}

// notify does the work and returns the line to print.
func notify(ctx context.Context, o *options, s system) (string, error) {
	if err := o.readCredentials(s); err != nil {
		return "", err
	}
	detected, err := ci.Detect(ctx, ci.Environment{Getenv: s.getenv, Files: s.files, Git: s.git})
	if ctx.Err() != nil {
		return "", fmt.Errorf("%w, while reading the run's data from the CI system and git", endReason(ctx))
	}
	if err != nil {
		return "", err
	}
	rep, err := o.report(detected)
	if err != nil {
		return "", err
	}
	msg, header, err := rep.message(ctx, o)
	if err != nil {
		return "", err
	}
	return o.send(ctx, s, rep, msg, header)
}
