//go:build unix

package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Waiting for standard input ends with a signal, too.
func TestVerify_EndsBySignal(t *testing.T) {
	t.Parallel()
	in, out, err := os.Pipe()
	require.NoError(t, err)
	defer in.Close()
	defer out.Close()
	path := filepath.Join(t.TempDir(), "headers")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	cmd := prepared(t, t.TempDir(), env{"HOOKTOOL_SECRET": standardSecret}, "verify", "-headers", path, "-body", "-")
	cmd.Stdin = in
	require.NoError(t, cmd.Start())
	headers, err := os.OpenFile(path, os.O_WRONLY, 0) // waits until the program reads the first file
	require.NoError(t, err)
	require.NoError(t, headers.Close())
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	_ = cmd.Wait() // the exit status tells
	require.Equal(t, 3, cmd.ProcessState.ExitCode())
}
