package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
)

var update = flag.Bool("update", false, "write the screens of the README")

// desk is a folder with the program under its name, as after go install.
type desk struct {
	t    *testing.T
	dir  string
	env  []string
	port int
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, dir: t.TempDir(), port: servicetest.FreePort(t)}
	self, err := os.Executable()
	require.NoError(t, err)
	bin := filepath.Join(d.dir, ".bin")
	require.NoError(t, os.Mkdir(bin, 0o700))
	wrapper := "#!/bin/sh\n" + asProgram + "=1 exec '" + self + "' \"$@\"\n"
	require.NoError(t, os.WriteFile(filepath.Join(bin, "hooktool"), []byte(wrapper), 0o700))
	d.env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + d.dir, "TERM=xterm", "LC_ALL=C.UTF-8"}
	return d
}

// bash returns a command that runs a script in the folder.
func (d *desk) bash(script string) *exec.Cmd {
	cmd := exec.CommandContext(d.t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir, cmd.Env = d.dir, d.env
	return cmd
}

// terminal returns a command that runs a script on a pseudo-terminal.
func (d *desk) terminal(script string) *exec.Cmd {
	d.t.Helper()
	path := filepath.Join(d.t.TempDir(), "session.sh")
	require.NoError(d.t, os.WriteFile(path, []byte(script), 0o600))
	cmd := exec.CommandContext(d.t.Context(), "script", "-qefc", "stty cols 120; bash "+path, os.DevNull)
	cmd.Dir, cmd.Env = d.dir, d.env
	return cmd
}

// typed makes a script that shows each command behind a prompt before it runs
// it. The port of this run is put in without being shown.
func (d *desk) typed(commands ...string) string {
	script := "export HOOKTOOL_SECRET_FILE=hook.secret\n"
	for _, line := range commands {
		hidden := line
		for name, more := range map[string]string{
			"listen": fmt.Sprintf("-addr 127.0.0.1:%d", d.port), "trigger": fmt.Sprintf("-url http://127.0.0.1:%d/", d.port), "replay": fmt.Sprintf("-url http://127.0.0.1:%d/", d.port),
		} {
			hidden = strings.ReplaceAll(hidden, "hooktool "+name, "hooktool "+name+" "+more)
		}
		script += "printf '$ %s\\n' " + quoteShell(line) + "\n" + hidden + " || true\n"
	}
	return script
}

// The two terminals of the README. Ctrl-C is a key on the first one.
func TestReadme_Session(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the program script takes other flags on other systems")
	}
	for _, tool := range []string{"bash", "script", "stty"} {
		servicetest.Program(t, tool)
	}
	d := newDesk(t)
	out, err := d.bash("hooktool secret -out hook.secret && hooktool secret -out other.secret").CombinedOutput()
	require.NoError(t, err, string(out))

	first := d.terminal(d.typed("hooktool listen -record requests"))
	keys, err := first.StdinPipe()
	require.NoError(t, err)
	screen, err := first.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, first.Start())
	lines := bufio.NewReader(screen)
	var listened bytes.Buffer
	for !strings.Contains(listened.String(), "DETAIL") {
		line, err := lines.ReadString('\n')
		require.NoError(t, err, listened.String())
		listened.WriteString(line)
	}
	second := d.terminal(d.typed(
		"hooktool trigger rolled-back",
		"hooktool replay -rate 20 requests",
		"hooktool verify requests/*-0004-deploy.live.json",
		"HOOKTOOL_SECRET_FILE=other.secret hooktool trigger deploy.live",
		"hooktool verify requests/*-0011-deploy.live.json",
	))
	desk, err := second.Output()
	require.NoError(t, err, string(desk))
	_, err = io.WriteString(keys, "\x03") // Ctrl-C
	require.NoError(t, err)
	_, err = io.Copy(&listened, lines)
	require.NoError(t, err)
	_ = first.Wait() // the shell goes on after the command, whose status it drops
	for name, text := range map[string]string{"listen": listened.String(), "desk": string(desk)} {
		d.compare(name, text)
	}
}

// compare checks a screen of the README, or writes it with -update.
func (d *desk) compare(name, text string) {
	d.t.Helper()
	text = strings.NewReplacer("\r\n", "\n", "127.0.0.1:"+strconv.Itoa(d.port), "127.0.0.1:8787").Replace(text)
	readme, err := os.ReadFile("README.md")
	require.NoError(d.t, err)
	before, rest, found := strings.Cut(string(readme), "<!-- "+name+" -->\n```text\n")
	require.True(d.t, found, name)
	shown, after, _ := strings.Cut(rest, "```")
	if *update {
		require.NoError(d.t, os.WriteFile("README.md", []byte(before+"<!-- "+name+" -->\n```text\n"+strings.TrimSpace(text)+"\n```"+after), 0o644))
		return
	}
	require.Equal(d.t, steady(shown), steady(text), "go test . -run TestReadme_Session -update writes the screens")
}

// steady replaces what differs from run to run.
func steady(text string) string {
	for _, c := range []struct{ old, new string }{
		{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`, "TIME"}, {`\d\d:\d\d:\d\d`, "TIME"}, {`whk_[0-9a-f]+`, "whk"}, {`dep_[a-z0-9]+`, "dep"}, {`\d+ ms`, "N ms"}, {` +`, " "},
	} {
		text = regexp.MustCompile(c.old).ReplaceAllString(text, c.new)
	}
	return strings.TrimSpace(text)
}

// The README's bash snippets run, one after the other in one shell.
func TestReadme_CommandsRun(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "grep"} {
		servicetest.Program(t, tool)
	}
	snippets := blocks(t, "bash")
	require.Len(t, snippets, 3)
	d := newDesk(t)
	script := strings.ReplaceAll(strings.Join(snippets, "\n"), "127.0.0.1:8788", fmt.Sprintf("127.0.0.1:%d", d.port))
	out, err := d.bash(script).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "result  authentic")
	require.True(t, strings.HasSuffix(string(out), "\n4\n"), "all four events arrived: %s", out)
}

// The other snippets call commands with flags that they have.
func TestReadme_CallsParse(t *testing.T) {
	t.Parallel()
	flags := regexp.MustCompile(`\s-([a-z0-9-]+)`)
	calls := 0
	for _, block := range append(blocks(t, "console"), blocks(t, "bash")...) {
		for _, m := range regexp.MustCompile(`hooktool ([a-z]+)([^\n|&>]*)`).FindAllStringSubmatch(block, -1) {
			if m[1] == "help" {
				continue
			}
			help := inProcess(nil, "", "help", m[1])
			require.Equal(t, 0, help.code, m[0])
			for _, f := range flags.FindAllStringSubmatch(m[2], -1) {
				require.Contains(t, help.stdout, "\n  -"+f[1], m[0])
			}
			calls++
		}
	}
	require.GreaterOrEqual(t, calls, 8)
}

// The table of faults and that of statuses are complete.
func TestReadme_ListsEveryFault(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for name, c := range faults() {
		require.Contains(t, string(readme), "`"+c.fault+"`", name)
	}
	for _, d := range diagnoses() {
		require.Contains(t, string(readme), "`"+d.code+"`")
	}
	for _, c := range commands() {
		if c.name != "version" {
			require.Contains(t, string(readme), "| `"+c.name+"` |")
		}
	}
}

func blocks(t *testing.T, language string) []string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	var out []string
	for _, rest := range strings.Split(string(text), "```"+language+"\n")[1:] {
		block, _, _ := strings.Cut(rest, "```")
		out = append(out, block)
	}
	return out
}
