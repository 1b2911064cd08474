package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/signer"
)

const childEnv = "DEPLOYHOOK_EXAMPLE_MAIN"

// TestMain is also the program's main function, because the tests run it as a
// process.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		main()
		os.Exit(0)
	}
	leaktest.Main(m)
}

const (
	literal = "a-literal-secret-of-some-length"
	apiKey  = "dhk_0123456789abcdef0123456789abcdef"
	event   = `{"event":"deploy.live","timestamp":"2026-03-12T14:22:01Z","deployment_id":"dep_1","app":"api","environment":"production"}`
)

// program is a running receiver.
type program struct {
	t    *testing.T
	cmd  *exec.Cmd
	base string

	mu  sync.Mutex
	out bytes.Buffer
	eof chan struct{}
}

var listening = regexp.MustCompile(`msg=listening addr=(\S+)`)

// start runs the program and waits until it listens. It returns nil if the
// program ended before.
func start(t *testing.T, env []string, args ...string) *program {
	t.Helper()
	p := &program{t: t, eof: make(chan struct{})}
	p.cmd = exec.Command(os.Args[0], append([]string{"-addr", "127.0.0.1:0", "-drain", "0"}, args...)...)
	p.cmd.Env = append([]string{childEnv + "=1", "PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	p.cmd.Dir = t.TempDir()
	stderr, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); <-p.eof; _ = p.cmd.Wait() })
	up := make(chan string, 1)
	go func() {
		defer close(p.eof)
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			p.mu.Lock()
			p.out.WriteString(lines.Text() + "\n")
			p.mu.Unlock()
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				up <- m[1]
			}
		}
	}()
	select {
	case addr := <-up:
		p.base = "http://" + addr
		return p
	case <-p.eof:
		return p
	case <-time.After(2 * time.Minute):
		t.Fatal("the program did not start:\n", p.output())
		return nil
	}
}

func (p *program) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// stop sends SIGTERM and returns the exit status.
func (p *program) stop() int {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.eof:
	case <-time.After(2 * time.Minute):
		p.t.Fatal("the program did not stop:\n", p.output())
	}
	_ = p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

// post sends a body. sign adds the route's credentials.
func (p *program) post(path, body string, sign func(*http.Request)) (int, string) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.base+path, strings.NewReader(body))
	require.NoError(p.t, err)
	r.Header.Set("Content-Type", "application/json")
	sign(r)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 2 * time.Minute}
	resp, err := client.Do(r)
	require.NoError(p.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	return resp.StatusCode, strings.TrimSpace(string(text))
}

