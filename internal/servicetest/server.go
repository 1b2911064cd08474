package servicetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patience is how long a server may take to start or to end. Only a hang
// exceeds it, also on shared machines.
const patience = 2 * time.Minute

// answerTime is how long a server gets for one answer before the next request.
// A starting server may accept a connection and never answer on it.
const answerTime = 2 * time.Second

// Server is a private server process on a separate loopback port. Its settings
// are durable, so a confirmed write is on disk. At the end of the test the
// server is stopped and its data removed. Call its methods only on the test's
// goroutine.
type Server struct {
	t       TB
	scheme  string // of the URL, with the account
	path    string // of the URL
	addr    string
	log     string
	command func(port string) *exec.Cmd
	ready   func(addr string) error
	process *exec.Cmd
	ended   chan struct{} // closed when the process has ended
}

// launch starts the server for the first time. If another process takes its
// port first, launch tries another port.
func (s *Server) launch() {
	s.t.Helper()
	s.t.Cleanup(s.end)
	deadline := time.Now().Add(patience)
	for {
		s.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(FreePort(s.t)))
		if err := s.tryStart(deadline); err == nil {
			return
		} else if time.Now().After(deadline) {
			s.failed(err)
		}
	}
}

// URL returns the server's URL, postgres://… or redis://…. It is the same after
// a restart.
func (s *Server) URL() string { return s.scheme + s.addr + s.path }

// Addr returns the server's host and port, for a proxy in front of it.
func (s *Server) Addr() string { return s.addr }

// Log returns the server's log so far.
func (s *Server) Log() string {
	s.t.Helper()
	text, err := os.ReadFile(s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// Kill ends the server and its children with SIGKILL. It returns after they
// have ended.
func (s *Server) Kill() {
	s.t.Helper()
	if s.process == nil {
		return
	}
	deadline := time.Now().Add(patience)
	s.stopForking(deadline)
	family := s.family()
	for _, pid := range family {
		_ = kill(pid)
	}
	<-s.ended
	s.process = nil
	for _, pid := range family {
		for alive(pid) {
			if time.Now().After(deadline) {
				s.t.Fatalf("process %d of the server outlived SIGKILL", pid)
			}
			// no event for processes that are not our children
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// stopForking freezes the server's process, so that it starts no child after
// its children were listed. Such a child would not be killed, and could wait
// forever for a lock of a killed process. The next server would then refuse to
// start with the same data.
func (s *Server) stopForking(deadline time.Time) {
	s.t.Helper()
	pid := s.process.Process.Pid
	if Pause(pid) != nil {
		// The process has ended, or this system cannot freeze it.
		return
	}
	for alive(pid) && state(pid) != "T" {
		if time.Now().After(deadline) {
			s.t.Fatalf("process %d of the server did not stop", pid)
		}
		time.Sleep(time.Millisecond) // no event for it
	}
}

// Restart starts the server again after [Server.Kill], with the same port and
// data. It returns when the server answers.
func (s *Server) Restart() {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		// its old port or its lock may still be in use
		err := s.tryStart(deadline)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.failed(err)
		}
	}
}

// tryStart starts the server unless it runs, and waits until it answers, ends
// or the deadline has passed. A server that has ended may have lost its port to
// another process, whose answer does not count.
func (s *Server) tryStart(deadline time.Time) error {
	s.t.Helper()
	if s.process == nil {
		s.start()
	}
	for {
		err := s.ready(s.addr)
		select {
		case <-s.ended:
			s.process = nil
			time.Sleep(20 * time.Millisecond) // before another try
			return errors.New("it ended")
		default:
		}
		if err == nil || time.Now().After(deadline) {
			return err
		}
		// the server has no event for being ready
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *Server) failed(err error) {
	s.t.Helper()
	text, _ := os.ReadFile(s.log)
	s.t.Fatalf("the server did not start: %v\n%s", err, last(text, 2000))
}

func (s *Server) start() {
	s.t.Helper()
	_, port, _ := net.SplitHostPort(s.addr)
	cmd := s.command(port)
	out, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	// a test binary that is killed leaves no server behind
	DieWithParent(cmd, syscall.SIGKILL)
	started := make(chan error, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// Pdeathsig refers to the thread that starts the process, so that
		// thread must live on. Wait keeps it.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		s.t.Fatalf("starting %s: %v", cmd.Path, err)
	}
	s.process, s.ended = cmd, ended
}

func (s *Server) end() {
	if s.process == nil {
		return
	}
	for _, pid := range s.family() {
		_ = Resume(pid) // the server may be frozen
	}
	s.Kill()
}

// Pause freezes the server with SIGSTOP. Connections stay open and the kernel
// accepts new ones, but the server does not answer. On a system without that
// signal it skips the test.
func (s *Server) Pause() {
	s.t.Helper()
	s.signal(Pause)
}

// Resume ends a [Server.Pause].
func (s *Server) Resume() {
	s.t.Helper()
	s.signal(Resume)
}

func (s *Server) signal(send func(pid int) error) {
	s.t.Helper()
	if s.process == nil {
		s.t.Fatal("the server is not running")
	}
	for _, pid := range s.family() {
		if err := send(pid); errors.Is(err, errors.ErrUnsupported) {
			Skip(s.t, "this system cannot freeze a process")
		}
	}
}

// family returns the server's process and its children. PostgreSQL puts these
// into separate sessions.
func (s *Server) family() []int {
	root := s.process.Process.Pid
	family := []int{root}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended meanwhile
		}
		// The line is "pid (name) state ppid …". The name may contain any
		// character.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) < 2 {
			continue
		}
		if ppid, _ := strconv.Atoi(fields[1]); ppid == root {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
				family = append(family, pid)
			}
		}
	}
	return family
}

// alive reports whether the process runs. It returns false for a process that
// has ended, even before its parent has waited for it.
func alive(pid int) bool {
	s := state(pid)
	return s != "" && s != "Z"
}

// state returns the letter of a process's state, such as T for a stopped one.
// It is empty if there is no such process.
func state(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) == 0 {
		return ""
	}
	return fields[0]
}

// The ports are below the range that the kernel uses for outgoing connections
// and for listeners without a fixed port. These can therefore not take a port
// while its server is down.
const firstPort, afterLastPort = 15000, 32000

// FreePort returns an unused port on loopback.
func FreePort(t TB) int {
	t.Helper()
	var problem error
	for range 100 {
		port := firstPort + rand.IntN(afterLastPort-firstPort)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			_ = l.Close()
			return port
		}
		problem = err
	}
	t.Fatalf("no free port: %v", problem)
	return 0
}

func last(text []byte, n int) []byte { return text[max(0, len(text)-n):] }
