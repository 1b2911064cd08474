// Deploynotify reports a deployment from a pipeline. It reads what the CI
// system says about the run, builds the event, signs it, sends it, and retries
// for about a minute.
//
//	go run github.com/deployhook/deployhook/examples/deploynotify@latest -environment production -status success
//
// It exits with 0 when the event was delivered, 1 when it was not, and 2 when
// it was called wrongly. One line says which. Every flag has a twin in the
// environment. Secrets are read from there or from a file, never from a flag.
// Run it with -h for all flags, and with -dry-run to see the request without
// sending it.
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

// grace is how long the work may go on after the timeout or a signal. Work
// that follows its context needs none of it. The grace bounds a read or a write
// that hangs in the kernel, such as one on a network file system.
const grace = 2 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], surroundings{
		getenv: os.Getenv, files: os.DirFS("/"), git: runGit, proxy: http.ProxyFromEnvironment, stdout: os.Stdout, stderr: os.Stderr,
	})
	stop()
	os.Exit(code)
}

// surroundings is what the program sees of the machine.
type surroundings struct {
	getenv         func(string) string
	files          fs.FS
	git            func(ctx context.Context, args ...string) (string, error)
	proxy          func(*http.Request) (*url.URL, error) // of the environment
	stdout, stderr io.Writer
}

func runGit(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.WaitDelay = grace / 2 // a child of git may keep its output open
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

// usageError is a mistake in how the program was called. The exit status is 2.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// run is the program. It returns the exit status.
func run(ctx context.Context, args []string, s surroundings) int {
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
		fmt.Fprintln(s.stderr, "deploynotify: NOT delivered, and -fail-open is set:", err)
		return exitDelivered
	}
	fmt.Fprintln(s.stderr, "deploynotify: not delivered:", err)
	return exitNotDelivered
}

// within returns what work returns, or gives up on it when the context has
// ended and the grace is over. The process is about to exit then.
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
		return "", ended(ctx)
	}
}

// notify does the work and returns the line to print.
func notify(ctx context.Context, o *options, s surroundings) (string, error) {
	if err := o.readCredentials(s); err != nil {
		return "", err
	}
	detected, err := ci.Detect(ctx, ci.Environment{Getenv: s.getenv, Files: s.files, Git: s.git})
	if ctx.Err() != nil {
		return "", fmt.Errorf("%w, while reading what the CI system and git say of the run", ended(ctx))
	}
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
