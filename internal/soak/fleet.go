package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/deployhook/deployhook/internal/servicetest"
)

// fleet is the processes of a world. A process that is killed is replaced.
type fleet struct {
	task   task   // what all of them have in common
	logs   string // directory
	heard  func(*member, report)
	failed func(format string, args ...any) // takes a violation

	members []*member
	wait    sync.WaitGroup
}

// member is a process, or its replacement after it was killed.
type member struct {
	role   string
	steady bool // it is never killed

	mu       sync.Mutex
	cmd      *exec.Cmd
	stdin    io.WriteCloser
	starts   int
	expected bool         // its end is
	killed   *atomic.Bool // the current process, by crash
	ending   bool         // it is not replaced
	quiet    bool
	ready    chan struct{} // closed when the current process works
	gone     chan struct{} // closed when it has ended
	ends     []func()      // what to do when it has ended
}

func (m *member) String() string {
	if m.steady {
		return "the steady " + m.role
	}
	return "the other " + m.role
}

// start starts two processes of each role.
func (f *fleet) start() {
	for _, role := range []string{sending, receiving} {
		for _, steady := range []bool{true, false} {
			m := &member{role: role, steady: steady}
			f.members = append(f.members, m)
			f.wait.Go(func() { f.keepAlive(m) })
		}
	}
}

// find returns the process of a role.
func (f *fleet) find(role string, steady bool) *member {
	for _, m := range f.members {
		if m.role == role && m.steady == steady {
			return m
		}
	}
	panic("there is no such process") // start starts all four
}

// keepAlive runs a process, and another one each time it has ended.
func (f *fleet) keepAlive(m *member) {
	runtime.LockOSThread() // the process dies with the thread that started it
	for {
		out, again, err := f.launch(m)
		if err != nil {
			f.failed("starting %s: %v", m, err)
			return
		}
		if !again {
			return
		}
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			var one report
			if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
				f.failed("%s wrote %q: %v", m, lines.Text(), err)
				continue
			}
			if one.Kind == isReady {
				m.setReady()
			}
			f.heard(m, one)
		}
		f.bury(m)
	}
}

// launch starts a process. It reports false if there is to be none.
func (f *fleet) launch(m *member) (io.Reader, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ending {
		return nil, false, nil
	}
	m.starts++
	own := f.task
	own.Role, own.Name = m.role, fmt.Sprintf("%s-%d", m.role, m.starts)
	if m.steady {
		own.Name = m.role + "-steady"
	}
	cmd, err := own.command()
	if err != nil {
		return nil, false, err
	}
	log, err := os.OpenFile(filepath.Join(f.logs, own.Store+"-"+own.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, false, err
	}
	defer log.Close()
	cmd.Stderr = log
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, false, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, false, err
	}
	m.cmd, m.stdin, m.expected, m.killed = cmd, in, false, new(atomic.Bool)
	m.ready, m.gone = make(chan struct{}), make(chan struct{})
	if err := cmd.Start(); err != nil {
		return nil, false, err
	}
	if m.quiet {
		_, err = fmt.Fprintln(in, quietLine)
	}
	return out, true, err
}

// command is this program with a task. It dies with the command.
func (t task) command() (*exec.Cmd, error) {
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	servicetest.DieWithParent(cmd, syscall.SIGKILL)
	return cmd, nil
}

func (m *member) setReady() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.ready)
}

// isReady reports whether the current process works.
func (m *member) isReady() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cmd != nil && closed(m.ready) && !closed(m.gone)
}

// isReady reports whether all processes work.
func (f *fleet) isReady() bool {
	return !slices.ContainsFunc(f.members, func(m *member) bool { return !m.isReady() })
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// bury waits for a process that has closed its output.
func (f *fleet) bury(m *member) {
	err := m.cmd.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.stdin.Close() // Wait has closed it
	if !m.expected {
		f.failed("%s (pid %d) ended by itself: %v; its log is %s", m, m.cmd.Process.Pid, ending(err), f.logs)
	}
	for _, f := range m.ends {
		f()
	}
	m.ends = nil
	close(m.gone)
}

// onEnd calls f when the current process has ended.
func (m *member) onEnd(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ends = append(m.ends, f)
}

// ending describes how a process ended.
func ending(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// crash ends the current process with SIGKILL.
func (m *member) crash() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expected = true
	if m.cmd != nil {
		m.killed.Store(true)
		_ = m.cmd.Process.Kill() // it may have ended
	}
}

// patience is how long a process may take to start or to end. Only a hang takes
// longer, also on a machine with much other work.
const patience = 2 * time.Minute

// terminate asks the current process to end, and waits until it has. A process
// that does not end in time is killed. One that has just started is given time
// to listen to the signal.
func (f *fleet) terminate(m *member) {
	m.mu.Lock()
	cmd, ready, gone, killed := m.cmd, m.ready, m.gone, m.killed
	m.mu.Unlock()
	if cmd == nil {
		return
	}
	select {
	case <-ready:
	case <-gone:
		return
	case <-time.After(patience):
		f.failed("%s was not ready within %v; its log is in %s", m, patience, f.logs)
		m.crash()
		<-gone
		return
	}
	m.expect()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		m.crash() // it has ended, or this system has no such signal
	}
	select {
	case <-gone:
		// Another fault may have killed it meanwhile.
		if status := cmd.ProcessState; !status.Success() && !killed.Load() {
			f.failed("%s was asked to end, and failed: %v; its log is in %s", m, status, f.logs)
		}
	case <-time.After(patience):
		f.failed("%s was asked to end, and did not within %v; its log is in %s", m, patience, f.logs)
		m.crash()
		<-gone
	}
}

// expect says that the current process will end.
func (m *member) expect() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expected = true
}

// pause freezes the current process for a while.
func (m *member) pause(d time.Duration, done <-chan struct{}) error {
	m.mu.Lock()
	cmd, gone := m.cmd, m.gone
	m.mu.Unlock()
	if cmd == nil {
		return errors.New("it has not started")
	}
	if err := servicetest.Pause(cmd.Process.Pid); err != nil {
		return err
	}
	select {
	case <-time.After(d):
	case <-done:
	case <-gone:
		return nil
	}
	return servicetest.Resume(cmd.Process.Pid)
}

// hush tells the senders to publish nothing more.
func (f *fleet) hush() {
	for _, m := range f.members {
		m.mu.Lock()
		m.quiet = true
		if m.role == sending && m.stdin != nil {
			_, _ = fmt.Fprintln(m.stdin, quietLine) // the process may have ended; the next one is told
		}
		m.mu.Unlock()
	}
}

// stop ends all processes gently, one after the other in a random order.
func (f *fleet) stop() {
	for _, i := range rand.Perm(len(f.members)) {
		m := f.members[i]
		m.mu.Lock()
		m.ending = true
		m.mu.Unlock()
		f.terminate(m)
	}
	f.wait.Wait()
}
