package main

import (
	"bytes"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

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
	}, without(by[survived], "Join"))
	assert.Equal(t, []string{"Unused: return !b => return b"}, by[uncovered])
	assert.Contains(t, by[timedOut], "Index: i++ => (removed)")
	assert.Contains(t, by[killed], "Sum: sum += n => sum -= n")
	assert.Contains(t, by[killed], "Over: return n > limit => return n <= limit")
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
