package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// builder builds sources with the local toolchain, offline. It caches programs
// by the hash of their source.
type builder struct {
	dir       string // folder of finished programs
	toolchain string
	slots     chan struct{} // limits concurrent compilers, which need much memory
}

func newBuilder(ctx context.Context, dir string) (*builder, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "GOVERSION")
	cmd.Env = buildEnv()
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot run the local Go toolchain, which builds the programs; install Go: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &builder{dir: dir, toolchain: strings.TrimSpace(string(out)), slots: make(chan struct{}, 2)}, nil
}

// buildEnv returns only the variables that a compiler needs, because the
// platform's environment has its keys. CGO_ENABLED keeps its default. The
// platform was probably compiled with it, so the standard library is already in
// the compiler's cache.
func buildEnv() []string {
	env := []string{"GOPROXY=off", "GOTOOLCHAIN=local", "GOWORK=off", "GOFLAGS=", "GO111MODULE=on", "GOTELEMETRY=off"}
	for _, name := range []string{"PATH", "HOME", "GOROOT", "GOCACHE", "GOPATH", "TMPDIR", "XDG_CACHE_HOME"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// built is a program that is ready to run.
type built struct {
	path     string
	duration time.Duration
	bytes    int64
	cacheHit bool
}

// errBuild is wrapped with the compiler's message.
var errBuild = errors.New("build failed")

// build builds the program of a source, or returns it from the cache.
func (b *builder) build(ctx context.Context, src source) (built, error) {
	begun := time.Now()
	out := filepath.Join(b.dir, src.hash(b.toolchain))
	if info, err := os.Stat(out); err == nil {
		return built{path: out, duration: time.Since(begun), bytes: info.Size(), cacheHit: true}, nil
	}
	select {
	case b.slots <- struct{}{}:
		defer func() { <-b.slots }()
	case <-ctx.Done():
		return built{}, context.Cause(ctx)
	}
	work, err := os.MkdirTemp(b.dir, "build-")
	if err != nil {
		return built{}, err
	}
	defer os.RemoveAll(work)
	for name, text := range src {
		if err := os.WriteFile(filepath.Join(work, name), text, 0o600); err != nil {
			return built{}, err
		}
	}
	if err := compile(ctx, work); err != nil {
		return built{}, err
	}
	// Rename the complete program, so that a cached file is never partial.
	if err := os.Rename(filepath.Join(work, "app.bin"), out); err != nil {
		return built{}, err
	}
	info, err := os.Stat(out)
	if err != nil {
		return built{}, err
	}
	return built{path: out, duration: time.Since(begun), bytes: info.Size()}, nil
}

// compile runs the compiler in a folder. It uses the go command's default flags
// where possible, because the standard library is then probably in the
// compiler's cache.
func compile(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", "app.bin", ".")
	cmd.Dir, cmd.Env = dir, buildEnv()
	var said head
	cmd.Stdout, cmd.Stderr = &said, &said
	isolate(cmd)
	cmd.Cancel = func() error { return killGroup(cmd.Process, true) }
	cmd.WaitDelay = 5 * time.Second
	runtime.LockOSThread() // the thread must live as long as its child, see isolate
	defer runtime.UnlockOSThread()
	err := cmd.Run()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case said.text() == "":
		return fmt.Errorf("%w: %w", errBuild, err)
	}
	return fmt.Errorf("%w: %s", errBuild, said.text())
}

// headLimit is how many bytes of a compiler's message are kept. The first
// errors matter most.
const headLimit = 2000

// head keeps the beginning of what is written to it. The buffer is not
// embedded, because its ReadFrom would bypass Write.
type head struct {
	buf bytes.Buffer
	cut bool
}

func (h *head) Write(p []byte) (int, error) {
	room := min(len(p), headLimit-h.buf.Len())
	h.cut = h.cut || room < len(p)
	_, _ = h.buf.Write(p[:room]) // a bytes.Buffer returns no error
	return len(p), nil
}

func (h *head) text() string {
	text := strings.TrimSpace(strings.ToValidUTF8(strings.TrimPrefix(h.buf.String(), "# app\n"), "\uFFFD"))
	if h.cut {
		text += " …"
	}
	return text
}
