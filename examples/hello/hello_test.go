// Package hello tests the two programs of the README.
package hello

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/servicetest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// The two programs talk to each other, with a secret that was made by the
// README's command. Only the port differs. Without a secret they say so.
func TestReadme_ProgramsRun(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	receive, send := build(t, "receive", address), build(t, "send", address)
	for _, program := range []string{receive, send} {
		cmd := exec.CommandContext(t.Context(), program)
		cmd.Env = append(os.Environ(), "DEPLOYHOOK_SECRET=")
		said, err := cmd.CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(said), "secret")
	}
	secret := "DEPLOYHOOK_SECRET=" + makeSecret(t)

	ctx, cancel := context.WithCancel(t.Context())
	receiving := exec.CommandContext(ctx, receive)
	receiving.Env = append(os.Environ(), secret)
	output, err := receiving.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, receiving.Start())
	defer func() {
		cancel()
		_, _ = io.Copy(io.Discard, output)
		_ = receiving.Wait() // it was killed
	}()

	sending := exec.CommandContext(t.Context(), send)
	sending.Env = append(os.Environ(), secret)
	said, err := sending.CombinedOutput()
	require.NoError(t, err, "%s", said)
	require.Contains(t, string(said), "delivered whk_")
	lines := bufio.NewScanner(output)
	require.True(t, lines.Scan(), "the receiver printed nothing")
	require.Contains(t, lines.Text(), "deploy.live shop v1.4.2 https://shop.example.com")

	require.JSONEq(t, `{"error":"Invalid signature"}`, forge(t, address))
	require.True(t, lines.Scan(), "the receiver did not log the delivery")
	require.True(t, lines.Scan(), "the receiver did not log the forged request")
	require.Contains(t, lines.Text(), "no key matches the signature")
}

// forge runs the README's command that sends a forged request, and returns the
// answer.
func forge(t *testing.T, address string) string {
	t.Helper()
	shell := servicetest.Program(t, "sh")
	servicetest.Program(t, "curl")
	_, rest, ok := strings.Cut(readme(t), "$ curl http://127.0.0.1:8420")
	require.True(t, ok, "README.md forges a request")
	command, _, _ := strings.Cut(rest, "\n{")
	out, err := exec.CommandContext(t.Context(), shell, "-c", "curl -sS http://"+address+command).Output()
	require.NoError(t, err)
	return string(out)
}

// build compiles a program with another address in it.
func build(t *testing.T, name, address string) string {
	t.Helper()
	dir := t.TempDir()
	source, err := filepath.Abs(filepath.Join(name, "main.go"))
	require.NoError(t, err)
	text, err := os.ReadFile(source)
	require.NoError(t, err)
	require.Equal(t, 1, bytes.Count(text, []byte("127.0.0.1:8420")))
	copied := filepath.Join(dir, "main.go")
	require.NoError(t, os.WriteFile(copied, bytes.Replace(text, []byte("127.0.0.1:8420"), []byte(address), 1), 0o600))
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{source: copied}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600))
	program := filepath.Join(dir, name+".exe")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", program, "./"+name).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program
}

// makeSecret runs the command of the README.
func makeSecret(t *testing.T) string {
	t.Helper()
	shell := servicetest.Program(t, "sh")
	servicetest.Program(t, "openssl")
	_, rest, ok := strings.Cut(readme(t), "$ export DEPLOYHOOK_SECRET=")
	require.True(t, ok, "README.md makes a secret")
	command, _, _ := strings.Cut(rest, "\n")
	out, err := exec.CommandContext(t.Context(), shell, "-c", fmt.Sprintf("printf %%s %s", command)).Output()
	require.NoError(t, err)
	return string(out)
}

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	require.NoError(t, err)
	return string(text)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	return listener.Addr().String()
}
