package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
)

const release = "v0.1.0"

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// binaryName returns the name of the release's binary for this machine.
func binaryName() string {
	return "deploynotify_" + strings.TrimPrefix(release, "v") + "_" + runtime.GOOS + "_" + runtime.GOARCH
}

// mirror serves the files of a release over https.
type mirror struct {
	url, authority string // authority is the file with its certificate
	checksums      string // digest of checksums.txt

	mu    sync.Mutex
	files map[string]string
}

func (m *mirror) file(path string) (text string, found bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	text, found = m.files[path]
	return text, found
}

// put replaces a file, or removes it if no text is given.
func (m *mirror) put(path string, text ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.files, path)
	for _, part := range text {
		m.files[path] += part
	}
}

// newMirror serves a release whose binary is this program.
func newMirror(t *testing.T) *mirror {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	binary := "#!/bin/sh\n" + asProgram + "=1 exec '" + self + "' \"$@\"\n"
	list := digest(binary) + "  " + binaryName() + "\n" + digest("another") + "  " + binaryName() + ".sig\n"
	m := &mirror{
		files:     map[string]string{"/" + release + "/checksums.txt": list, "/" + release + "/" + binaryName(): binary},
		checksums: digest(list), authority: filepath.Join(t.TempDir(), "authority.pem"),
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, found := m.file(r.URL.Path)
		if !found {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, text)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	require.NoError(t, os.WriteFile(m.authority, certificate, 0o600))
	m.url = server.URL
	return m
}

// toolsWithout returns a PATH with the script's tools, except for some
// commands.
func toolsWithout(t *testing.T, missing ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, tool := range []string{"sh", "curl", "wget", "sha256sum", "shasum", "openssl", "cut", "uname", "mktemp", "rm", "chmod"} {
		path, err := exec.LookPath(tool)
		if err == nil && !strings.Contains(" "+strings.Join(missing, " ")+" ", " "+tool+" ") {
			require.NoError(t, os.Symlink(path, filepath.Join(dir, tool)))
		}
	}
	return dir
}

// steps returns the commands that CI systems run. They all come from one
// script.
func steps(t *testing.T) map[string][]string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the shells of this test are those of Unix")
	}
	read := func(name string) string {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		return string(text)
	}
	found := regexp.MustCompile(`(?m)^      run: (.*)$`).FindStringSubmatch(read("action.yml"))
	require.Len(t, found, 2)
	_, block, ok := strings.Cut(read("gitlab/deploynotify.yml"), "    - |\n")
	require.True(t, ok)
	component := regexp.MustCompile(`(?m)^      `).ReplaceAllString(block, "")
	require.Equal(t, "(\n"+read("deploynotify.sh")+")\n", component, "the component contains the script unchanged")
	return map[string][]string{
		"the action":          {"bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", found[1]},
		"the component, bash": {"bash", "-c", component},
		// sh is dash on Debian and BusyBox on Alpine
		"the component, sh": {"sh", "-c", component},
	}
}

