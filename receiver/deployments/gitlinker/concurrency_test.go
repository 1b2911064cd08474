package gitlinker_test

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/receiver/deployments/gitlinker"
)

// A waiting count returns when its context ends.
func TestProcessesAreBounded(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	git, pid := slowGit(t)
	l := newLinker(t, r.dir, gitlinker.WithGit(git), gitlinker.WithProcesses(1))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { _, _ = l.LinkedPRs(ctx, link("", "abcdef")) })
	require.Eventually(t, func() bool { _, err := os.Stat(pid); return err == nil }, patience, time.Millisecond)
	require.NoError(t, os.Remove(pid))
	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	_, err := l.LinkedPRs(short, link("", "abcdef"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoFileExists(t, pid, "it did not run")
}

func TestConcurrentLinks(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	names := r.line("", "One (#1)", "Two (#2)", "Three (#3)")
	l := newLinker(t, r.dir, gitlinker.WithProcesses(2))
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			n, err := l.LinkedPRs(t.Context(), link(names[0], names[2]))
			if err != nil || n != 2 {
				t.Errorf("%d, %v", n, err)
			}
		})
	}
	wg.Wait()
}
