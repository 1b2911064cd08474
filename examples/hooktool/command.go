package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"
)

// command is an entry of the command table.
type command struct {
	name     string
	summary  string // one line for the overview
	args     string // the arguments after the flags, for the usage line
	about    string // paragraphs for people
	examples string // command lines, each with a remark
	// setup declares the flags and returns the work. The framework parses the
	// arguments in between.
	setup func(f *flag.FlagSet) func(ctx context.Context, c *call) error
}

// call is one execution of a command.
type call struct {
	system

	name string
	args []string
	json bool
	// given has the names of the flags that the caller set.
	given map[string]bool
}

// execute parses the arguments, runs the command and returns the exit status.
func (c command) execute(ctx context.Context, args []string, s system) int {
	f := flag.NewFlagSet(c.name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	this := &call{system: s, name: c.name, given: map[string]bool{}}
	timeout := commonFlags(f, this)
	work := c.setup(f)
	flags, operands := reorder(f, args)
	if err := f.Parse(flags); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			c.printHelp(s.stdout)
			return exitFine
		}
		return this.failed(ctx, usagef("%v; see hooktool help %s", err, c.name))
	}
	f.Visit(func(g *flag.Flag) { this.given[g.Name] = true })
	this.args = append(f.Args(), operands...)
	if *timeout < 0 {
		return this.failed(ctx, usagef("-timeout %v: want more than zero; leave it out for no limit", *timeout))
	}
	if *timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *timeout)
		defer cancel()
	}
	return this.failed(ctx, work(ctx, this))
}

func commonFlags(f *flag.FlagSet, c *call) (timeout *time.Duration) {
	f.BoolVar(&c.json, "json", false, "print JSON for programs, one object a line")
	return f.Duration("timeout", 0, "end the command after this `time`; default: no limit")
}

// reorder lets flags follow arguments, as in "verify file.json -json". The
// arguments after "--" stay as they are.
func reorder(f *flag.FlagSet, args []string) (flags, operands []string) {
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "--":
			return flags, append(operands, args[i+1:]...)
		case len(arg) < 2 || arg[0] != '-':
			operands = append(operands, arg)
		default:
			flags = append(flags, arg)
			if takesValue(f, arg) && i+1 < len(args) {
				i++
				flags = append(flags, args[i])
			}
		}
	}
	return flags, operands
}

// takesValue reports whether the next argument belongs to a flag.
func takesValue(f *flag.FlagSet, arg string) bool {
	name := strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-")
	if strings.Contains(name, "=") {
		return false
	}
	g := f.Lookup(name)
	if g == nil {
		return false
	}
	b, ok := g.Value.(interface{ IsBoolFlag() bool })
	return !ok || !b.IsBoolFlag()
}

// failed prints an error and returns the exit status. Nil is no failure.
func (c *call) failed(ctx context.Context, err error) int {
	code := exitFault
	var usage usageError
	switch {
	case err == nil:
		return exitFine
	case errors.As(err, &usage):
		code = exitUsage
	case errors.Is(err, errFault):
		return exitFault // it has been reported
	case errors.Is(err, errInterrupted), ctx.Err() != nil:
		code = exitInterrupted
		err = fmt.Errorf("%s: %s", endReason(ctx), strings.TrimPrefix(oneLine(err.Error()), errInterrupted.Error()+": "))
	}
	text := oneLine(err.Error())
	fmt.Fprintf(c.stderr, "hooktool %s: %s\n", c.name, text)
	if c.json {
		c.printJSON(map[string]any{"kind": "error", "error": text, "exit": code})
	}
	return code
}

// endReason says why the context ended.
func endReason(ctx context.Context) string {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return "-timeout expired"
	}
	return "interrupted by a signal"
}

// printJSON prints one line for programs.
func (c *call) printJSON(v any) {
	e := json.NewEncoder(c.stdout)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // a failed write has no reader
}

// printHelp prints all that a user needs to call the command.
func (c command) printHelp(out io.Writer) {
	f := flag.NewFlagSet(c.name, flag.ContinueOnError)
	f.SetOutput(out)
	commonFlags(f, &call{})
	c.setup(f)
	fmt.Fprintf(out, "Usage: hooktool %s\n\n%s\n\nFlags:\n", strings.TrimSpace(c.name+" [flags] "+c.args), strings.TrimSpace(c.about))
	f.PrintDefaults()
	fmt.Fprintf(out, "\nExamples:\n%s\n\n%s", indent(c.examples), exitHelp)
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")
}
