// Package programtest runs the examples' programs for their tests.
package programtest

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
)

// Patience ends a test that hangs.
const Patience = 10 * time.Minute

// Process is a running program.
type Process struct {
	t   *testing.T
	cmd *exec.Cmd
	// Base is the URL at which the program listens.
	Base string

	mu  sync.Mutex
	out bytes.Buffer
	eof chan struct{}
}

var listening = regexp.MustCompile(`msg=listening addr=(\S+)`)

// Start runs a program and waits until it listens. The program ends with the
// test.
func Start(t *testing.T, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{t: t, cmd: cmd, eof: make(chan struct{})}
	servicetest.DieWithParent(cmd, syscall.SIGTERM)
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(p.End)
	up := make(chan string, 1)
	go func() {
		defer close(p.eof)
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			p.mu.Lock()
			p.out.WriteString(lines.Text() + "\n")
			p.mu.Unlock()
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				up <- "http://" + m[1]
			}
		}
	}()
	select {
	case p.Base = <-up:
	case <-p.eof:
		t.Fatal("the program ended:\n", p.Output())
	case <-time.After(Patience):
		t.Fatal("the program did not start:\n", p.Output())
	}
	return p
}

// End stops the program, and kills it if it does not end.
func (p *Process) End() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.eof:
	case <-time.After(Patience):
		p.Kill()
	}
	_ = p.cmd.Wait()
}

// Kill kills the program, and waits for its end.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.eof
}

// Output returns what the program has logged so far.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// Says waits until the program has logged a text.
func (p *Process) Says(text string) {
	p.t.Helper()
	Eventually(p.t, func() bool { return strings.Contains(p.Output(), text) }, func() string { return text + "\n" + p.Output() })
}

// Eventually waits until something is so that another process does. explain
// says what did not happen.
func Eventually(t *testing.T, is func() bool, explain func() string) {
	t.Helper()
	for end := time.Now().Add(Patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) { // another process does it
		if is() {
			return
		}
	}
	t.Fatal("it did not happen: ", explain())
}

// platformBinary builds examples/platform.
func platformBinary(t *testing.T) string {
	t.Helper()
	servicetest.Program(t, "go")
	file := filepath.Join(t.TempDir(), "platform.exe")
	out, err := exec.Command("go", "build", "-o", file, "../platform").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return file
}

// StartPlatform builds and runs examples/platform. The platform waits as long
// as it takes for an app to become healthy.
func StartPlatform(t *testing.T) *Process {
	t.Helper()
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	require.NoError(t, err)
	cmd := exec.Command(platformBinary(t), "-addr", "127.0.0.1:0", "-drain", "0", "-watch", "100ms", "-health-timeout", "1h",
		"-retry-scale", "0.02", "-allow-networks", "127.0.0.0/8")
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "TMPDIR=" + t.TempDir(), "GOCACHE=" + strings.TrimSpace(string(cache))}
	return Start(t, cmd)
}
