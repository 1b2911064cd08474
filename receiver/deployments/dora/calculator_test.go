package dora_test

import (
	"context"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/receiver/deployments/dora"
	"github.com/deployhook/deployhook/receiver/deployments/dora/internal/doratest"
)

// counted counts the commits that are read from a source.
type counted struct {
	dora.Commits
	commits, names atomic.Int64
}

func (c *counted) Resolve(ctx context.Context, r dora.Repository, names []string) ([]dora.Resolved, error) {
	c.names.Add(int64(len(names)))
	return c.Commits.Resolve(ctx, r, names)
}

func (c *counted) Walk(ctx context.Context, r dora.Repository, heads, bases []dora.CommitID) iter.Seq2[dora.Commit, error] {
	return func(yield func(dora.Commit, error) bool) {
		for commit, err := range c.Commits.Walk(ctx, r, heads, bases) {
			c.commits.Add(1)
			if !yield(commit, err) {
				return
			}
		}
	}
}

// line is a history without branches, one commit an hour.
func line(t *testing.T, n int) doratest.Commits {
	t.Helper()
	commits := doratest.Commits{"": nil}
	for i := range n {
		c := doratest.Commit{ID: sha(string(rune('A' + i))), Authored: clock(t, "00:00").Add(time.Duration(i) * time.Hour)}
		if i > 0 {
			c.Parents = []string{sha(string(rune('A' + i - 1)))}
		}
		commits[""] = append(commits[""], c)
	}
	return commits
}

// A report that is computed again reads only new commits.
func TestCalculator_ReadsOnlyNewCommits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := &counted{Commits: line(t, 26)}
	c, err := dora.New(w.ledger, dora.WithCommits(source))
	require.NoError(t, err)
	report := func() *dora.Report {
		r, err := c.Report(t.Context(), org, api, week(t))
		require.NoError(t, err)
		return r
	}
	deploy := func(i int) {
		w.record(live("d"+string(rune('A'+i)), sha(string(rune('A'+i))), clock(t, "01:00").Add(time.Duration(i)*time.Hour)))
	}
	deploy(0)
	deploy(10)
	require.Equal(t, 10, report().ChangeLeadTime.N)
	require.EqualValues(t, 10, source.commits.Load())
	require.Equal(t, 10, report().ChangeLeadTime.N)
	require.EqualValues(t, 10, source.commits.Load(), "nothing is new")
	require.EqualValues(t, 2, source.names.Load())
	deploy(15)
	require.Equal(t, 15, report().ChangeLeadTime.N)
	require.EqualValues(t, 15, source.commits.Load(), "only the five new ones")
	require.EqualValues(t, 3, source.names.Load())
	deploy(5) // only now
	r := report()
	require.Equal(t, 15, r.ChangeLeadTime.N)
	require.Len(t, r.Deployments[1].Changes, 5)
	require.Len(t, r.Deployments[2].Changes, 5, "the rest of the ten")
	require.EqualValues(t, 15, source.commits.Load(), "it is within what is known")
}

// A time that a Commits leaves out would give a lead time of two thousand
// years.
func TestCommits_TimesThatAreLeftOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	commits := line(t, 3)
	for i := range commits[""] {
		commits[""][i].Committed = time.Time{}
	}
	w.record(live("a", sha("A"), clock(t, "01:00")))
	w.record(live("c", sha("C"), clock(t, "03:00")))
	want := w.report(week(t), dora.WithCommits(commits)).ChangeLeadTime
	require.Equal(t, 2, want.N)
	require.Equal(t, want, w.report(week(t), dora.WithCommits(commits), dora.WithCommitterTime()).ChangeLeadTime)
	commits[""][1].Authored = time.Time{}
	c, err := dora.New(w.ledger, dora.WithCommits(commits))
	require.NoError(t, err)
	_, err = c.Report(t.Context(), org, api, week(t))
	require.ErrorIs(t, err, dora.ErrConfig)
	require.ErrorContains(t, err, "Authored")
}

