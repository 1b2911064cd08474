package main

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/tools/cover"
)

// test is a test of a subject's package, and what it costs and runs.
type test struct {
	name   string
	cpu    time.Duration
	wall   time.Duration
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
	each(t.workers, upTo(len(names)), func(i int) { tests[i], failed[i] = t.measureOne(ctx, binary, names[i]) })
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
	out, err := t.command(ctx, binary, 0, nil, maxCPU, "-test.list", ".").Output()
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
	cmd := t.command(ctx, binary, 0, []test{one}, maxCPU, "-test.coverprofile", path)
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return test{}, fmt.Errorf("%s of %s fails without a mutant: %w\n%s", name, t.subject.dir, err, out)
	}
	one.cpu, one.wall = used(cmd), time.Since(began)
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

// batches divides tests into runs. The first run is the test that is most
// likely to notice the mutant. The others take longer and longer, because most
// mutants are noticed early.
func batches(tests []test, best string) [][]test {
	var all [][]test
	if i := slices.IndexFunc(tests, func(one test) bool { return one.name == best }); i >= 0 {
		all = append(all, tests[i:i+1])
		tests = slices.Delete(slices.Clone(tests), i, i+1)
	}
	for limit := 100 * time.Millisecond; len(tests) > 0; limit *= 4 {
		n, sum := 1, tests[0].cpu
		for n < len(tests) && sum+tests[n].cpu <= limit {
			sum += tests[n].cpu
			n++
		}
		all = append(all, tests[:n])
		tests = tests[n:]
	}
	return all
}

// pattern matches the names of the tests.
func pattern(tests []test) string {
	var names []string
	for _, one := range tests {
		names = append(names, regexp.QuoteMeta(one.name))
	}
	return "^(" + strings.Join(names, "|") + ")$"
}

// upTo returns the numbers below n.
func upTo(n int) []int {
	numbers := make([]int, n)
	for i := range numbers {
		numbers[i] = i
	}
	return numbers
}