// runStep runs a command with the variables that the CI system sets.
func runStep(t *testing.T, step []string, e env) (code int, output string, left []os.DirEntry) {
	t.Helper()
	here, err := filepath.Abs(".")
	require.NoError(t, err)
	temp := t.TempDir()
	cmd := exec.CommandContext(t.Context(), step[0], step[1:]...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + temp, "HOME=" + temp, "GITHUB_ACTION_PATH=" + here}
	for name, value := range e {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, _ := cmd.CombinedOutput()
	left, err = os.ReadDir(temp)
	require.NoError(t, err)
	return cmd.ProcessState.ExitCode(), string(out), left
}

// settings returns the variables of a step that works.
func (m *mirror) settings(receiver string) env {
	return with(with(githubPush(), target(receiver)), env{
		"DEPLOYNOTIFY_VERSION": release, "DEPLOYNOTIFY_CHECKSUMS": m.checksums, "DEPLOYNOTIFY_MIRROR": m.url,
		"CURL_CA_BUNDLE": m.authority, "DEPLOYHOOK_STATUS": "success", "DEPLOYHOOK_ENVIRONMENT": "production",
	})
}

func TestScript_RunsWhatIsPinned(t *testing.T) {
	t.Parallel()
	m, got := newMirror(t), receive(t, nil)
	wgetrc := filepath.Join(t.TempDir(), "wgetrc")
	require.NoError(t, os.WriteFile(wgetrc, []byte("ca_certificate = "+m.authority+"\n"), 0o600))
	_, err := exec.LookPath("wget")
	haveWget := err == nil
	require.True(t, haveWget || os.Getenv("DEPLOYHOOK_TEST_REQUIRE_SERVICES") != "1", "wget is required and not installed")
	n := 0
	for name, step := range steps(t) {
		for tools, e := range map[string]env{
			"all": {}, "without curl": {"PATH": toolsWithout(t, "curl"), "WGETRC": wgetrc},
			"openssl alone": {"PATH": toolsWithout(t, "sha256sum", "shasum")},
		} {
			if tools != "all" && name != "the component, sh" || tools == "without curl" && !haveWget {
				continue
			}
			path, err := exec.LookPath(step[0])
			require.NoError(t, err)
			code, out, left := runStep(t, append([]string{path}, step[1:]...), with(m.settings(got.url+"/events"), e))
			require.Equal(t, 0, code, "%s, %s: %s", name, tools, out)
			require.Contains(t, out, "deploynotify: delivered success of api-service to production")
			require.Empty(t, left)
			n++
		}
	}
	events, _, _ := got.all()
	require.Len(t, events, n)
	require.Equal(t, payload.DeployLive, events[0].Type)
}

// If anything differs from what was pinned, nothing is run.
func TestScript_FailsClosed(t *testing.T) {
	t.Parallel()
	name := "/" + release + "/" + binaryName()
	list := "/" + release + "/checksums.txt"
	for what, c := range map[string]struct {
		spoil func(m *mirror)
		env   env
		says  string
	}{
		"another binary":           {func(m *mirror) { was, _ := m.file(name); m.put(name, was, "# changed\n") }, nil, binaryName() + " has the SHA-256"},
		"an empty binary":          {func(m *mirror) { m.put(name, "") }, nil, binaryName() + " has the SHA-256"},
		"no binary":                {func(m *mirror) { m.put(name) }, nil, "can't download"},
		"another list and binary":  {func(m *mirror) { m.put(list, digest("x"), "  ", binaryName(), "\n"); m.put(name, "x") }, nil, "checksums.txt has the SHA-256"},
		"no list":                  {func(m *mirror) { m.put(list) }, nil, "can't download"},
		"a list without it":        {func(m *mirror) { m.put(list, "\n"); m.checksums = digest("\n") }, nil, "does not list " + binaryName()},
		"another pin":              {nil, env{"DEPLOYNOTIFY_CHECKSUMS": digest("x")}, "checksums.txt has the SHA-256"},
		"no pin":                   {nil, env{"DEPLOYNOTIFY_CHECKSUMS": ""}, "DEPLOYNOTIFY_CHECKSUMS (input checksums): want"},
		"a pin that is none":       {nil, env{"DEPLOYNOTIFY_CHECKSUMS": "*"}, "DEPLOYNOTIFY_CHECKSUMS (input checksums): want"},
		"a pattern for a pin":      {nil, env{"DEPLOYNOTIFY_CHECKSUMS": strings.Repeat("?", 64)}, "DEPLOYNOTIFY_CHECKSUMS (input checksums): want"},
		"no version":               {nil, env{"DEPLOYNOTIFY_VERSION": ""}, "DEPLOYNOTIFY_VERSION (input version): want"},
		"latest":                   {nil, env{"DEPLOYNOTIFY_VERSION": "latest"}, "DEPLOYNOTIFY_VERSION (input version): want"},
		"a command for a version":  {nil, env{"DEPLOYNOTIFY_VERSION": "v0.1.0$(touch injected)"}, "DEPLOYNOTIFY_VERSION (input version): want"},
		"a path for a version":     {nil, env{"DEPLOYNOTIFY_VERSION": "v0.1.0/../v0.1.0"}, "DEPLOYNOTIFY_VERSION (input version): want"},
		"plain http":               {nil, env{"DEPLOYNOTIFY_MIRROR": "http://127.0.0.1:1"}, "DEPLOYNOTIFY_MIRROR: want"},
		"an unknown certificate":   {nil, env{"CURL_CA_BUNDLE": os.DevNull}, "can't download"},
		"nothing to download with": {nil, env{"PATH": toolsWithout(t, "curl", "wget")}, "needs curl or wget"},
		"nothing to verify with":   {nil, env{"PATH": toolsWithout(t, "sha256sum", "shasum", "openssl")}, "(none)"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			for step, command := range steps(t) {
				m, got := newMirror(t), receive(t, nil)
				if c.spoil != nil {
					c.spoil(m)
				}
				path, err := exec.LookPath(command[0])
				require.NoError(t, err)
				code, out, left := runStep(t, append([]string{path}, command[1:]...), with(m.settings(got.url+"/events"), c.env))
				require.Equal(t, 1, code, "%s: %s", step, out)
				require.Contains(t, out, c.says, step)
				require.NotContains(t, out, "delivered", step)
				require.Empty(t, left, step)
				events, _, _ := got.all()
				require.Empty(t, events, step)
				require.NoFileExists(t, "injected")
			}
		})
	}
}

