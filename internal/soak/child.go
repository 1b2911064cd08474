package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// What is in this file and in child_*.go runs in the processes that are killed.

// childEnv is the variable of the environment that holds a process's task.
const childEnv = "DEPLOYHOOK_SOAK_TASK"

// The roles of processes.
const (
	sending   = "sender"
	receiving = "receiver"
)

// task is what a process is to do.
type task struct {
	place
	Role   string
	Name   string        // unique in the run
	Rate   float64       // of a sender, in events a second
	Every  time.Duration // between two samples of memory
	Broken string        // of a receiver, see -break
}

// quietLine tells a sender to publish nothing more.
const quietLine = "quiet"

// child is a process.
type child struct {
	task
	*reporter
	log   *slog.Logger
	quiet chan struct{} // closed when there is nothing more to publish
	// faults counts contained panics of the outbox or the inbox.
	faults atomic.Pointer[func() map[string]uint64]
}

// runChild does the task until it is told to stop by SIGTERM, or its parent
// ends.
func runChild(text string) error {
	c := &child{
		reporter: &reporter{out: os.Stdout}, quiet: make(chan struct{}),
		log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if err := json.Unmarshal([]byte(text), &c.task); err != nil {
		return err
	}
	signal.Ignore(os.Interrupt) // which a terminal sends to all processes
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go c.listen()
	go c.sample(ctx)
	if c.Role == sending {
		return c.send(ctx)
	}
	return c.receive(ctx)
}

// listen reads what the parent says. The end of it is the end of the parent.
func (c *child) listen() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if lines.Text() == quietLine {
			close(c.quiet)
		}
	}
	fmt.Fprintln(os.Stderr, "the parent has ended")
	os.Exit(1)
}

// sample reports the memory now and then.
func (c *child) sample(ctx context.Context) {
	tick := time.NewTicker(c.Every)
	defer tick.Stop()
	for {
		c.report(report{Kind: isMemory, Memory: readMemory()})
		if faults := c.faults.Load(); faults != nil && len((*faults)()) > 0 {
			c.report(report{Kind: isViolation, Text: fmt.Sprintf("%s contained panics: %v", c.Name, (*faults)())})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