func with(t *testing.T, s signer.Signer, id, body string) func(*http.Request) {
	return func(r *http.Request) { require.NoError(t, s.Sign(r.Context(), r, id, time.Now(), []byte(body))) }
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func hubSignature(body string) string {
	mac := hmac.New(sha256.New, []byte(literal))
	mac.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

const (
	handled   = `{"received":true}`
	duplicate = `{"received":true,"duplicate":true}`
)

func everyStore() map[string]func(*testing.T) string {
	return map[string]func(*testing.T) string{
		"memory":   func(*testing.T) string { return "memory" },
		"sqlite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "deployhook.db") },
		"redis":    func(t *testing.T) string { return servicetest.StartRedis(t).URL() },
		"postgres": func(t *testing.T) string { return servicetest.StartPostgres(t).URL() },
	}
}

func TestEveryRouteOnEveryStore(t *testing.T) {
	t.Parallel()
	secret := signer.GenerateSecret()
	env := []string{
		"DEPLOYHOOK_SECRET=" + secret.Reveal(), "DEPLOYHOOK_TEMPS_SECRET=" + literal, "TEMPS_WEBHOOK_SECRET=" + literal, "GITHUB_WEBHOOK_SECRET=" + literal,
		"GITLAB_WEBHOOK_SECRET=" + literal, "DEPLOYHOOK_API_KEYS=acme=" + apiKey + ", other=" + apiKey + "_2",
	}
	for name, where := range everyStore() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := where(t)
			p := start(t, env, "-store", store)
			require.NotEmpty(t, p.base, p.output())
			scheme, err := signer.NewStandard(secret)
			require.NoError(t, err)
			key, err := signer.NewLiteralSecret(literal)
			require.NoError(t, err)
			common, err := signer.NewTimestamped(key)
			require.NoError(t, err)
			temps, err := signer.NewTimestamped(key, signer.WithHeaderPrefix("X-Temps"))
			require.NoError(t, err)
			id := payload.NewDeliveryID()
			live2 := strings.ReplaceAll(event, "dep_1", "dep_2")
			github := `{"action":"created","deployment_status":{"state":"success","id":1,"created_at":"2026-03-12T14:22:01Z","updated_at":"2026-03-12T14:22:01Z"},"deployment":{"id":7,"sha":"f4c8e2af4c8e2af4c8e2af4c8e2af4c8e2af4c8e","environment":"production","created_at":"2026-03-12T14:20:01Z"},"repository":{"name":"api"}}`
			gitlab := `{"object_kind":"deployment","status":"success","deployment_id":15,"deployable_url":"https://gitlab.example/-/jobs/796","environment":"staging","project":{"name":"api"},"short_sha":"279484c0","status_changed_at":"2026-04-28 21:50:00 +0200"}`
			server := `{"id":"e-1","event_type":"deployment_succeeded","timestamp":"2026-03-12T14:26:40Z","project_id":7,"payload":{"deployment_id":42,"project_id":7,"project_name":"api","environment":"production","branch":"main","commit_sha":"f4c8e2a91b3d5f7086a2c4e6d8f0b1a3c5e7d9f1","status":"succeeded","started_at":"2026-03-12T14:22:01Z","finished_at":"2026-03-12T14:26:40Z"}}`
			for _, c := range []struct {
				path, body string
				sign       func(*http.Request)
				want       string
			}{
				{"/webhooks/deploy", event, with(t, scheme, id, event), handled},
				{"/webhooks/deploy", event, with(t, scheme, id, event), duplicate},
				{"/webhooks/temps", event, with(t, common, id, event), handled},
				{"/webhooks/temps", live2, with(t, temps, id, live2), handled},
				{"/webhooks/temps", live2, with(t, temps, id, live2), duplicate},
				{"/webhooks/temps-server", server, with(t, common, id, server), handled},
				{"/webhooks/github", github, func(r *http.Request) {
					header("X-Hub-Signature-256", hubSignature(github))(r)
					header("X-GitHub-Event", "deployment_status")(r)
				}, handled},
				{"/webhooks/gitlab", gitlab, func(r *http.Request) {
					header("X-Gitlab-Token", literal)(r)
					header("X-Gitlab-Event", "Deployment Hook")(r)
				}, handled},
			} {
				status, body := p.post(c.path, c.body, c.sign)
				assert.Equal(t, http.StatusOK, status, "%s: %s", c.path, body)
				assert.Equal(t, c.want, body, c.path)
			}
			status, body := p.post("/webhooks/deploy", event, with(t, common, id, event))
			assert.Equal(t, http.StatusUnauthorized, status)
			assert.Equal(t, `{"error":"Invalid signature"}`, body)
			checkDeployments(t, p)

			checkHealth(t, p)

			assert.Zero(t, p.stop(), p.output())
			assert.Contains(t, p.output(), "service: stopped")
			for line := range strings.Lines(p.output()) {
				assert.True(t, strings.HasPrefix(line, "time="), "not from the program's logger: %s", line)
			}
			for _, s := range []string{secret.Reveal(), literal, apiKey} {
				assert.NotContains(t, p.output(), s, "a secret in the log")
			}
			if name == "memory" {
				return
			}
			// The next process remembers handled deliveries.
			p = start(t, env, "-store", store)
			require.NotEmpty(t, p.base, p.output())
			_, body = p.post("/webhooks/deploy", event, with(t, scheme, id, event))
			assert.Equal(t, duplicate, body)
			assert.Zero(t, p.stop())
		})
	}
}

const record = `{"deploymentId":"run-1","commitSha":"a1b2c3d4e5f60ab2c3d4e5f60ab2c3d4e5f60ab2","environment":"production","status":"success","startedAt":"2026-01-15T10:30:00Z","completedAt":"2026-01-15T10:35:00Z","service":"api"}`

func checkDeployments(t *testing.T, p *program) {
	t.Helper()
	const path = "/api/webhooks/deployments"
	status, body := p.post(path, record, header("Authorization", "Bearer "+apiKey))
	assert.Equal(t, http.StatusCreated, status, body)
	assert.Equal(t, `{"action":"created","deploymentId":1,"linkedPRs":0}`, body)
	status, body = p.post(path, record, header("Authorization", "Bearer "+apiKey))
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, `{"action":"updated","deploymentId":1,"linkedPRs":0}`, body)
	status, body = p.post(path, record, header("Authorization", "Bearer "+apiKey+"_2"))
	assert.Equal(t, http.StatusCreated, status, "another organization's record: %s", body)
	checkMetrics(t, p)
	status, body = p.post(path, record, header("Authorization", "Bearer nobody's key, and long enough"))
	assert.Equal(t, http.StatusUnauthorized, status)
	assert.Equal(t, `{"error":"Invalid or missing API key"}`, body)
	status, body = p.post(path, strings.Replace(record, "a1b2", "xyz", 1), header("Authorization", "Bearer "+apiKey))
	assert.Equal(t, http.StatusBadRequest, status)
	assert.Equal(t, `{"error":"Invalid payload: commitSha must be a valid hex string (5-40 characters)"}`, body)
}

