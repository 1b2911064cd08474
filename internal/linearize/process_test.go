package linearize

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/deployhook/deployhook/internal/servicetest"
)

// process makes calls of a history. It is one of this test binary, or only a
// part of it with its own connections.
type process interface {
	// begin lets the clients begin. It is called once, after open.
	begin()
	// wait returns when the clients have made their calls. A killed process is
	// no error.
	wait() error
}

// inside is a process within this one.
type inside struct {
	ctx     context.Context
	task    task
	caller  func(client) caller
	close   func() error
	history *history
	ended   chan struct{}
}

func openInside(ctx context.Context, t task, h *history) (*inside, error) {
	newCaller, closeStore, err := subjectOf(t.Subject).open(ctx, t)
	if err != nil {
		return nil, err
	}
	return &inside{ctx, t, newCaller, closeStore, h, make(chan struct{})}, nil
}

func (p *inside) begin() {
	go func() {
		defer close(p.ended)
		work(p.ctx, p.task, p.caller, func(l line) { p.history.add(p.task.Process, l) })
	}()
}

func (p *inside) wait() error {
	<-p.ended
	return p.close()
}

// childEnv has the task of a child as JSON.
const childEnv = "DEPLOYHOOK_LINEARIZE_CHILD"

// child is a process of its own, which can be frozen and killed.
type child struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser // the clients begin when it is closed
	read  chan error     // the end of its output
	ended chan error
}

const ready = "ready"

// openChild starts a child and returns when it has opened the store.
func openChild(t task, h *history) (*child, error) {
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	stdout, childStdout, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	cmd.Stdout, cmd.Stderr = childStdout, os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	servicetest.DieWithParent(cmd, syscall.SIGKILL)
	c := &child{cmd: cmd, stdin: stdin, read: make(chan error, 1), ended: make(chan error, 1)}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // DieWithParent watches the thread that starts the process
		err := cmd.Start()
		_ = childStdout.Close()
		started <- err
		if err == nil {
			c.ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, errors.Join(err, stdout.Close())
	}
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() || lines.Text() != ready {
		_ = cmd.Process.Kill()
		return nil, fmt.Errorf("process %d did not start: %w", t.Process, errors.Join(<-c.ended, stdout.Close()))
	}
	go func() {
		c.read <- errors.Join(collect(lines, t.Process, h), stdout.Close())
	}()
	return c, nil
}

// collect adds the lines of a child to a history.
func collect(lines *bufio.Scanner, process int, h *history) error {
	for lines.Scan() {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return fmt.Errorf("process %d wrote %q: %w", process, lines.Text(), err)
		}
		h.add(process, l)
	}
	return lines.Err()
}

func (c *child) begin() { _ = c.stdin.Close() }

func (c *child) wait() error {
	err := <-c.read
	if ended := <-c.ended; ended != nil && c.cmd.ProcessState.ExitCode() >= 0 {
		err = errors.Join(err, ended) // it was not killed
	}
	return err
}

// runChild is the main function of a child.
func runChild(text string) error {
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return err
	}
	ctx := context.Background()
	newCaller, closeStore, err := subjectOf(t.Subject).open(ctx, t)
	if err != nil {
		return err
	}
	fmt.Println(ready)
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent says go
	work(ctx, t, newCaller, writer(os.Stdout))
	return closeStore()
}
