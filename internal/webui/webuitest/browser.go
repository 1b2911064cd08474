package webuitest

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
)

var (
	walks            = flag.Bool("browser", false, "walk through the pages with Chromium, as the gate does")
	everyCombination = flag.Bool("browser.all", false, "walk with and without JavaScript, in light and dark, at 360 and 1280 px, on both databases")
	screenshots      = flag.String("browser.shots", "", "write screenshots into this folder")
)

//go:embed browser
var files embed.FS

// Settings are what a walk's script gets, in the variable WALK.
type Settings struct {
	// URL is that of the console, without a slash at its end.
	URL string `json:"url"`
	// Walker is the module that opens the browser. Modules has the packages of
	// npm.
	Walker   string `json:"walker"`
	Modules  string `json:"modules"`
	Chromium string `json:"chromium"`
	// Shots is the folder for screenshots. It is empty if none are wanted.
	Shots  string `json:"shots"`
	Script bool   `json:"script"`
	Axe    bool   `json:"axe"`
	Color  string `json:"color"`
	Width  int    `json:"width"`
	// World has what the script must know of the test's own data.
	World any `json:"world"`

	postgres bool
}

// Postgres reports whether this walk is on PostgreSQL.
func (s *Settings) Postgres() bool { return s.postgres }

// Walk runs a script for one combination of settings, or for all with the flag
// -browser.all. furnish sets the URL and the World. The script has to look at
// more than atLeast screens, and to find no fault. Walk skips the test unless
// one of the flags -browser, -browser.all and -browser.shots is set.
func Walk(t *testing.T, script string, atLeast int, furnish func(t *testing.T, s *Settings)) {
	t.Helper()
	if !*walks && !*everyCombination && *screenshots == "" {
		t.Skip("it starts a browser; the gate sets -browser")
	}
	for _, name := range []string{"node", "npm"} {
		servicetest.Program(t, name)
	}
	chromium := servicetest.Program(t, "chromium")
	modules := install(t)
	for _, s := range combinations() {
		name := s.name()
		t.Run(name, func(t *testing.T) {
			s.Chromium, s.Modules, s.Walker = chromium, modules, "file://"+filepath.ToSlash(filepath.Join(modules, "walker.mjs"))
			if *screenshots != "" {
				dir, err := filepath.Abs(filepath.Join(*screenshots, name))
				require.NoError(t, err)
				s.Shots = dir
			}
			furnish(t, &s)
			run(t, script, atLeast, s)
		})
	}
}

// combinations are one, or all with the flag.
func combinations() (all []Settings) {
	if !*everyCombination {
		return []Settings{{Script: true, Axe: true, Color: "light", Width: 1280}}
	}
	for _, postgres := range []bool{false, true} {
		for _, script := range []bool{true, false} {
			for _, color := range []string{"light", "dark"} {
				for _, width := range []int{360, 1280} {
					all = append(all, Settings{Script: script, Axe: script, Color: color, Width: width, postgres: postgres})
				}
			}
		}
	}
	return all
}

// name names a combination.
func (s *Settings) name() string {
	name := s.Color + " " + strconv.Itoa(s.Width)
	if !s.Script {
		name += " without JavaScript"
	}
	if s.postgres {
		name += " on PostgreSQL"
	}
	return name
}

// install returns a folder with the packages of npm and the walker. It stays
// for the next test.
func install(t *testing.T) string {
	t.Helper()
	hash := sha256.New()
	names := []string{"package.json", "package-lock.json", "walker.mjs"}
	for _, name := range names {
		_, _ = hash.Write(read(t, name))
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = t.TempDir()
	}
	dir := filepath.Join(cache, "deployhook", "browser-"+hex.EncodeToString(hash.Sum(nil)[:6]))
	if _, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json")); err == nil {
		return dir
	}
	require.NoError(t, os.MkdirAll(dir, 0o755))
	for _, name := range names {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), read(t, name), 0o600))
	}
	npm := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		servicetest.Skip(t, "npm ci failed: "+string(out))
	}
	return dir
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := files.ReadFile("browser/" + name)
	require.NoError(t, err)
	return text
}

func run(t *testing.T, script string, atLeast int, s Settings) {
	t.Helper()
	settings, err := json.Marshal(s)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "node", script)
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
	require.Greater(t, result.Screens, atLeast)
	t.Logf("%d screens", result.Screens)
}
