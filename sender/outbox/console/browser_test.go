package console_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

var (
	everyCombination = flag.Bool("browser.all", false, "walk with and without JavaScript, in light and dark, at 360 and 1280 px, on both databases")
	screenshots      = flag.String("browser.shots", "", "write screenshots into this folder")
)

// walk is what walk.mjs reads.
type walk struct {
	URL        string `json:"url"`
	Target     string `json:"target"`
	Modules    string `json:"modules"`
	Chromium   string `json:"chromium"`
	Shots      string `json:"shots"`
	Script     bool   `json:"script"`
	Axe        bool   `json:"axe"`
	Color      string `json:"color"`
	Width      int    `json:"width"`
	Failing    string `json:"failing"`
	Delivery   string `json:"delivery"`
	Deployment string `json:"deployment"`
}

// A real browser walks through every screen and action. No page breaks the
// Content-Security-Policy or has a problem that axe-core knows, and none is
// wider than the screen.
func TestBrowser(t *testing.T) {
	chromium, modules := browser(t)
	for _, combination := range combinations() {
		name := combination.Color + " " + strconv.Itoa(combination.Width)
		if !combination.Script {
			name += " without JavaScript"
		}
		t.Run(name, func(t *testing.T) {
			c := combination
			c.Chromium, c.Modules = chromium, modules
			if *screenshots != "" {
				dir, err := filepath.Abs(filepath.Join(*screenshots, name))
				require.NoError(t, err)
				c.Shots = dir
			}
			w := onSQLite(t)
			if *everyCombination && c.Width == 1280 && c.Color == "light" {
				w = onPostgres(t)
			}
			walkThrough(t, w, c)
		})
	}
}

// combinations are one, or all with the flag.
func combinations() (all []walk) {
	if !*everyCombination {
		return []walk{{Script: true, Axe: true, Color: "light", Width: 1280}}
	}
	for _, script := range []bool{true, false} {
		for _, color := range []string{"light", "dark"} {
			for _, width := range []int{360, 1280} {
				all = append(all, walk{Script: script, Axe: script, Color: color, Width: width})
			}
		}
	}
	return all
}

// browser returns Debian's Chromium, and the folder with the packages of npm.
func browser(t *testing.T) (chromium, modules string) {
	t.Helper()
	for _, name := range []string{"node", "npm"} {
		servicetest.Program(t, name)
	}
	chromium = servicetest.Program(t, "chromium")
	lock, err := os.ReadFile("testdata/browser/package-lock.json")
	require.NoError(t, err)
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = t.TempDir()
	}
	sum := sha256.Sum256(lock)
	modules = filepath.Join(cache, "deployhook", "browser-"+hex.EncodeToString(sum[:6]))
	if _, err := os.Stat(filepath.Join(modules, "node_modules", ".package-lock.json")); err == nil {
		return chromium, modules
	}
	require.NoError(t, os.MkdirAll(modules, 0o755))
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := os.ReadFile(filepath.Join("testdata/browser", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(modules, name), text, 0o600))
	}
	install := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir = modules
	if out, err := install.CombinedOutput(); err != nil {
		servicetest.Skip(t, "npm ci failed: "+string(out))
	}
	return chromium, modules
}

func walkThrough(t *testing.T, w *world, c walk) {
	t.Helper()
	w.furnish(t, &c)
	settings, err := json.Marshal(c)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "node", "testdata/browser/walk.mjs")
	cmd.Env = append(os.Environ(), "WALK="+string(settings))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", out)
	var result struct {
		Screens int
		Faults  []string
	}
	require.NoError(t, json.Unmarshal(out, &result), "%s", out)
	for _, fault := range result.Faults {
		t.Error(fault)
	}
	require.Greater(t, result.Screens, 40)
	t.Logf("%d screens", result.Screens)
}

// furnish fills the world with what a customer would have.
func (w *world) furnish(t *testing.T, c *walk) {
	t.Helper()
	require.NoError(t, w.Start(t.Context()))
	good, bad := newTarget(t, http.StatusOK), newTarget(t, http.StatusUnauthorized)
	bad.answer = `{"error":"Invalid signature"}`
	good.answer = "<script>alert('answer')</script>"
	shop := w.App("shop")
	for _, e := range []outbox.EndpointConfig{
		{URL: sender.NewURL(good.URL + "/chat"), Description: "Chat room of the platform team", Events: []string{"deploy.*"}},
		{URL: sender.NewURL(bad.URL + "/payments"), Description: "Payments", Header: sender.NewHeader(http.Header{"X-Team": {"<b>payments</b>"}})},
		{URL: sender.NewURL(good.URL + "/archive"), Description: "Archive <script>alert('description')</script>", Events: []string{"deploy.live"}},
	} {
		made, _, err := shop.CreateEndpoint(t.Context(), e)
		require.NoError(t, err)
		if e.Header.IsZero() {
			continue
		}
		c.Failing = made.ID
	}
	c.URL, c.Target, c.Deployment = w.url, good.URL, "dep_01HQ8XK2M3"
	for i := range 6 {
		typ := []payload.Type{payload.DeployStarted, payload.BuildCompleted, payload.DeployLive, payload.DeployFailed}[i%4]
		id := c.Deployment
		if i > 3 {
			id = "dep_" + strconv.Itoa(i)
		}
		event := &payload.Event{
			Type: typ, Timestamp: time.Now(), DeploymentID: id, App: "api-service", Environment: "production",
			Commit: &payload.Commit{SHA: "f4c8e2a", Message: "fix: <script>alert('message')</script>", Author: "dana@example.com", Branch: "main"},
		}
		if typ == payload.DeployFailed {
			event.Error = "health check timed out"
		}
		p, err := shop.Publish(t.Context(), event)
		require.NoError(t, err)
		for _, d := range p.Deliveries {
			want := outbox.Delivered
			if d.Endpoint == c.Failing {
				want = outbox.Failed
				if typ == payload.DeployFailed {
					c.Delivery = d.ID
				}
			}
			w.ended("shop", d.ID, want)
		}
	}
}
