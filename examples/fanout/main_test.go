package main

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

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/servicetest"
)

const asProgram = "DEPLOYHOOK_TEST_AS_FANOUT"

// The test binary becomes the program if an environment variable says so.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "1" {
		main()
		os.Exit(0)
	}
	leaktest.Main(m)
}

// patience ends a test that hangs.
const patience = 10 * time.Minute

// process is a running program.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	base string

	mu  sync.Mutex
	out bytes.Buffer
	eof chan struct{}
}

var listening = regexp.MustCompile(`msg=listening addr=(\S+)`)

// start runs a program and waits until it listens.
func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, eof: make(chan struct{})}
	servicetest.DieWithParent(cmd, syscall.SIGTERM)
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(p.end)
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
	case p.base = <-up:
	case <-p.eof:
		t.Fatal("the program ended:\n", p.output())
	case <-time.After(patience):
		t.Fatal("the program did not start:\n", p.output())
	}
	return p
}

// end stops the program, and kills it if it does not end.
func (p *process) end() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.eof:
	case <-time.After(patience):
		p.kill()
	}
	_ = p.cmd.Wait()
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.eof
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

func eventually(t *testing.T, is func() bool, explain func() string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) { // another process does it
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

// startPlatform runs the platform. It waits as long as it takes for an app to
// become healthy.
func startPlatform(t *testing.T) *process {
	t.Helper()
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	require.NoError(t, err)
	cmd := exec.Command(platformBinary(t), "-addr", "127.0.0.1:0", "-drain", "0", "-watch", "100ms", "-health-timeout", "1h",
		"-retry-scale", "0.02", "-allow-networks", "127.0.0.0/8")
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "TMPDIR=" + t.TempDir(), "GOCACHE=" + strings.TrimSpace(string(cache))}
	return start(t, cmd)
}
