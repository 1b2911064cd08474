// Package guidetest checks that a guide and its program agree. A guide is the
// README.md next to a program. Its Go snippets are lines of the program, and
// its commands run.
package guidetest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/servicetest"
)

const mainEnv = "DEPLOYHOOK_GUIDE_MAIN"

// Main is the TestMain of a guide. The test binary is also the guide's program,
// because the tests run it as a process.
func Main(m *testing.M, program func()) {
	if os.Getenv(mainEnv) != "" {
		program()
		os.Exit(0)
	}
	leaktest.Parallel(8)
	leaktest.Main(m)
}

// Patience bounds every wait. Only a hang exceeds it.
const Patience = 3 * time.Minute

// Readme returns the guide of the test's folder.
func Readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Blocks returns the code blocks of the guide in a language, such as "bash".
func Blocks(t *testing.T, language string) []string {
	t.Helper()
	var out []string
	for _, rest := range strings.Split(Readme(t), "```"+language+"\n")[1:] {
		block, _, ok := strings.Cut(rest, "```")
		if !ok {
			t.Fatal("README.md: a code block has no end")
		}
		out = append(out, block)
	}
	return out
}

// CheckSnippets fails the test if a Go block of the guide is not, line by line,
// in the program's source. Indentation does not count.
func CheckSnippets(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source.WriteString(flat(string(text)))
	}
	blocks := Blocks(t, "go")
	if len(blocks) == 0 {
		t.Error("README.md has no Go snippet")
	}
	for _, block := range blocks {
		if !strings.Contains(source.String(), flat(block)) {
			t.Errorf("README.md: this snippet is not in the program:\n%s", block)
		}
	}
}

// flat returns the lines that are not blank, without their indentation. The
// text begins with a line break, so that a snippet begins at a line.
func flat(text string) string {
	out := "\n"
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			out += line + "\n"
		}
	}
	return out
}

// CheckOutput fails the test if a line of the guide's text blocks is missing in
// what the program printed. Digits, the amount of blanks and what stands after
// an ellipsis do not count.
func CheckOutput(t *testing.T, printed string) {
	t.Helper()
	have := masked(printed)
	lines := 0
	for _, block := range Blocks(t, "text") {
		for line := range strings.Lines(block) {
			line, _, _ = strings.Cut(masked(line), "…")
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			lines++
			if !strings.Contains(have, line) {
				t.Errorf("README.md shows a line that the program does not print: %q\n%s", line, printed)
			}
		}
	}
	if lines == 0 {
		t.Error("README.md shows nothing that the program prints")
	}
}

var (
	blanks = regexp.MustCompile(`[ \t]+`)
	digits = regexp.MustCompile(`[0-9]+`)
)

func masked(text string) string {
	return digits.ReplaceAllString(blanks.ReplaceAllString(text, " "), "0")
}

// Shell runs the guide's blocks of a language, "bash" or "sh", in one bash.
// They run in a temporary folder that has files, by name. The test binary
// stands in for the program that "go run" and "go build" name. replace has
// pairs of texts that the guide must contain and what stands in their place,
// such as a port. Shell returns everything printed.
func Shell(t *testing.T, language string, files map[string]string, env []string, replace ...string) string {
	t.Helper()
	notOnWindows(t)
	bash := servicetest.Program(t, "bash")
	script := strings.Join(Blocks(t, language), "\n")
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	name, program := filepath.Base(folder), wrapper(t)
	script = strings.ReplaceAll(script, "go build -o "+name+" ./examples/guides/"+name+"\n", "ln -s '"+program+"' "+name+"\n")
	script = strings.ReplaceAll(script, "go run ./examples/guides/"+name, "'"+program+"'")
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(script, replace[i]) {
			t.Fatalf("README.md: the commands do not contain %q", replace[i])
		}
		script = strings.ReplaceAll(script, replace[i], replace[i+1])
	}
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, bash, "-euo", "pipefail", "-c", script)
	cmd.Dir = t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(cmd.Dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd.WaitDelay = time.Second // programs that it started may hold the output
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "TMPDIR=" + t.TempDir()}, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	return string(out)
}

func notOnWindows(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no SIGTERM, which the guides use")
	}
}

// wrapper writes a script that becomes the program.
func wrapper(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexec env "+mainEnv+"=1 '"+self+"' \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// Process is a running program of a guide.
type Process struct {
	t   *testing.T
	cmd *exec.Cmd

	mu   sync.Mutex
	out  bytes.Buffer
	news chan struct{} // closed and replaced after each line
	eof  chan struct{}
}

// Start runs the guide's program in a temporary folder.
func Start(t *testing.T, env []string, args ...string) *Process {
	t.Helper()
	p := &Process{t: t, news: make(chan struct{}), eof: make(chan struct{})}
	p.cmd = exec.Command(os.Args[0], args...)
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = append([]string{mainEnv + "=1", "PATH=" + os.Getenv("PATH"), "HOME=" + p.cmd.Dir, "TMPDIR=" + t.TempDir()}, env...)
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = p.cmd.Stdout
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); <-p.eof; _ = p.cmd.Wait() })
	go func() {
		defer close(p.eof)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			p.mu.Lock()
			p.out.WriteString(lines.Text() + "\n")
			close(p.news)
			p.news = make(chan struct{})
			p.mu.Unlock()
		}
	}()
	return p
}

// Output returns what the program has printed.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// Match waits until the program has printed a text that matches, and returns
// the first group.
func (p *Process) Match(expression string) string {
	p.t.Helper()
	want := regexp.MustCompile(expression)
	hang := time.After(Patience)
	for {
		p.mu.Lock()
		m, news := want.FindStringSubmatch(p.out.String()), p.news
		p.mu.Unlock()
		if m != nil {
			return m[len(m)-1]
		}
		select {
		case <-news:
		case <-p.eof:
			if m := want.FindStringSubmatch(p.Output()); m != nil {
				return m[len(m)-1]
			}
			p.t.Fatalf("the program ended without printing %q:\n%s", expression, p.Output())
		case <-hang:
			p.t.Fatalf("the program did not print %q:\n%s", expression, p.Output())
		}
	}
}

// Signal sends a signal to the program.
func (p *Process) Signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// Stop sends SIGTERM and waits for the end.
func (p *Process) Stop() error {
	p.t.Helper()
	notOnWindows(p.t)
	p.Signal(syscall.SIGTERM)
	return p.Wait()
}

// Wait waits for the end of the program. It returns an error unless the
// program succeeded.
func (p *Process) Wait() error {
	select {
	case <-p.eof:
	case <-time.After(Patience):
		return errors.New("the program did not end")
	}
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%w\n%s", err, p.Output())
	}
	return nil
}

// Port returns a free port of this machine.
func Port(t *testing.T) string {
	t.Helper()
	return strconv.Itoa(servicetest.FreePort(t))
}