// A running delivery delays the end until a second signal.
func TestSignal_SecondStopsAtOnce(t *testing.T) {
	t.Parallel()
	p := start(t, []string{"DEPLOYHOOK_SECRET=" + signer.GenerateSecret().Reveal()}, "-store", "memory", "-drain", "1h")
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.base, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "POST /webhooks/deploy HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+
		"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n")
	require.NoError(t, err)
	line, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "100 Continue", "the receiver reads the body")

	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool { return strings.Contains(p.output(), "service: stopping") }, 2*time.Minute, 10*time.Millisecond)
	p.stop()
	require.False(t, p.cmd.ProcessState.Exited(), "the second signal ended it: %v\n%s", p.cmd.ProcessState, p.output())
}

func TestRoute_WithoutSecretIsNotServed(t *testing.T) {
	t.Parallel()
	p := start(t, []string{"GITHUB_WEBHOOK_SECRET=" + literal})
	require.NotEmpty(t, p.base, p.output())
	assert.Contains(t, p.output(), "/webhooks/github")
	assert.Contains(t, p.output(), "/webhooks/deploy (DEPLOYHOOK_SECRET is not set)")
	for _, path := range []string{"/webhooks/deploy", "/webhooks/temps", "/webhooks/gitlab", "/api/webhooks/deployments"} {
		status, _ := p.post(path, event, func(*http.Request) {})
		assert.Equal(t, http.StatusNotFound, status, path)
	}
	status, _ := p.post("/webhooks/github", event, func(*http.Request) {})
	assert.Equal(t, http.StatusUnauthorized, status)
	assert.FileExists(t, filepath.Join(p.cmd.Dir, "deployhook.db"), "the default store is a file in the working directory")
	assert.Zero(t, p.stop())
}

func TestStart_ConfigurationErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env, args []string
		want      string
	}{
		"store":          {args: []string{"-store", "mysql://root:hunter2@db/x"}, want: "-store: want memory, sqlite:FILE"},
		"store's URL":    {args: []string{"-store", "redis://:hunter2@%zz"}, want: "-store: not a URL"},
		"database down":  {args: []string{"-store", "postgres://u:hunter2@127.0.0.1:1/x?connect_timeout=2"}, want: "-store: "},
		"address":        {args: []string{"-store", "memory", "-addr", "nowhere:-1"}, want: "-addr: "},
		"drain":          {args: []string{"-store", "memory", "-drain", "-1s"}, want: "-drain: "},
		"argument":       {args: []string{"postgres://u:hunter2@db/x"}, want: "unexpected argument"},
		"short secret":   {env: []string{"GITHUB_WEBHOOK_SECRET=hunter2"}, args: []string{"-store", "memory"}, want: "GITHUB_WEBHOOK_SECRET: "},
		"API keys":       {env: []string{"DEPLOYHOOK_API_KEYS=hunter2"}, args: []string{"-store", "memory"}, want: "DEPLOYHOOK_API_KEYS: entry 1: want org=key"},
		"second API key": {env: []string{"DEPLOYHOOK_API_KEYS=acme=" + apiKey + ",b=hunter2"}, args: []string{"-store", "memory"}, want: "DEPLOYHOOK_API_KEYS: entry 2: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, c.env, c.args...)
			<-p.eof
			_ = p.cmd.Wait()
			assert.Equal(t, 1, p.cmd.ProcessState.ExitCode())
			assert.Contains(t, p.output(), c.want)
			assert.NotContains(t, p.output(), "hunter2", "a secret in the error")
		})
	}
}

// The call of Periscope's users, with another host and key.
func TestCurl(t *testing.T) {
	t.Parallel()
	curl := servicetest.Program(t, "curl")
	p := start(t, []string{"DEPLOYHOOK_API_KEYS=acme=" + apiKey}, "-store", "memory")
	require.NotEmpty(t, p.base, p.output())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, curl, "-sS", "-X", "POST", p.base+"/api/webhooks/deployments",
		"-H", "Authorization: Bearer "+apiKey, "-H", "Content-Type: application/json", "-d", record).Output()
	require.NoError(t, err)
	assert.Equal(t, `{"action":"created","deploymentId":1,"linkedPRs":0}`, string(out))
	assert.Zero(t, p.stop())
}

