package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

func TestAlerts_AreValidAndTested(t *testing.T) {
	t.Parallel()
	promtool := servicetest.Program(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	rules, err := os.ReadFile("alerts.yml")
	require.NoError(t, err)
	tests, err := os.ReadFile("alerts_test.yml")
	require.NoError(t, err)
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	runbook, err := os.ReadFile("../../.github/RUNBOOK.md")
	require.NoError(t, err)
	alerts := strings.Split(string(rules), "- alert: ")[1:]
	require.Greater(t, len(alerts), 5)
	for _, a := range alerts {
		name, _, _ := strings.Cut(a, "\n")
		require.Contains(t, string(tests), "alertname: "+name+"\n", "alerts_test.yml has no test in which the alert fires")
		require.Contains(t, string(readme), "`"+name+"`")
		require.Contains(t, string(runbook), "`"+name+"`")
	}
}

// query is one that a panel or an alert asks.
type query struct{ where, text string }

func queries(t *testing.T) (all []query) {
	t.Helper()
	text, err := os.ReadFile("dashboard.json")
	require.NoError(t, err)
	var dashboard struct {
		Panels []struct {
			Title, Type string
			Targets     []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(text, &dashboard))
	for _, p := range dashboard.Panels {
		if p.Type == "row" {
			continue
		}
		require.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			all = append(all, query{p.Title, strings.ReplaceAll(target.Expr, "$__rate_interval", "1m")})
		}
	}
	require.Greater(t, len(all), 25)
	return all
}

// Each panel of the dashboard and each alert finds the series of a service that
// runs. In this one, everything fails at times.
func TestDashboard_IsAnsweredByPrometheus(t *testing.T) {
	t.Parallel()
	program := servicetest.Program(t, "prometheus")
	w := newWorld(t)
	w.handled(func(_ context.Context, e *payload.Event) error {
		if e.Type == payload.DeployFailed {
			return errors.New("no")
		}
		return nil
	})
	w.subscribe("/inbox")
	w.subscribe("/failing")
	p := startPrometheus(t, program, strings.TrimPrefix(w.metrics.URL, "http://"))
	stop := w.traffic()
	defer stop()
	for _, q := range queries(t) {
		p.answers(q)
	}
	p.evaluates()
}

// traffic makes every kind of series, and more of each until it is stopped.
func (w *world) traffic() (stop func()) {
	var stopped atomic.Bool
	done := make(chan struct{})
	ctx := context.WithoutCancel(w.t.Context())
	go func() {
		defer close(done)
		for !stopped.Load() {
			w.failures.Store(1)
			for _, typ := range []payload.Type{payload.DeployLive, payload.DeployFailed, "invented.type"} {
				e := event(typ)
				e.Error = "it broke"
				_, _ = w.outbox.App("shop").Publish(ctx, e)
				_, _ = w.sender.Send(ctx, sender.Endpoint{URL: sender.NewURL(w.received.URL + "/receiver"), Signer: w.scheme}, e)
			}
			_, _ = w.outbox.App("nobody").Publish(ctx, event(payload.DeployLive))
			time.Sleep(100 * time.Millisecond) // the server scrapes in real time
		}
	}()
	return func() { stopped.Store(true); <-done }
}

// promServer is a server that scrapes a service.
type promServer struct {
	t   *testing.T
	url string
}

const scrapeConfig = `
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: deployhook
    static_configs: [{targets: [%q]}]
`

func startPrometheus(t *testing.T, program, target string) *promServer {
	t.Helper()
	dir := t.TempDir()
	rules, err := filepath.Abs("alerts.yml")
	require.NoError(t, err)
	config := filepath.Join(dir, "prometheus.yml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, scrapeConfig, rules, target), 0o600))
	addr := fmt.Sprintf("127.0.0.1:%d", servicetest.FreePort(t))
	ctx, cancel := context.WithCancel(context.Background())
	log := &strings.Builder{}
	cmd := exec.CommandContext(ctx, program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr)
	cmd.Stderr = log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Log(log)
		}
	})
	p := &promServer{t, "http://" + addr}
	require.Eventually(t, func() bool { return p.get("/-/ready", nil) == nil }, patience, 50*time.Millisecond)
	return p
}

// get asks the server and decodes its answer.
func (p *promServer) get(path string, into any) error {
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.url+path, http.NoBody)
	if err != nil {
		return err
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		return fmt.Errorf("prometheus: %s", a.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(a.Body).Decode(into)
}

// answers waits until a query has a number among its results. Those of a rate
// that is zero may be NaN.
func (p *promServer) answers(q query) {
	p.t.Helper()
	require.Eventually(p.t, func() bool {
		var got struct {
			Data struct {
				Result []struct{ Value [2]any }
			}
		}
		if p.get("/api/v1/query?query="+url.QueryEscape(q.text), &got) != nil {
			return false
		}
		for _, r := range got.Data.Result {
			if r.Value[1] != "NaN" {
				return true
			}
		}
		return false
	}, patience, 200*time.Millisecond, "%s: %s", q.where, q.text)
}

// evaluates checks that the rules have no error, and that each name in them is
// that of a series.
func (p *promServer) evaluates() {
	p.t.Helper()
	var got struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Query, Health, LastError string }
			}
		}
	}
	require.NoError(p.t, p.get("/api/v1/rules", &got))
	require.Len(p.t, got.Data.Groups, 1)
	for _, r := range got.Data.Groups[0].Rules {
		require.Equal(p.t, "ok", r.Health, "%s: %s", r.Name, r.LastError)
		for _, name := range names(r.Query) {
			p.answers(query{r.Name, name})
		}
	}
}

// names returns the names of the metrics in a query.
func names(text string) []string {
	return metricName.FindAllString(text, -1)
}

var metricName = regexp.MustCompile(`\b(deployhook_(sender|outbox|receiver|inbox|service)|messaging_(client|process))_\w+`)
