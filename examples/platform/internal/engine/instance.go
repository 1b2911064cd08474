package engine

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// instance is a running program of a version of an app.
type instance struct {
	version string
	addr    string
	cmd     *exec.Cmd
	output  *tail
	done    chan struct{} // closed when the process has ended and was waited for

	mu       sync.Mutex
	inflight int
	draining bool
	idle     chan struct{} // closed when the instance drains and no request is in flight
}

// startInstance runs a program on a free port of the loopback interface. The
// platform opens the socket and passes it as file descriptor 3. No other
// process can take the port, and connections wait until the program accepts
// them.
func startInstance(ctx context.Context, bin string, d Deployment) (*instance, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer listener.Close() // the child has its own
	tcp, ok := listener.(*net.TCPListener)
	if !ok {
		return nil, fmt.Errorf("not a TCP listener: %T", listener)
	}
	file, err := tcp.File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	i := &instance{version: d.Version, addr: tcp.Addr().String(), output: &tail{}, done: make(chan struct{}), idle: make(chan struct{})}
	_, port, _ := net.SplitHostPort(i.addr)
	i.cmd = exec.Command(bin)
	// A customer's program gets only these variables, and none of the
	// platform's environment.
	i.cmd.Env = []string{"APP=" + d.App, "VERSION=" + d.Version, "DEPLOYMENT_ID=" + d.ID, "PORT=" + port, "LISTEN_FDS=1"}
	i.cmd.Dir = os.TempDir()
	i.cmd.ExtraFiles = []*os.File{file}
	i.cmd.Stdout, i.cmd.Stderr = i.output, i.output
	i.cmd.WaitDelay = 2 * time.Second
	isolate(i.cmd)
	started := make(chan error)
	go i.supervise(started)
	if err := <-started; err != nil {
		return nil, err
	}
	return i, nil
}

// supervise starts the process and waits for its end on the same thread, see
// isolate.
func (i *instance) supervise(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(i.done)
	err := i.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	_ = i.cmd.Wait()                   // only that it ended matters
	_ = killGroup(i.cmd.Process, true) // processes that it left
}

// exited returns how the process ended, or nil while it runs.
func (i *instance) exited() error {
	err := fmt.Errorf("the instance exited: %s", i.cmd.ProcessState)
	if said := i.output.String(); said != "" {
		err = fmt.Errorf("%w; it said: %s", err, said)
	}
	return err
}

// stop ends the process with SIGTERM, and kills it after the grace period. It
// returns when the process has ended.
func (i *instance) stop(grace time.Duration) {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	_ = killGroup(i.cmd.Process, false) // if it fails, the process has ended or is killed below
	select {
	case <-i.done:
		return
	case <-timer.C:
	}
	_ = killGroup(i.cmd.Process, true) // fails only if the process has ended
	<-i.done
}

// enter counts a request, unless the instance is draining.
func (i *instance) enter() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.draining {
		return false
	}
	i.inflight++
	return true
}

func (i *instance) leave() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.inflight--
	if i.draining && i.inflight == 0 {
		close(i.idle)
	}
}

// drain refuses new requests and waits for those in flight, up to limit.
func (i *instance) drain(ctx context.Context, limit time.Duration) {
	i.mu.Lock()
	if !i.draining {
		i.draining = true
		if i.inflight == 0 {
			close(i.idle)
		}
	}
	i.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-i.idle:
	case <-i.done:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// tailLimit is how many bytes of a program's output are kept.
const tailLimit = 500

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - tailLimit; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(strings.ToValidUTF8(string(t.text), ""))
}

// pid returns the process ID for the log.
func (i *instance) pid() string { return strconv.Itoa(i.cmd.Process.Pid) }
