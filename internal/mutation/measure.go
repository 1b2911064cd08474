package main

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/tools/cover"
)

// test is a test of a subject's package, and what it costs and runs.
type test struct {
	name   string
	cpu    time.Duration
	blocks map[string][]cover.ProfileBlock // by file, those that it runs
}

// measure runs each test alone, without a mutant.
func (t *trial) measure(ctx context.Context) ([]test, error) {
	binary, err := t.build(ctx, "cover", nil, "-cover")
	if err != nil {
		return nil, err
	}
	names, err := t.list(ctx, binary)
	if err != nil {
		return nil, err
	}
	tests := make([]test, len(names))
	failed := make([]error, len(names))
	next := make(chan int)
	var wait sync.WaitGroup
	for range t.workers {
		wait.Go(func() {
			for i := range next {
				tests[i], failed[i] = t.measureOne(ctx, binary, names[i])
			}
		})
	}
	for i := range names {
		next <- i
	}
	close(next)
	wait.Wait()
	for _, err := range failed {
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(tests, func(a, b test) int { return int(a.cpu - b.cpu) })
	return tests, nil
}

// list returns the names of the subject's tests.
func (t *trial) list(ctx context.Context, binary string) ([]string, error) {
	run, err := regexp.Compile(t.subject.run)
	if err != nil {
		return nil, err
	}
	skip, err := regexp.Compile(t.subject.skip)
	if err != nil {
		return nil, err
	}
	out, err := t.command(ctx, binary, 0, "", "-test.list", ".").Output()
	if err != nil {
		return nil, fmt.Errorf("listing the tests of %s: %w", t.subject.dir, err)
	}
	var names []string
	for name := range strings.FieldsSeq(string(out)) {
		if strings.HasPrefix(name, "Benchmark") || !run.MatchString(name) || t.subject.skip != "" && skip.MatchString(name) {
			continue
		}
		names = append(names, name)
	}
	return names, nil
}

func (t *trial) measureOne(ctx context.Context, binary, name string) (test, error) {
	one := test{name: name, blocks: map[string][]cover.ProfileBlock{}}
	path := filepath.Join(t.temp, name+".coverage")
	cmd := t.command(ctx, binary, 0, pattern([]test{one}), "-test.coverprofile", path)
	if out, err := cmd.CombinedOutput(); err != nil {
		return test{}, fmt.Errorf("%s of %s fails without a mutant: %w\n%s", name, t.subject.dir, err, out)
	}
	one.cpu = used(cmd)
	profiles, err := cover.ParseProfiles(path)
	if err != nil {
		return test{}, err
	}
	for _, p := range profiles {
		file := t.subject.dir + "/" + filepath.Base(p.FileName)
		for _, b := range p.Blocks {
			if b.Count > 0 {
				one.blocks[file] = append(one.blocks[file], b)
			}
		}
	}
	return one, nil
}

// covering returns the tests that run a mutant. Code outside functions has no
// coverage, so that all tests may run it.
func covering(tests []test, m *mutant) []test {
	if m.function == "" {
		return tests
	}
	var found []test
	for _, one := range tests {
		if slices.ContainsFunc(one.blocks[m.file], func(b cover.ProfileBlock) bool { return within(b, m.anchor.Line, m.anchor.Column) }) {
			found = append(found, one)
		}
	}
	return found
}

func within(b cover.ProfileBlock, line, column int) bool {
	if line < b.StartLine || line == b.StartLine && column < b.StartCol {
		return false
	}
	return line < b.EndLine || line == b.EndLine && column < b.EndCol
}

// split separates tests that are quick together. They notice most mutants.
func split(tests []test) (quick, slow []test) {
	var sum time.Duration
	for i, one := range tests {
		if sum += one.cpu; sum > 400*time.Millisecond && i > 0 {
			return tests[:i], tests[i:]
		}
	}
	return tests, nil
}

// pattern matches the names of the tests.
func pattern(tests []test) string {
	var names []string
	for _, one := range tests {
		names = append(names, regexp.QuoteMeta(one.name))
	}
	return "^(" + strings.Join(names, "|") + ")$"
}
