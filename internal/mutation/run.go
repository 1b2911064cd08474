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
	temp     string
	binary   string // with all mutants that need no separate binary
	tests    []test // the quick ones first
	workers  int
	history  *history
	progress io.Writer
}

// newTrial builds the test binary, and requires that its tests pass without a
// mutant.
func newTrial(ctx context.Context, c *code, temp string, o options, progress io.Writer) (*trial, error) {
	t := &trial{code: c, temp: temp, workers: o.workers, progress: progress}
	overlay := map[string]string{filepath.Join(c.subject.dir, chosenFile): chosenSource(c.pkg.Name)}
	for name, f := range c.instrument() {
		overlay[name] = f.source
	}
	fmt.Fprintf(progress, "%s: building the tests with %d mutants\n", c.subject.name, len(c.mutants))
	var err error
	if t.binary, err = t.build(ctx, "all", overlay); err != nil {
		return nil, err
	}
	if t.history, err = openHistory(o.resume, c.subject, t.binary); err != nil {
		return nil, err
	}
	if t.tests, err = t.measure(ctx); err != nil {
		return nil, errors.Join(err, t.history.close())
	}
	if out, err := t.command(ctx, t.binary, 0, t.tests, maxCPU).CombinedOutput(); err != nil {
		err = fmt.Errorf("the tests of %s fail without a mutant: %w\n%s", c.subject.dir, err, out)
		return nil, errors.Join(err, t.history.close())
	}
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
	args := append([]string{"test", "-c", "-overlay", overlay, "-vet=off", "-ldflags=-w", "-o", binary}, flags...)
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

// maxCPU is the limit of CPU time for tests that are not measured yet.
const maxCPU = 10 * time.Minute

// used returns the CPU time of an ended process.
func used(cmd *exec.Cmd) time.Duration {
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// command runs tests of the binary with a mutant. A mutant that computes
// without end exceeds the limit of CPU time, on a loaded machine too.
func (t *trial) command(ctx context.Context, binary string, id int, tests []test, cpu time.Duration, flags ...string) *exec.Cmd {
	args := append([]string{binary, "-test.failfast", "-test.timeout=0", "-test.run", pattern(tests)}, flags...)
	if sh, err := exec.LookPath("sh"); err == nil {
		limits := fmt.Sprintf(`ulimit -v %d; ulimit -t %d; exec "$@"`, memoryLimit, int(cpu.Seconds())+1)
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
	shown := newProgress(t.progress, t.subject.name, len(mutants))
	each(t.workers, t.history.order(mutants), func(i int) {
		r, known := t.history.result(mutants[i])
		if !known {
			r, failed[i] = t.try(ctx, mutants[i])
			if failed[i] == nil {
				failed[i] = t.history.add(r)
			}
		}
		results[i] = r
		if failed[i] == nil {
			shown.add(r, known)
		}
	})
	if ctx.Err() != nil {
		failed = []error{ctx.Err()}
	}
	return results, errors.Join(append(failed, t.history.close())...)
}

// each calls f with each number, from some goroutines at once.
func each(workers int, numbers []int, f func(int)) {
	next := make(chan int)
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for _, i := range numbers {
		next <- i
	}
	close(next)
	wait.Wait()
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
	if m.alone() {
		var err error
		if binary, err = t.buildAlone(ctx, m); err != nil {
			return result{mutant: m, outcome: invalid}, ctx.Err()
		}
		defer os.Remove(binary)
	}
	for _, some := range batches(tests, t.history.best(m)) {
		if r, err := t.test(ctx, binary, m, some); err != nil || r.outcome != survived {
			return r, err
		}
	}
	return result{mutant: m, outcome: survived}, nil
}

// test runs some tests with one mutant. The limits are far above what the tests
// need without a mutant.
func (t *trial) test(ctx context.Context, binary string, m *mutant, tests []test) (result, error) {
	var cpu, wall time.Duration
	for _, one := range tests {
		cpu += one.cpu
		wall += one.wall
	}
	cpu = 2*time.Second + 4*cpu
	limit, cancel := context.WithTimeout(ctx, time.Minute+20*wall)
	defer cancel()
	cmd := t.command(limit, binary, m.id, tests, cpu)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Start()
	if err == nil {
		idle := watch(limit, cmd.Process.Pid, 4*time.Second+4*wall, cancel)
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
	case !cmd.ProcessState.Exited(), used(cmd) >= cpu:
		return result{mutant: m, outcome: timedOut, by: tests[0].name}, nil
	}
	by := "(crash)"
	if found := failure.FindSubmatch(out.Bytes()); found != nil {
		by = string(found[1])
	}
	return result{mutant: m, outcome: killed, by: by}, nil
}

// buildAlone builds a test binary with one mutant.
func (t *trial) buildAlone(ctx context.Context, m *mutant) (string, error) {
	changed := apply(string(t.sources[m.file]), 0, []edit{{m.start, m.end, m.text}})
	return t.build(ctx, strconv.Itoa(m.id), map[string]string{m.file: changed})
}