// With fail-open a release that can't be downloaded does not fail the job, but
// one that differs from the pin does.
func TestScript_FailOpenCoversDownloadsOnly(t *testing.T) {
	t.Parallel()
	steps(t)
	for name, c := range map[string]struct {
		args []string
		env  env
		code int
	}{
		"download, variable": {nil, env{"DEPLOYNOTIFY_VERSION": "v9.9.9", "DEPLOYHOOK_FAIL_OPEN": "true"}, 0},
		"download, flag":     {[]string{"-status", "success", "-fail-open"}, env{"DEPLOYNOTIFY_VERSION": "v9.9.9"}, 0},
		"download, off":      {nil, env{"DEPLOYNOTIFY_VERSION": "v9.9.9", "DEPLOYHOOK_FAIL_OPEN": "false"}, 1},
		"another pin":        {[]string{"-fail-open"}, env{"DEPLOYNOTIFY_CHECKSUMS": digest("x"), "DEPLOYHOOK_FAIL_OPEN": "true"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, got := newMirror(t), receive(t, nil)
			command := append([]string{"sh", "deploynotify.sh"}, c.args...)
			code, out, left := runStep(t, command, with(m.settings(got.url+"/events"), c.env))
			require.Equal(t, c.code, code, out)
			require.Equal(t, c.code == 0, strings.Contains(out, "NOT delivered, but the exit status is 0"), out)
			require.Empty(t, left)
			events, _, _ := got.all()
			require.Empty(t, events)
		})
	}
}

// The program's exit status and the script's arguments are passed on.
func TestScript_PassesStatusAndArgumentsOn(t *testing.T) {
	t.Parallel()
	steps(t)
	m, got := newMirror(t), receive(t, nil)
	e := with(m.settings(got.url+"/events"), env{"DEPLOYHOOK_STATUS": ""})
	code, out, _ := runStep(t, []string{"sh", "deploynotify.sh", "-status", "3", "-error", "it said \"no\" $HOME"}, e)
	require.Equal(t, 0, code, out)
	events, _, _ := got.all()
	require.Equal(t, "it said \"no\" $HOME", events[0].Error)
	code, out, _ = runStep(t, []string{"sh", "deploynotify.sh", "-status", "meh"}, e)
	require.Equal(t, 2, code, out)
}

// A job's before_script reports the start as README.md shows, and the script
// goes on.
func TestComponent_ReportsTheStartInBeforeScript(t *testing.T) {
	t.Parallel()
	component := steps(t)["the component, sh"][2]
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	const start = "export DEPLOYHOOK_START=true"
	require.Contains(t, string(readme), "      - "+start+"\n      - !reference [.deploynotify, after_script]\n")
	m, got := newMirror(t), receive(t, nil)
	e := with(m.settings(got.url+"/events"), env{"DEPLOYHOOK_STATUS": ""})
	code, out, _ := runStep(t, []string{"sh", "-ec", start + "\n" + component + "echo deploying"}, e)
	require.Equal(t, 0, code, out)
	require.Contains(t, out, "deploying")
	code, out, _ = runStep(t, []string{"sh", "-ec", component}, with(e, env{"DEPLOYHOOK_STATUS": "failed"}))
	require.Equal(t, 0, code, out)
	events, _, _ := got.all()
	require.Len(t, events, 2)
	require.Equal(t, []payload.Type{payload.DeployStarted, payload.DeployFailed}, []payload.Type{events[0].Type, events[1].Type})
	require.Equal(t, events[0].DeploymentID, events[1].DeploymentID)
}

// Inputs never become part of a command's text. Each is used, and each variable
// is one that the program reads.
func TestAction_PassesInputsAsVariables(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("action.yml")
	require.NoError(t, err)
	declared, runs, ok := strings.Cut(string(text), "\nruns:\n")
	require.True(t, ok)
	_, declared, _ = strings.Cut(declared, "\ninputs:\n")
	known := map[string]bool{"DEPLOYHOOK_SECRET": true, "DEPLOYHOOK_API_KEY": true, "DEPLOYNOTIFY_VERSION": true, "DEPLOYNOTIFY_CHECKSUMS": true}
	(&options{}).flags(io.Discard).VisitAll(func(f *flag.Flag) { known[variableOf(f.Name)] = true })
	inputs := regexp.MustCompile(`(?m)^  ([a-z-]+):$`).FindAllStringSubmatch(declared, -1)
	require.GreaterOrEqual(t, len(inputs), 20)
	for _, input := range inputs {
		want := fmt.Sprintf(`DEPLOY[A-Z_]+: \$\{\{ inputs\.%s(?: \|\| env\.DEPLOY[A-Z_]+)? \}\}`, regexp.QuoteMeta(input[1]))
		require.Regexp(t, want, runs)
	}
	for _, line := range strings.Split(runs, "\n") {
		if strings.Contains(line, "${{") {
			set := regexp.MustCompile(`^        (DEPLOY[A-Z_]+): \$\{\{ inputs\.([a-z-]+)(?: \|\| env\.(DEPLOY[A-Z_]+))? \}\}$`).FindStringSubmatch(line)
			require.Len(t, set, 4, line)
			require.True(t, known[set[1]], set[1])
			if strings.HasPrefix(set[1], envPrefix) {
				require.Equal(t, set[1], set[3], "the job's variable is kept")
				require.Equal(t, set[1], variableOf(set[2]), "the input has the flag's name")
			}
		}
	}
}
