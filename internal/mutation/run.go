package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// outcome is what became of a mutant.
type outcome int

const (
	survived outcome = iota
	killed
	timedOut
	uncovered // it survived, because no test runs it
	invalid   // it does not compile
)

// trial tries the mutants of one subject.
type trial struct {
	*code
	temp   string
	binary string // with all mutants inside functions
	// The limits of a run are far above what the tests need without a mutant.
	cpu, wall time.Duration
	tests     []test
	workers   int
	progress  io.Writer
}

// newTrial builds the test binary, and requires that its tests pass without a
// mutant.
func newTrial(ctx context.Context, c *code, temp string, workers int, progress io.Writer) (*trial, error) {
	t := &trial{code: c, temp: temp, workers: workers, progress: progress}
	overlay := map[string]string{filepath.Join(c.subject.dir, chosenFile): chosenSource(c.pkg.Name)}
	for name, f := range c.instrument() {
		overlay[name] = f.source
	}
	var err error
	if t.binary, err = t.build(ctx, "all", overlay); err != nil {
		return nil, err
	}
	t.cpu = 10 * time.Minute
	if t.tests, err = t.measure(ctx); err != nil {
		return nil, err
	}
	began := time.Now()
	cmd := t.command(ctx, t.binary, 0, pattern(t.tests))
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("the tests of %s fail without a mutant: %w\n%s", c.subject.dir, err, out)
	}
	t.wall = 10*time.Second + 8*time.Since(began)
	t.cpu = 3*time.Second + 3*used(cmd)
	return t, nil
}

// build compiles a test binary with some files replaced. The tree is not
// touched.
func (t *trial) build(ctx context.Context, name string, files map[string]string, flags ...string) (string, error) {
	replace := map[string]string{}
	for file, source := range files {
		path := filepath.Join(t.temp, name+"-"+strings.ReplaceAll(filepath.ToSlash(file), "/", "-"))
		if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(t.root, filepath.FromSlash(file))] = path
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(t.temp, name+".json")
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		return "", err
	}
	binary := filepath.Join(t.temp, name+".test")
	args := append([]string{"test", "-c", "-overlay", overlay, "-vet=off", "-o", binary}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "./"+t.subject.dir)...)
	cmd.Dir = t.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return binary, nil
}

// memoryLimit ends a mutant that allocates without end, in KiB of addresses. A
// test binary needs less than half of it.
const memoryLimit = 4 << 20

// used returns the CPU time of an ended process.
func used(cmd *exec.Cmd) time.Duration {
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// command runs the tests of the binary with a mutant. A mutant that computes
// without end exceeds the limit of CPU time, on a loaded machine too.
func (t *trial) command(ctx context.Context, binary string, id int, run string, flags ...string) *exec.Cmd {
	args := append([]string{binary, "-test.failfast", "-test.timeout=0", "-test.run", run}, flags...)
	if sh, err := exec.LookPath("sh"); err == nil {
		limits := fmt.Sprintf(`ulimit -v %d; ulimit -t %d; exec "$@"`, memoryLimit, int(t.cpu.Seconds())+1)
		args = append([]string{sh, "-c", limits, "sh"}, args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = filepath.Join(t.root, filepath.FromSlash(t.subject.dir))
	cmd.Env = append(withoutServices(os.Environ()), chosenEnv+"="+strconv.Itoa(id))
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// withoutServices removes the servers for tests from an environment. A mutant
// is tried with the embedded stores only.
func withoutServices(env []string) []string {
	var kept []string
	for _, v := range env {
		if !strings.HasPrefix(v, "DEPLOYHOOK_TEST_") {
			kept = append(kept, v)
		}
	}
	return kept
}

// result is the outcome of a mutant. by is the test that noticed it.
type result struct {
	*mutant
	outcome outcome
	by      string
}

// all tries mutants with some workers at once.
func (t *trial) all(ctx context.Context, mutants []*mutant) ([]result, error) {
	results := make([]result, len(mutants))
	failed := make([]error, len(mutants))
	next := make(chan int)
	var wait sync.WaitGroup
	var mu sync.Mutex
	done, alive := 0, 0
	for range t.workers {
		wait.Go(func() {
			for i := range next {
				results[i], failed[i] = t.try(ctx, mutants[i])
				mu.Lock()
				done++
				if o := results[i].outcome; o == survived || o == uncovered {
					alive++
					fmt.Fprintf(t.progress, "%s survived: %s\n", t.subject.name, results[i].key())
				}
				if done%100 == 0 {
					fmt.Fprintf(t.progress, "%s: %d of %d, %d survived\n", t.subject.name, done, len(mutants), alive)
				}
				mu.Unlock()
			}
		})
	}
	for i := range mutants {
		next <- i
	}
	close(next)
	wait.Wait()
	return results, errors.Join(failed...)
}

var failure = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// try runs the tests with one mutant.
func (t *trial) try(ctx context.Context, m *mutant) (result, error) {
	if ctx.Err() != nil {
		return result{mutant: m}, ctx.Err()
	}
	tests := covering(t.tests, m)
	if len(tests) == 0 {
		return result{mutant: m, outcome: uncovered}, nil
	}
	binary := t.binary
	if m.function == "" {
		var err error
		if binary, err = t.buildAlone(ctx, m); err != nil {
			return result{mutant: m, outcome: invalid}, nil
		}
		defer os.Remove(binary)
	}
	quick, slow := split(tests)
	r, err := t.test(ctx, binary, m, quick)
	if err == nil && r.outcome == survived && len(slow) > 0 {
		r, err = t.test(ctx, binary, m, slow)
	}
	return r, err
}

// test runs some tests with one mutant.
func (t *trial) test(ctx context.Context, binary string, m *mutant, tests []test) (result, error) {
	limit, cancel := context.WithTimeout(ctx, t.wall)
	defer cancel()
	cmd := t.command(limit, binary, m.id, pattern(tests))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Start()
	if err == nil {
		idle := watch(limit, cmd.Process.Pid, cancel)
		err = cmd.Wait()
		cancel()
		<-idle
	}
	switch {
	case ctx.Err() != nil:
		return result{mutant: m}, ctx.Err()
	case err == nil:
		return result{mutant: m, outcome: survived}, nil
	case cmd.ProcessState == nil:
		return result{mutant: m}, err
	case !cmd.ProcessState.Exited(), used(cmd) >= t.cpu:
		return result{mutant: m, outcome: timedOut}, nil
	}
	by := "(crash)"
	if found := failure.FindSubmatch(out.Bytes()); found != nil {
		by = string(found[1])
	}
	return result{mutant: m, outcome: killed, by: by}, nil
}

// buildAlone builds a test binary with one mutant that is outside functions.
func (t *trial) buildAlone(ctx context.Context, m *mutant) (string, error) {
	changed := apply(string(t.sources[m.file]), 0, []edit{{m.start, m.end, m.text}})
	return t.build(ctx, strconv.Itoa(m.id), map[string]string{m.file: changed})
}
