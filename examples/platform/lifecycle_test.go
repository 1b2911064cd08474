package main

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/examples/platform/internal/engine"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

func TestDemo(t *testing.T) {
	t.Parallel()
	cmd := command(t, t.TempDir(), nil, "-demo", "-keep")
	var errs bytes.Buffer
	out := &watched{line: make(chan string, 1)}
	cmd.Stdout, cmd.Stderr = out, &errs
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		t.Fatalf("%v\n%s\n%s", err, out, &errs)
	case address := <-out.line: // it keeps running
		require.Contains(t, openConsole(t, address, "shop"), "Endpoints")
	}
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, <-ended, "%s\n%s", out, &errs)
	require.Empty(t, withoutSlowness(errs.String()))
	require.Contains(t, out.String(), "All 19 events came, signed, verified and handled once each.")
	for _, version := range []string{"v1", "v2", "v3", "v4", "v5"} {
		require.Regexp(t, `(?m)^\d\d:\d\d:\d\d\.\d{3}  `+version+`  deploy\.started `, out.String())
	}
	require.Regexp(t, `(?m)^whk_\w{32}  v1  [a-z_.]+ +delivered  503 in [\d.]+ ms; 200 in [\d.]+ ms$`, out.String())
	require.Contains(t, out.String(), "/health answered 200")
	require.Contains(t, out.String(), "to v1: v3 did not become healthy")
	require.Equal(t, 18, strings.Count(out.String(), " delivered  200 in "), "one attempt each but for the first\n%s", out)
	left, err := filepath.Glob(filepath.Join(tmpOf(cmd.Env), "platform-demo-*"))
	require.NoError(t, err)
	require.Empty(t, left, "it cleans up")
}

// withoutSlowness drops the lines that the outbox logs if the machine is so
// busy that a statement takes longer than 15 s. It tries again, and the demo
// goes on.
func withoutSlowness(log string) string {
	var rest strings.Builder
	for line := range strings.Lines(log) {
		if !strings.Contains(line, "it will be tried again") {
			rest.WriteString(line)
		}
	}
	return rest.String()
}

func tmpOf(env []string) string {
	for _, e := range env {
		if dir, ok := strings.CutPrefix(e, "TMPDIR="); ok {
			return dir
		}
	}
	return ""
}

// SIGTERM cancels a running deployment. The customer is told, although the
// platform has already stopped.
func TestSIGTERM_CancelsDeployment(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), listen(t)
	p := start(t, dir, nil)
	require.NotNil(t, p.api, p.output())
	p.register(c, "")
	p.deploy("hello", "v1")
	c.down.Store(true) // so that the event must outlive the process
	d := p.begin("sick", "v2")
	p.await(d.ID, func(d engine.Deployment) bool { return d.Step == engine.StepStarting })
	require.Zero(t, p.stop(syscall.SIGTERM), p.output())
	require.Contains(t, p.output(), "msg=stopped")

	c.down.Store(false)
	p = start(t, dir, nil)
	require.NotNil(t, p.api, p.output())
	c.gets(d.ID, payload.DeployStarted, payload.BuildCompleted, payload.DeployFailed)
	events := c.all()
	last := events[len(events)-1]
	require.Equal(t, payload.StatusCancelled, last.Status)
	require.Contains(t, last.Error, "cancelled")
	require.Equal(t, payload.StatusCancelled, p.await(d.ID, func(d engine.Deployment) bool { return d.Step == engine.StepDone }).Status)
	require.True(t, assertEventually(func() bool { return p.live() == "hello from shop v1" }))
	require.Zero(t, p.stop(syscall.SIGTERM))
}

// A platform that is killed leaves no program running. Afterwards it reports
// the outcome of its deployments and continues.
func TestSIGKILL(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), listen(t)
	p := start(t, dir, nil)
	require.NotNil(t, p.api, p.output())
	p.register(c, "")
	p.deploy("hello", "v1")
	d := p.begin("sick", "v2")
	p.await(d.ID, func(d engine.Deployment) bool { return d.Step == engine.StepStarting })
	var children []int
	require.True(t, assertEventually(func() bool { children = childrenOf(t, p.cmd.Process.Pid); return len(children) == 2 }), "the old version and the new one: %v", children)
	c.gets(d.ID, payload.DeployStarted, payload.BuildCompleted) // an attempt that is cut off is made again much later
	p.stop(syscall.SIGKILL)
	for _, pid := range children {
		require.True(t, assertEventually(func() bool { return gone(pid) }), "an instance outlived the platform")
	}

	p = start(t, dir, nil)
	require.NotNil(t, p.api, p.output())
	c.gets(d.ID, payload.DeployStarted, payload.BuildCompleted, payload.DeployFailed)
	require.True(t, assertEventually(func() bool { return p.live() == "hello from shop v1" }), p.output())
	require.Contains(t, p.await(d.ID, func(d engine.Deployment) bool { return true }).Error, "killed")
	require.Zero(t, p.stop(syscall.SIGTERM))
}

// childrenOf reads the children of a process from /proc.
func childrenOf(t *testing.T, pid int) (out []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	if len(stats) == 0 {
		t.Skip("no /proc here")
	}
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) && fields[0] != "Z" {
			child, _ := strconv.Atoi(strings.Split(name, "/")[2])
			out = append(out, child)
		}
	}
	return out
}

// gone reports whether a process has ended, even if it was not waited for.
func gone(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, rest, _ := strings.Cut(string(text), ") ")
	return err != nil || strings.HasPrefix(rest, "Z")
}

