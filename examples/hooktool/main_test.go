package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/signer"
)

const asProgram = "HOOKTOOL_TEST_AS_PROGRAM"

// The test binary becomes the program if an environment variable says so. Tests
// run it as a process this way.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "1" {
		main()
		return
	}
	leaktest.Main(m)
}

type env map[string]string

// goNames matches names of the Go API, which users of the command do not know.
var goNames = regexp.MustCompile(`\b(Allow|With|Insecure|Deny|New|Parse)[A-Z]\w+|NotAfter|\b(sender|signer|context):|\bcontext (canceled|deadline)`)

// result is what a run of the program printed, and its exit status.
type result struct {
	code           int
	stdout, stderr string
}

// program runs hooktool as a process with only the given environment.
func program(t *testing.T, dir string, e env, args ...string) result {
	t.Helper()
	cmd := prepared(t, dir, e, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// prepared returns the program as a command that has not started.
func prepared(t *testing.T, dir string, e env, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Dir = dir
	cmd.Env = []string{asProgram + "=1", "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir()}
	for name, value := range e {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

// inProcess runs the program in this process.
func inProcess(e env, stdin string, args ...string) result {
	return inProcessAt(e, time.Now, stdin, args...)
}

func inProcessAt(e env, now func() time.Time, stdin string, args ...string) result {
	var out, errs bytes.Buffer
	code := run(context.Background(), args, system{
		getenv: func(name string) string { return e[name] }, now: now,
		stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs,
	})
	return result{code, out.String(), errs.String()}
}

// lines decodes the output of -json.
func (r result) lines(t *testing.T) (out []map[string]any) {
	t.Helper()
	for line := range strings.Lines(r.stdout) {
		var m map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &m), line)
		out = append(out, m)
	}
	return out
}

func TestHelp_NeedsNoReadme(t *testing.T) {
	t.Parallel()
	overview := inProcess(nil, "", "help")
	require.Equal(t, 0, overview.code)
	for _, c := range commands() {
		require.Contains(t, overview.stdout, "  "+c.name+" ")
		for _, args := range [][]string{{"help", c.name}, {c.name, "-h"}, {c.name, "-help"}} {
			r := inProcess(env{"HOOKTOOL_SECRET": "canary-canary-canary"}, "", args...)
			require.Equal(t, 0, r.code, args)
			require.Contains(t, r.stdout, "Usage: hooktool "+c.name)
			require.Contains(t, r.stdout, "Examples:\n  hooktool "+c.name, args)
			require.Contains(t, r.stdout, "Exit status")
			require.Contains(t, r.stdout, "-json")
			require.NotContains(t, r.stdout, "canary")
			require.Empty(t, r.stderr)
		}
	}
}

func TestHelp_ListsSchemes(t *testing.T) {
	t.Parallel()
	r := inProcess(nil, "", "help", "schemes")
	require.Equal(t, 0, r.code)
	for _, s := range schemes() {
		require.Regexp(t, `(?m)^  `+s.name+` .*`+regexp.QuoteMeta(s.says)+`$`, r.stdout)
	}
}

// Each example of the help has flags that the command knows.
func TestHelp_ExamplesParse(t *testing.T) {
	t.Parallel()
	flags := regexp.MustCompile(`\s-([a-z0-9-]+)`)
	for _, c := range commands() {
		known := inProcess(nil, "", "help", c.name).stdout
		for line := range strings.Lines(c.examples) {
			line, _, _ = strings.Cut(line, " #")
			_, after, found := strings.Cut(line, "hooktool "+c.name)
			if !found {
				continue
			}
			after, _, _ = strings.Cut(after, "|")
			for _, m := range flags.FindAllStringSubmatch(after, -1) {
				require.Contains(t, known, "\n  -"+m[1], "hooktool %s: %s", c.name, line)
			}
		}
	}
}

func TestUnknownCommandsAndFlags(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"nonsense"}, {"help", "nonsense"}, {"secret", "-nonsense"}, {"secret", "extra"}, {"secret", "-kind", "md5"}, {"secret", "-timeout", "-1s"}} {
		r := inProcess(nil, "", args...)
		require.Equal(t, 2, r.code, args)
		require.Empty(t, r.stdout)
		require.NotEmpty(t, r.stderr)
	}
	r := inProcess(nil, "", "secret", "-json", "-kind", "md5")
	require.Equal(t, 2, r.code)
	line := r.lines(t)[0]
	require.Equal(t, "error", line["kind"])
	require.InDelta(t, 2, line["exit"], 0)
	require.Contains(t, line["error"], "-kind")
}

// Nothing prints a secret that the program holds, from whatever field.
func TestCredentials_AreNotPrinted(t *testing.T) {
	t.Parallel()
	c := newCredential("canary-canary-canary", secretVariable)
	for _, v := range []any{c, &c, ring{current: c}, &outboxAPI{token: c}, listener{ring: ring{previous: c}, listenFlags: &listenFlags{}}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			require.NotContains(t, fmt.Sprintf(verb, v), "canary")
			require.NotContains(t, fmt.Sprintf(verb, v), hex.EncodeToString([]byte("canary")))
		}
	}
}

// Each secret that the command makes is one that the library takes.
func TestSecret_IsAccepted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := program(t, dir, nil, "secret")
	require.Equal(t, 0, r.code, r.stderr)
	_, err := signer.ParseSecret(strings.TrimSpace(r.stdout))
	require.NoError(t, err)

	r = program(t, dir, nil, "secret", "-kind", "ed25519", "-json")
	line := r.lines(t)[0]
	key, err := signer.ParseSigningKey(line["secret"].(string))
	require.NoError(t, err)
	require.Equal(t, key.VerifyingKey().String(), line["public"])

	r = program(t, dir, nil, "secret", "-kind", "literal", "-out", "hook.secret")
	require.Equal(t, 0, r.code, r.stderr)
	text, err := os.ReadFile(filepath.Join(dir, "hook.secret"))
	require.NoError(t, err)
	_, err = signer.NewLiteralSecret(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	require.NotContains(t, r.stdout+r.stderr, strings.TrimSpace(string(text)))
	info, err := os.Stat(filepath.Join(dir, "hook.secret"))
	require.NoError(t, err)
	if runtime.GOOS != "windows" {
		require.Zero(t, info.Mode().Perm()&0o077, "only the owner reads it")
	}
	r = program(t, dir, nil, "secret", "-out", "hook.secret")
	require.Equal(t, 2, r.code, "an existing secret is never replaced")

	r = program(t, dir, nil, "secret", "-kind", "apikey", "-prefix", "acme", "-json")
	require.Equal(t, 0, r.code, r.stderr)
	line = r.lines(t)[0]
	hash, err := signer.HashAPIKey(line["secret"].(string))
	require.NoError(t, err)
	require.Equal(t, hash.String(), line["public"])
}

func TestVersion(t *testing.T) {
	t.Parallel()
	r := program(t, t.TempDir(), nil, "-version")
	require.Equal(t, 0, r.code)
	require.Regexp(t, `^hooktool (devel|v\d+\.\d+\.\d+\S*) \(go`, r.stdout)
}
