// Hooktool is the desk tool for webhooks. It receives, shows, records and
// forwards them, sends samples, replays recorded ones, lets GitHub and GitLab
// send again what was missed, and explains why a signature does not verify.
//
//	go run github.com/deployhook/deployhook/examples/hooktool@latest help
//
// All commands exit with one of these:
//
//	status   meaning
//	0        fine
//	1        a fault was found, or something failed
//	2        wrong usage
//	3        a signal or -timeout ended the command before it was done
//
// Secrets are read from the environment or from a file, never from a flag, and
// are never printed. Only the command secret prints the secret that it makes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/deployhook/deployhook/receiver/service"
)

// Exit statuses, which every command shares.
const (
	exitFine        = 0
	exitFault       = 1
	exitUsage       = 2
	exitInterrupted = 3
)

func main() {
	ctx, stop := service.Signals(context.Background())
	code := run(ctx, os.Args[1:], system{
		getenv: os.Getenv, now: time.Now, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
	})
	stop()
	os.Exit(code)
}

// system is the part of the machine that the commands use.
type system struct {
	getenv         func(string) string
	now            func() time.Time
	stdin          io.Reader
	stdout, stderr io.Writer
}

// commands returns all commands, in the order of the help. To add a command,
// write a file with a function that returns it, and add a line here.
func commands() []command {
	return []command{
		listenCommand(),
		triggerCommand(),
		replayCommand(),
		recoverCommand(),
		verifyCommand(),
		signCommand(),
		secretCommand(),
		versionCommand(),
	}
}

// usageError is a mistake in the call.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// errFault ends a command that has reported what is wrong in its own output.
var errFault = errors.New("a fault was found")

// errInterrupted ends a command that a signal or -timeout has ended early.
var errInterrupted = errors.New("ended before it was done")

// run runs a command and returns the exit status.
func run(ctx context.Context, args []string, s system) int {
	if len(args) == 0 {
		printOverview(s.stderr)
		return exitUsage
	}
	name, rest := args[0], args[1:]
	switch name {
	case "help", "-h", "-help", "--help":
		return help(rest, s)
	case "-version", "--version":
		name = "version"
	}
	for _, c := range commands() {
		if c.name == name {
			return c.execute(ctx, rest, s)
		}
	}
	fmt.Fprintf(s.stderr, "hooktool: unknown command %q; the commands are %s\n", cut(name, 40), names())
	return exitUsage
}

// help prints the overview, or the help of one command.
func help(args []string, s system) int {
	if len(args) == 0 {
		printOverview(s.stdout)
		return exitFine
	}
	if args[0] == "schemes" {
		printSchemes(s.stdout)
		return exitFine
	}
	for _, c := range commands() {
		if c.name == args[0] {
			c.printHelp(s.stdout)
			return exitFine
		}
	}
	fmt.Fprintf(s.stderr, "hooktool: help: unknown command %q; the commands are %s\n", cut(args[0], 40), names())
	return exitUsage
}

func names() string {
	var all []string
	for _, c := range commands() {
		all = append(all, c.name)
	}
	return strings.Join(all, ", ")
}

func printOverview(out io.Writer) {
	fmt.Fprint(out, "Usage: hooktool COMMAND [flags] [arguments]\n\nThe desk tool for webhooks.\n\n")
	var rows [][]string
	for _, c := range commands() {
		rows = append(rows, []string{"  " + c.name, c.summary})
	}
	rows = append(rows, []string{"  help COMMAND", "describe a command, with examples"}, []string{"  help schemes", "list the schemes of signatures"})
	printTable(out, rows)
	fmt.Fprint(out, "\n"+environmentHelp+"\n"+exitHelp)
}

const exitHelp = `Exit status of every command:
  0  fine
  1  a fault was found, or something failed
  2  wrong usage
  3  a signal or -timeout ended the command before it was done
`

const environmentHelp = `Secrets come from the environment or from a file, never from a flag:
  HOOKTOOL_SECRET           whsec_, whsk_ or whpk_ for Standard Webhooks, the
                            text itself for other schemes
  HOOKTOOL_PREVIOUS_SECRET  the secret before the last rotation
  HOOKTOOL_API_TOKEN        the token of a management API
  HOOKTOOL_PLATFORM_TOKEN   the token of GitHub or GitLab, for recover
  HOOKTOOL_GITHUB_APP_KEY   the private key of a GitHub App, for recover
  ..._FILE                  a file that contains one of them
`