// Too many commits are an error that names the option. A calculator that
// remembers too much forgets, and stays right.
func TestCalculator_CommitsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	commits := line(t, 26)
	for _, i := range []int{0, 8, 16, 24} {
		w.record(live("d"+string(rune('A'+i)), sha(string(rune('A'+i))), clock(t, "01:00").Add(time.Duration(i)*time.Hour)))
	}
	c, err := dora.New(w.ledger, dora.WithCommits(commits), dora.WithMaxCommits(20))
	require.NoError(t, err)
	_, err = c.Report(t.Context(), org, api, week(t))
	require.ErrorIs(t, err, dora.ErrConfig)
	require.ErrorContains(t, err, "WithMaxCommits")
	for range 2 {
		r, err := c.Report(t.Context(), org, api, window(t, "UTC", "2026-03-03", "2026-03-04"))
		require.NoError(t, err)
		require.Equal(t, 8, r.ChangeLeadTime.N, "a window of one deployment")
	}
}

// A deployment before the window arrives late, from a branch that was not read
// yet. Its commits are no longer the window's.
func TestCalculator_LateDeploymentOfOtherBranch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := func(n int) time.Time { return clock(t, "00:00").Add(time.Duration(n) * time.Hour) }
	commits := doratest.Commits{"": {
		{ID: sha("A"), Authored: at(0)},
		{ID: sha("B"), Parents: []string{sha("A")}, Authored: at(1)},
		{ID: sha("S"), Parents: []string{sha("A")}, Authored: at(2)},
		{ID: sha("T"), Parents: []string{sha("S")}, Authored: at(3)},
		{ID: sha("M"), Parents: []string{sha("B"), sha("S")}, Authored: at(4)},
	}}
	c, err := dora.New(w.ledger, dora.WithCommits(commits))
	require.NoError(t, err)
	span := window(t, "UTC", "2026-03-04", "2026-03-11")
	report := func() *dora.Report {
		r, err := c.Report(t.Context(), org, api, span)
		require.NoError(t, err)
		require.Equal(t, text(t, w.report(span, dora.WithCommits(commits))), text(t, r))
		return r
	}
	w.record(live("a", sha("A"), at(12)))
	w.record(live("m", sha("M"), at(60)))
	require.Equal(t, 2, report().ChangeLeadTime.N)
	w.record(live("t", sha("T"), at(13)))
	require.Equal(t, 1, report().ChangeLeadTime.N)
}

func TestCalculator_Concurrently(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 20 {
		w.record(live("d"+string(rune('A'+i)), sha(string(rune('A'+i))), clock(t, "01:00").Add(time.Duration(i)*6*time.Hour)))
	}
	c, err := dora.New(w.ledger, dora.WithCommits(line(t, 26)))
	require.NoError(t, err)
	windows := []dora.Window{week(t), window(t, "UTC", "2026-03-04", "2026-03-07"), window(t, "UTC", "2026-03-03", "2026-03-06")}
	var group sync.WaitGroup
	counts := make([][]int, len(windows))
	for i, span := range windows {
		counts[i] = make([]int, 8)
		for k := range 8 {
			group.Go(func() {
				if r, err := c.Report(t.Context(), org, api, span); err == nil {
					counts[i][k] = r.ChangeLeadTime.N
				}
			})
		}
	}
	group.Wait()
	for i := range windows {
		require.Len(t, slices.Compact(counts[i]), 1)
		require.Positive(t, counts[i][0])
	}
}

// Commits whose hashes begin alike are told apart.
func TestCompute_CommitsThatBeginAlike(t *testing.T) {
	t.Parallel()
	name := func(i int) string { return "0123456789abcdef" + sha(string(rune('A' + i)))[:24] }
	commits := doratest.Commits{"": nil}
	for i := range 6 {
		c := doratest.Commit{ID: name(i), Authored: clock(t, "00:00").Add(time.Duration(i) * time.Hour)}
		if i > 0 {
			c.Parents = []string{name(i - 1)}
		}
		commits[""] = append(commits[""], c)
	}
	w := newWorld(t)
	for i, at := range []int{0, 2, 5, 1} {
		w.record(live("d"+string(rune('1'+i)), name(at), clock(t, "10:00").Add(time.Duration(i)*time.Hour)))
	}
	r := w.report(week(t), dora.WithCommits(commits))
	require.Len(t, r.Deployments[1].Changes, 2)
	require.Len(t, r.Deployments[2].Changes, 3)
	require.Equal(t, dora.ReasonGoingBack, r.Deployments[3].LeftOut[0].Reason)
	require.ElementsMatch(t, []dora.CommitID{doratest.ID(name(1)), doratest.ID(name(2))}, []dora.CommitID{r.Deployments[1].Changes[0].Commit, r.Deployments[1].Changes[1].Commit})
}
