package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSample tries all mutants of a small package whose tests have known gaps.
func TestSample(t *testing.T) {
	t.Parallel()
	root, err := workspace(t.Context())
	require.NoError(t, err)
	sample := subject{name: "sample", dir: "internal/mutation/testdata/sample"}
	results, err := tryOne(t.Context(), root, sample, regexp.MustCompile(""), options{workers: 2}, io.Discard, io.Discard)
	require.NoError(t, err)

	by := map[outcome][]string{}
	for _, r := range results {
		_, what, _ := strings.Cut(r.key(), "sample.go")
		by[r.outcome] = append(by[r.outcome], strings.TrimLeft(what, ": "))
	}
	slices.Sort(by[survived])
	assert.Equal(t, []string{
		"Over: return n > limit => return n >= limit",
		"limit = 10 => limit = (10+1)",
		"limit = 10 => limit = (10-1)",
		`prices = map[string][2]int{"a": {3, 4}} => prices = map[string][(2+1)]int{"a": {3, 4}}`,
		`prices = map[string][2]int{"a": {3, 4}} => prices = map[string][2]int{"a": {3, (4+1)}}`,
		`prices = map[string][2]int{"a": {3, 4}} => prices = map[string][2]int{"a": {3, (4-1)}}`,
	}, without(by[survived], "Join"))
	assert.Equal(t, []string{"Unused: return !b => return b"}, by[uncovered])
	assert.Contains(t, by[timedOut], "Index: i++ => (removed)")
	assert.Contains(t, by[killed], "Sum: sum += n => sum -= n")
	assert.Contains(t, by[killed], "Over: return n > limit => return n <= limit")
	assert.Contains(t, by[killed], `prices = map[string][2]int{"a": {3, 4}} => prices = map[string][2]int{"a": {(3+1), 4}}`)
	assert.Contains(t, by[killed], "Join: joined = append(joined, a...) => (removed)")
}

func without(all []string, part string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return strings.Contains(s, part) })
}

func TestParseEquivalent(t *testing.T) {
	t.Parallel()
	list, err := parseEquivalent("# a comment\n\na.go F: x => y\na.go F: x => z\n\tIt is so\n\tbecause.\nb.go: 1 => 2\n\tNo use.\n")
	require.NoError(t, err)
	require.Equal(t, equivalent{"a.go F: x => y": "It is so because.", "a.go F: x => z": "It is so because.", "b.go: 1 => 2": "No use."}, list)
	for _, text := range []string{"a.go: 1 => 2\n", "\ta reason\n", "a.go: 1 => 2\n\tr\na.go: 1 => 2\n\tr\n"} {
		_, err := parseEquivalent(text)
		require.Error(t, err, text)
	}
	_, err = parseEquivalent(equivalentText)
	require.NoError(t, err)
}

// TestStale finds entries of the list that are wrong.
func TestStale(t *testing.T) {
	t.Parallel()
	list := equivalent{"p/a.go F: x => y": "r", "p/a.go F: x => z": "r", "p/a.go: gone => 1": "r", "q/a.go: 1 => 2": "of another subject"}
	results := []result{
		{mutant: &mutant{file: "p/a.go", function: "F", before: "x", after: "y"}, outcome: survived},
		{mutant: &mutant{file: "p/a.go", function: "F", before: "x", after: "z"}, outcome: killed},
	}
	wrong := strings.Join(list.stale([]subject{{name: "p", dir: "p"}}, results), "\n")
	assert.Contains(t, wrong, `"p/a.go: gone => 1" matches no mutant`)
	assert.Contains(t, wrong, `a test notices "p/a.go F: x => z"`)
	assert.NotContains(t, wrong, "q/a.go")
	assert.NotContains(t, wrong, "x => y")
	sum := count(subject{name: "p"}, results, list)
	assert.Equal(t, 1, sum.equivalent)
	assert.InDelta(t, 100, sum.percent(), 0.001)
}

func TestArguments(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	err := run(t.Context(), []string{"-only", "nothing"}, &out, &out)
	require.ErrorContains(t, err, "signer, dedupe, guard, sealing")
	require.Error(t, run(t.Context(), []string{"-nonsense"}, &out, &out))
}

// TestResume tries no mutant twice, unless the code has changed.
func TestResume(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "results")
	binary := filepath.Join(t.TempDir(), "binary")
	require.NoError(t, os.WriteFile(binary, []byte("one"), 0o600))
	s := subject{name: "s", dir: "p"}
	noticed := &mutant{file: "p/a.go", function: "F", before: "x", after: "y"}
	alive := &mutant{file: "p/a.go", function: "F", before: "x", after: "z"}
	first, err := openHistory(file, s, binary)
	require.NoError(t, err)
	assert.Empty(t, first.best(noticed))
	require.NoError(t, first.add(result{mutant: noticed, outcome: killed, by: "TestF/case"}))
	require.NoError(t, first.add(result{mutant: alive, outcome: survived}))
	require.NoError(t, first.close())
	require.NoError(t, appendTo(file, `{"subject":"s","key":"cut`))

	again, err := openHistory(file, s, binary)
	require.NoError(t, err)
	defer again.close()
	for m, want := range map[*mutant]result{noticed: {noticed, killed, "TestF/case"}, alive: {mutant: alive}} {
		got, known := again.result(m)
		assert.True(t, known)
		assert.Equal(t, want, got)
	}

	require.NoError(t, os.WriteFile(binary, []byte("other"), 0o600))
	changed, err := openHistory(file, s, binary)
	require.NoError(t, err)
	defer changed.close()
	_, known := changed.result(noticed)
	assert.False(t, known)
	assert.Equal(t, "TestF", changed.best(noticed))
	assert.Equal(t, "TestF", changed.best(alive), "of the same function")
	constant := &mutant{file: "p/a.go", before: "1", after: "2"}
	assert.Equal(t, []int{2, 1, 0}, changed.order([]*mutant{constant, noticed, alive}), "the survivor first, builds last")
}

func appendTo(path, text string) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}

// TestBatches puts each test into one run.
func TestBatches(t *testing.T) {
	t.Parallel()
	var tests []test
	for _, ms := range []int{1, 50, 60, 200, 3000, 4000} {
		tests = append(tests, test{name: strconv.Itoa(ms), cpu: time.Duration(ms) * time.Millisecond})
	}
	var got [][]string
	for _, batch := range batches(tests, "200") {
		var names []string
		for _, one := range batch {
			names = append(names, one.name)
		}
		got = append(got, names)
	}
	assert.Equal(t, [][]string{{"200"}, {"1", "50"}, {"60"}, {"3000"}, {"4000"}}, got)
}
