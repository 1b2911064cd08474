package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
)

func main() {
	if text := os.Getenv(childEnv); text != "" {
		if err := runChild(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the command. It returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	if err := c.makeOut(); err != nil {
		fmt.Fprintln(stderr, "soak: -out:", err)
		return 2
	}
	progress := stdout
	if c.json {
		progress = stderr
	}
	p := &printer{out: progress}
	p.print("seed %d; plots, samples and logs go to %s", c.seed, c.out)
	p.print("%s", progressHead)
	s, err := c.soak(ctx, p)
	if err != nil {
		fmt.Fprintln(stderr, "soak:", err)
		return 1
	}
	if c.json {
		err = s.writeJSON(stdout)
	} else {
		s.write(stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "soak:", err)
		return 1
	}
	if !s.ok() {
		return 1
	}
	return 0
}

// makeOut creates the directory for what the command writes.
func (c *config) makeOut() (err error) {
	if c.out == "" {
		c.out, err = os.MkdirTemp("", "soak-out")
		return err
	}
	return os.MkdirAll(c.out, 0o755)
}

// soak runs all worlds at the same time. The first violation ends all of them.
func (c *config) soak(ctx context.Context, p *printer) (*summary, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &summary{Seed: c.seed, Stores: make([]*result, len(c.stores))}
	errs := make([]error, len(c.stores))
	var wait sync.WaitGroup
	for i, store := range c.stores {
		wait.Go(func() {
			s.Stores[i], errs[i] = runWorld(ctx, c, store, p.print)
			if errs[i] != nil || len(s.Stores[i].Violations) > 0 {
				cancel()
			}
		})
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, s.writePage(c.out)
}

// printer prints whole lines.
type printer struct {
	mu  sync.Mutex
	out io.Writer
}

func (p *printer) print(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintln(p.out, strings.TrimRight(fmt.Sprintf(format, args...), "\n"))
}