// A step and its event are stored together or not at all.
func TestRecord_AndItsEventAreOneTransaction(t *testing.T) {
	t.Parallel()
	for name, where := range map[string]func(*testing.T) string{"sqlite": func(*testing.T) string { return "" }, "postgres": database} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &options{addr: "127.0.0.1:0", data: t.TempDir(), database: where(t), networks: networks{netip.MustParsePrefix("127.0.0.0/8")}, health: time.Second, watch: time.Second, retryScale: 1}
			p, err := newPlatform(t.Context(), o, demoEnv(), slog.New(slog.DiscardHandler))
			require.NoError(t, err)
			defer p.close()
			now := time.Now().UTC()
			d := engine.Deployment{ID: payload.NewDeploymentID(), App: "shop", Status: payload.StatusInProgress, Step: engine.StepBuilding, StartedAt: now}
			started := &payload.Event{Type: payload.DeployStarted, Timestamp: now, DeploymentID: d.ID, App: "shop"}
			require.ErrorIs(t, p.record(t.Context(), d, started), outbox.ErrUnknownApp)
			_, err = p.store.deployment(t.Context(), d.App, d.ID)
			require.ErrorIs(t, err, errNotFound, "the record is rolled back with its event")

			_, _, err = p.outbox.App("shop").CreateEndpoint(t.Context(), outbox.EndpointConfig{URL: sender.NewURL("http://127.0.0.1:9/hook")})
			require.NoError(t, err)
			for range 2 {
				require.NoError(t, p.record(t.Context(), d, started))
				stored, err := p.outbox.App("shop").Deliveries(t.Context(), outbox.DeliveryFilter{}, outbox.Page{})
				require.NoError(t, err)
				require.Len(t, stored.Items, 1, "recording a step twice is harmless")
			}
			found, err := p.store.deployment(t.Context(), d.App, d.ID)
			require.NoError(t, err)
			require.Equal(t, d, found)
		})
	}
}

func TestSealingKey(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), listen(t)
	file := filepath.Join(dir, "platform-data", "sealing.key")
	p := start(t, dir, nil)
	require.NotNil(t, p.api, p.output())
	id := p.register(c, "")
	require.Zero(t, p.stop(syscall.SIGTERM))
	require.Contains(t, p.output(), "level=WARN")
	require.Contains(t, p.output(), "made a key and saved it")
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	key, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NotContains(t, p.output(), strings.TrimSpace(string(key)))

	// Without the key file no key is made, and a wrong key is detected at once.
	require.NoError(t, os.Rename(file, file+".away"))
	p = start(t, dir, nil)
	require.Nil(t, p.api)
	require.Equal(t, 1, p.ended())
	require.Contains(t, p.output(), "can't be read without the key it was sealed with")
	other := newKey()
	p = start(t, dir, []string{"PLATFORM_SEALING_KEY=" + other})
	require.Nil(t, p.api)
	require.Equal(t, 1, p.ended())
	require.Contains(t, p.output(), "is not the key that the database was sealed with")
	require.NotContains(t, p.output(), other)

	// A change of keys needs the old one as the previous key, and then no
	// longer.
	change := []string{"PLATFORM_SEALING_KEY=" + other, "PLATFORM_SEALING_KEY_PREVIOUS=" + string(key)}
	for _, env := range [][]string{change, change[:1]} {
		p = start(t, dir, env)
		require.NotNil(t, p.api, p.output())
		require.Equal(t, "delivered", p.testEndpoint(id).State)
		require.Zero(t, p.stop(syscall.SIGTERM))
	}
}

func TestStart_ConfigurationErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env, args []string
		want      string
	}{
		"open to the network":  {args: []string{"-addr", ":0"}, want: "is not loopback, so the API needs a token"},
		"open to the network6": {args: []string{"-addr", "[::]:0"}, want: "is not loopback, so the API needs a token"},
		"short token":          {env: []string{"PLATFORM_API_TOKEN=hunter2"}, want: "PLATFORM_API_TOKEN: want at least 16 characters"},
		"bad key":              {env: []string{"PLATFORM_SEALING_KEY=hunter2"}, want: "PLATFORM_SEALING_KEY: want 32 bytes in base64"},
		"bad previous key":     {env: []string{"PLATFORM_SEALING_KEY_PREVIOUS=hunter2"}, want: "PLATFORM_SEALING_KEY_PREVIOUS: want 32 bytes in base64"},
		"no key for a server":  {args: []string{"-database", "postgres://u:hunter2@127.0.0.1:1/x"}, want: "PLATFORM_SEALING_KEY is not set"},
		"database's URL":       {env: []string{"PLATFORM_SEALING_KEY=" + newKey()}, args: []string{"-database", "postgres://u:hunter2@%zz"}, want: "-database: not a PostgreSQL URL"},
		"database down":        {env: []string{"PLATFORM_SEALING_KEY=" + newKey()}, args: []string{"-database", "postgres://u:hunter2@127.0.0.1:1/x?connect_timeout=2"}, want: "-database: "},
		"networks":             {args: []string{"-allow-networks", "everything"}, want: "want a network such as 10.0.0.0/8"},
		"scale":                {args: []string{"-retry-scale", "NaN"}, want: "want 0 to 1"},
		"read timeout":         {args: []string{"-read-timeout", "0"}, want: "-read-timeout: want more than zero"},
		"lock wait":            {args: []string{"-lock-wait", "-1s"}, want: "-lock-wait: want zero or more"},
		"argument":             {args: []string{"run"}, want: `unexpected argument "run"`},
		"no toolchain":         {env: []string{"PATH=/nowhere"}, want: "local Go toolchain"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, t.TempDir(), c.env, c.args...)
			require.Nil(t, p.api, "it started")
			assert.NotZero(t, p.ended())
			assert.Contains(t, p.output(), c.want)
			assert.NotContains(t, p.output(), "hunter2", "a secret in the error")
		})
	}
}
