package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The page lists every dependency, and each has a license that is accepted.
func TestLicenses_PageIsCurrent(t *testing.T) {
	t.Parallel()
	top, err := topLevel(t.Context(), ".")
	require.NoError(t, err)
	r := &runner{top: top, out: &bytes.Buffer{}, errOut: os.Stderr}
	table, err := r.licenseTable(t.Context())
	require.NoError(t, err)
	page, err := os.ReadFile(filepath.Join(top, filepath.FromSlash(licensePage)))
	require.NoError(t, err)
	head, tail, err := aroundTable(page)
	require.NoError(t, err)
	require.Equal(t, head+table+tail, string(page), "run go run ./internal/release licenses")
}

func TestLicensesOf(t *testing.T) {
	t.Parallel()
	top, err := topLevel(t.Context(), ".")
	require.NoError(t, err)
	ids, err := licensesOf(top)
	require.NoError(t, err)
	require.Equal(t, []string{"Apache-2.0"}, ids)

	dir := t.TempDir()
	_, err = licensesOf(dir)
	require.ErrorContains(t, err, "no license")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "LICENSE"), []byte("Ask us.\n"), 0o600))
	_, err = licensesOf(dir)
	require.ErrorContains(t, err, "no license")
}

func TestAroundTable(t *testing.T) {
	t.Parallel()
	head, tail, err := aroundTable([]byte("a\n<!-- table -->\nb\n<!-- end -->\nc\n"))
	require.NoError(t, err)
	require.Equal(t, "a\n<!-- table -->\n", head)
	require.Equal(t, "<!-- end -->\nc\n", tail)
	_, _, err = aroundTable([]byte("a\n"))
	require.ErrorContains(t, err, "markers")
}
