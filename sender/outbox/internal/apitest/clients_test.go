package apitest

import (
	"bufio"
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"flag"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/sender/outbox/api"
	"github.com/deployhook/deployhook/signer"
)

// patience is how long the programs may take. Only a hang takes that long.
const patience = 10 * time.Minute

// clients is set by the gate.
var clients = flag.Bool("api.clients", false, "generate clients from the document, and compile and run them")

//go:embed testdata
var testdata embed.FS

// TestClients generates a Go client and a TypeScript client from the document.
// With each, a program walks through examples/platform as a customer would. It
// creates endpoints, deploys an app, reads attempts, rotates a secret, replays
// a delivery, and pages through 1,000 deliveries. The TypeScript compiler and
// the Go compiler check that the programs use the API as the document says.
//
// It takes over a minute of processor time, and more the first time. It needs
// Go, node and npm, and modules and packages that they download once.
func TestClients(t *testing.T) {
	if !*clients {
		t.Skip("without -api.clients")
	}
	t.Parallel()
	for _, program := range []string{"node", "npm", "go"} {
		servicetest.Program(t, program)
	}
	target := newTarget(t)
	p := startPlatform(t)
	for app, newProgram := range map[string]func(*testing.T) *exec.Cmd{"golang": goClient, "typescript": typeScriptClient} {
		t.Run(app, func(t *testing.T) {
			t.Parallel()
			cmd := newProgram(t)
			p.call(t, http.MethodPut, "/webhooks/apps/"+app, "")
			token := p.call(t, http.MethodPost, "/apps/"+app+"/tokens", `{"name":"ci"}`)["token"].(string)
			cmd.Env = append(os.Environ(), "APP="+app, "TOKEN="+token, "TARGET="+target.URL, "API="+p.url+"/webhooks",
				"PUBLISH="+p.url+"/apps/"+app+"/deployments", `PUBLISH_BODY={"source":"hello","version":"v1"}`)
			var shown struct{ Endpoint, Secret string }
			require.NoError(t, json.Unmarshal(run(t, cmd), &shown))
			require.True(t, strings.HasPrefix(shown.Endpoint, "ep_"), shown.Endpoint)
			target.verify(t, "/"+app+"/0", shown.Secret)
		})
	}
}

// run returns what a program prints.
func run(t *testing.T, cmd *exec.Cmd) []byte {
	t.Helper()
	var out, faults bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &faults
	require.NoError(t, start(t, cmd))
	require.NoError(t, cmd.Wait(), "%v\n%s%s", cmd.Args, out.String(), faults.String())
	t.Logf("%v: %v of processor time", cmd.Args, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	return out.Bytes()
}

// start starts a program that ends with the test at the latest.
func start(t *testing.T, cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	servicetest.DieWithParent(cmd, syscall.SIGKILL)
	return cmd.Start()
}

// fetch runs a program that downloads what is not in a cache. Without a network
// the test is skipped.
func fetch(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		servicetest.Skip(t, strings.Join(cmd.Args, " ")+": "+err.Error()+"\n"+string(out))
	}
}

// command returns a program that runs in dir.
func command(t *testing.T, dir, name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	return cmd
}

// unpack copies a folder of testdata, and adds the document.
func unpack(t *testing.T, from string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	files, err := fs.Sub(testdata, "testdata/"+from)
	require.NoError(t, err)
	require.NoError(t, os.CopyFS(dir, files))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "openapi.json"), api.Document(), 0o600))
	return dir
}

// goClient builds the program in a module of its own, as a customer would. The
// module pins the generator.
func goClient(t *testing.T) *exec.Cmd {
	dir := unpack(t, "go")
	for from, to := range map[string]string{"client.mod": "go.mod", "client.sum": "go.sum"} {
		require.NoError(t, os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "api"), 0o700))
	tool := func(args ...string) *exec.Cmd {
		cmd := command(t, dir, "go", args...)
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
		return cmd
	}
	fetch(t, tool("mod", "download"))
	run(t, tool("tool", "oapi-codegen", "-generate", "types,client", "-package", "api", "-o", "api/api.go", "openapi.json"))
	run(t, tool("build", "-o", "walk", "."))
	return command(t, dir, filepath.Join(dir, "walk"))
}

// typeScriptClient compiles the program with the packages of package-lock.json.
func typeScriptClient(t *testing.T) *exec.Cmd {
	dir := unpack(t, "typescript")
	fetch(t, command(t, dir, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"))
	run(t, command(t, dir, "node", "node_modules/openapi-typescript/bin/cli.js", "openapi.json", "-o", "api.d.ts"))
	run(t, command(t, dir, "node", "node_modules/typescript/bin/tsc", "--project", "."))
	return command(t, dir, "node", "walk.js")
}

// target accepts everything, and keeps the last request to each path.
type target struct {
	*httptest.Server
	mu   sync.Mutex
	last map[string]received
}

type received struct {
	request *http.Request
	body    []byte
}

func newTarget(t *testing.T) *target {
	g := &target{last: map[string]received{}}
	g.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		g.last[r.URL.Path] = received{r, body}
	}))
	t.Cleanup(g.Close)
	return g
}

// verify checks that the last request to a path was signed with a secret.
func (g *target) verify(t *testing.T, path, secret string) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	key, err := signer.ParseSecret(secret)
	require.NoError(t, err)
	scheme, err := signer.NewStandard(key)
	require.NoError(t, err)
	last, ok := g.last[path]
	require.True(t, ok, path)
	_, err = scheme.Verify(last.request, last.body)
	require.NoError(t, err)
}

// platform is a running examples/platform.
type platform struct{ url, token string }

var listening = regexp.MustCompile(`msg=listening addr=(\S+)`)

// startPlatform builds and starts the example.
func startPlatform(t *testing.T) *platform {
	dir := t.TempDir()
	program := filepath.Join(dir, "platform")
	run(t, command(t, "", "go", "build", "-o", program, "github.com/deployhook/deployhook/examples/platform"))
	p := &platform{token: "operator-token-0123456789"}
	cmd := command(t, dir, program, "-addr", "127.0.0.1:0", "-drain", "0", "-watch", "100ms", "-health-timeout", "1h", "-allow-networks", "127.0.0.0/8")
	cmd.Env = append(os.Environ(), "PLATFORM_API_TOKEN="+p.token)
	log, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, start(t, cmd))
	address, read := make(chan string, 1), make(chan struct{})
	var text bytes.Buffer
	go func() {
		defer close(read)
		lines := bufio.NewScanner(log)
		for lines.Scan() {
			text.Write(append(lines.Bytes(), '\n'))
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				address <- m[1]
			}
		}
		close(address)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-read
		err := cmd.Wait()
		if err != nil || t.Failed() {
			t.Log(text.String())
		}
		require.NoError(t, err)
		t.Logf("the platform: %v of processor time", cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	})
	at, ok := <-address
	require.True(t, ok, "the platform has ended")
	p.url = "http://" + at
	return p
}

// call makes a request of the operator.
func (p *platform) call(t *testing.T, method, path, body string) (out map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, p.url+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+p.token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Less(t, answer.StatusCode, 300, "%s %s: %s", method, path, text)
	require.NoError(t, json.Unmarshal(text, &out))
	return out
}