// Pull requests are counted only in the organization's own repository.
func TestLinkedPullRequests(t *testing.T) {
	t.Parallel()
	git := servicetest.Program(t, "git")
	repos := t.TempDir()
	repo := filepath.Join(repos, "acme", "api")
	run := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), git, append([]string{"-C", repo, "-c", "user.name=t", "-c", "user.email=t@example.com"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return strings.TrimSpace(string(out))
	}
	require.NoError(t, os.MkdirAll(repo, 0o755))
	run("init", "-q")
	var commits []string
	for _, subject := range []string{"Begin (#1)", "Add a thing (#2)", "No pull request", "Merge pull request #3 from acme/x"} {
		run("commit", "-q", "--allow-empty", "-m", subject)
		commits = append(commits, run("rev-parse", "HEAD"))
	}
	p := start(t, []string{"DEPLOYHOOK_API_KEYS=acme=" + apiKey + ",other=" + apiKey + "_2"}, "-store", "memory", "-repos", repos)
	require.NotEmpty(t, p.base, p.output())
	send := func(key, id, commit, service string) string {
		r := strings.NewReplacer("run-1", id, "a1b2c3d4e5f60ab2c3d4e5f60ab2c3d4e5f60ab2", commit, `"service":"api"`, `"service":"`+service+`"`)
		_, body := p.post("/api/webhooks/deployments", r.Replace(record), header("Authorization", "Bearer "+key))
		return body
	}
	assert.Equal(t, `{"action":"created","deploymentId":1,"linkedPRs":1}`, send(apiKey, "first", commits[0], "api"))
	later := strings.NewReplacer("10:30", "11:30", "10:35", "11:35", "run-1", "second", "a1b2c3d4e5f60ab2c3d4e5f60ab2c3d4e5f60ab2", commits[3]).Replace(record)
	_, body := p.post("/api/webhooks/deployments", later, header("Authorization", "Bearer "+apiKey))
	assert.Equal(t, `{"action":"created","deploymentId":2,"linkedPRs":2}`, body, "since the deployment before")
	assert.Contains(t, send(apiKey+"_2", "third", commits[3], "api"), `"linkedPRs":0`, "another organization's repository")
	assert.Contains(t, send(apiKey, "fourth", commits[3], "../acme/api"), `"linkedPRs":0`, "a path for a service")
	assert.Zero(t, p.stop())
}

func checkMetrics(t *testing.T, p *program) {
	t.Helper()
	const incident = `{"incidentId":"7","openedAt":"2026-01-15T10:40:00Z","resolvedAt":"2026-01-15T11:05:00Z","service":"api","environment":"production"}`
	status, body := p.post("/api/webhooks/incidents", incident, header("Authorization", "Bearer "+apiKey))
	assert.Equal(t, http.StatusCreated, status, body)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.base+"/api/metrics/dora?from=2026-01-12&to=2026-01-19&format=csv", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+apiKey)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 2 * time.Minute}
	resp, err := client.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, resp.StatusCode, string(text))
	assert.Contains(t, string(text), "acme,api,production,UTC,window,2026-01-12,2026-01-19,0,,,first=1,1,")
}

// The report is made from the store that a service has filled.
func TestReport(t *testing.T) {
	t.Parallel()
	store := "sqlite:" + filepath.Join(t.TempDir(), "deployhook.db")
	p := start(t, []string{"DEPLOYHOOK_API_KEYS=acme=" + apiKey}, "-store", store)
	require.NotEmpty(t, p.base, p.output())
	status, body := p.post("/api/webhooks/deployments", record, header("Authorization", "Bearer "+apiKey))
	require.Equal(t, http.StatusCreated, status, body)
	checkMetrics(t, p)
	require.Zero(t, p.stop())
	report := func(args ...string) string {
		cmd := exec.Command(os.Args[0], append([]string{"-store", store, "-from", "2026-01-12", "-to", "2026-01-19"}, args...)...)
		cmd.Env = append(os.Environ(), childEnv+"=1")
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	require.Equal(t, `api in production (acme)
2026-01-12 to 2026-01-19, exclusive, UTC

  change lead time                  not measured              ·  0 commits (left out: 1 first)
  deployment frequency              0.14 a day, 1 days a week  █  1 deployment
  failed deployment recovery time   30m0s                     █  1 recovered
  change fail rate                  100.0 %                   █  1 of 1
  deployment rework rate            0.0 %                     ▁  0 of 1

`, report("-report", "acme"))
	require.Contains(t, report("-report", "nobody"), "no deployments of")
	require.Contains(t, report("-report", "acme", "-zone", "Mars"), "Europe/Berlin")
}
