// Package formattest has what the tests of all formats need. It has events of
// every type, hostile events, and golden files.
package formattest

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/callbacktest"
	"github.com/deployhook/deployhook/internal/seeds"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// Events returns an event of each of the six types and one of a custom type, by
// name.
func Events() map[string]*payload.Event {
	at := func(minute, second int) time.Time { return time.Date(2026, 3, 12, 14, minute, second, 0, time.UTC) }
	commit := func() *payload.Commit {
		return &payload.Commit{
			SHA: "f4c8e2a", Message: "fix: resolve timeout in payment handler\n\nThe pool was too small.",
			Author: "dana@example.com", Branch: "main",
		}
	}
	event := func(t payload.Type, when time.Time) *payload.Event {
		return &payload.Event{
			Type: t, Timestamp: when, DeliveryID: "whk_0198f2c4b1f07c3e9d5a6b7c8d9e0f10", DeploymentID: "dep_a1b2c3d4",
			App: "api-service", Environment: "production", Commit: commit(), TriggeredBy: "git_push",
		}
	}
	started := event(payload.DeployStarted, at(22, 1))
	// The guide's own example has nothing else.
	built := &payload.Event{
		Type: payload.BuildCompleted, Timestamp: at(24, 18), DeliveryID: "whk_0198f2c4b1f07c3e9d5a6b7c8d9e0f11",
		DeploymentID: "dep_a1b2c3d4", Status: payload.StatusSuccess,
		BuildDurationSeconds: new(137.0), ImageSizeMB: new(284.0), CacheHit: new(true),
	}
	healthy := event(payload.HealthCheckPassed, at(24, 40))
	healthy.ContainerID = "c0ffee"
	healthy.HealthCheck = &payload.HealthCheck{URL: "/health", StatusCode: new(200), ResponseTimeMS: new(12.5), Attempts: new(3)}
	live := event(payload.DeployLive, at(25, 2))
	live.Version, live.PreviousVersion, live.URL = "2.1.0", "2.0.3", "https://api.example.com/?from=deploy&x=1"
	_ = live.Metadata.Set("release", "R-77")
	failed := event(payload.DeployFailed, at(26, 0))
	failed.Error = "health check failed: GET /health: 503\nmigration <users> & \"orders\" pending"
	rolled := event(payload.DeployRolledBack, at(27, 30))
	rolled.Version, rolled.PreviousVersion = "2.1.0", "2.0.3"
	rolled.Rollback = &payload.Rollback{Reason: "error rate over 5 %", RestoredVersion: "2.0.3", Automatic: new(true)}
	custom := event("cache.warmed", at(28, 0))
	return map[string]*payload.Event{
		"deploy_started": started, "build_completed": built, "health_check_passed": healthy, "deploy_live": live,
		"deploy_failed": failed, "deploy_rolled_back": rolled, "custom": custom,
	}
}

// Hostile returns texts that a stranger may put into an event.
func Hostile() map[string]string {
	return map[string]string{
		"channel":        "<!channel> <!here|here> <!subteam^S123> <@U024BE7LH> <#C024BE7LR>",
		"everyone":       "@everyone @here @channel @all <@123> <@&456> <#789> <users/all>",
		"link":           "[click](javascript:alert(1)) [bank](https://evil.example) <https://evil.example|bank> https://evil.example",
		"html":           `<a href="https://evil.example">bank</a><script>alert(1)</script><at>all</at> &lt;b&gt; &amp;amp;`,
		"markdown":       "# big\n> quote\n- list\n+ list\n* list\n**bold** __u__ ~~s~~ ||spoiler|| `code` ```block```\n\n***\n| a | b |",
		"json":           `","admin":true,"x":"\",{{.App}} {{"{{"}} \u0022 \`,
		"template":       "{{.DeploymentID}}{{template \"x\"}}${jndi}",
		"newlines":       "a\r\nb\rc\u2028d\u2029e\u0085f\x00\x07\x1b[31m",
		"rtl":            "gpj.\u202eexe\u2066x\u2069 שלום \ufeff",
		"long":           strings.Repeat("x", 20_000),
		"long ampersand": strings.Repeat("&", 20_000),
		"long markup":    strings.Repeat("\\*", 10_000),
		"long emoji":     strings.Repeat("👩‍👩‍👧‍👦🇩🇪👍🏽", 3000),
		"long combining": strings.Repeat("e\u0301", 10_000),
		"zalgo":          "z" + strings.Repeat("\u0336\u0321", 10_000),
		"many lines":     strings.Repeat("line\n", 10_000),
		"blank":          " \t\n\u00a0\u2003",
		"invisible":      "\u200b",
		"not UTF-8":      "a\xff\xfe\xc3b",
		"emoji code":     ":smile: :x:",
	}
}

// HostileEvent returns an event of the given type that has text in every field
// that takes any text.
func HostileEvent(t payload.Type, text string) *payload.Event {
	short := text[:min(len(text), 1024)]
	e := &payload.Event{
		Type: t, Timestamp: time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC), DeliveryID: "whk_1", DeploymentID: "dep_1",
		App: short, Environment: short, Status: payload.Status(short), TriggeredBy: short, Version: short,
		PreviousVersion: short, ContainerID: short, Error: text, URL: "https://user:secret@shop.example/a(b)'?<>\"[x]=|y",
		Commit:      &payload.Commit{SHA: "f4c8e2a", Message: text, Author: short, Branch: short},
		HealthCheck: &payload.HealthCheck{URL: short, StatusCode: new(503)},
		Rollback:    &payload.Rollback{Reason: text, RestoredVersion: short}, BuildDurationSeconds: new(1e300),
	}
	_ = e.Metadata.Set("release", strings.ToValidUTF8(text, "?"))
	_ = e.Metadata.Set("build", int64(9007199254740993))
	return e
}

// Golden compares what f makes of every event with the files in
// testdata/golden, or writes them. A file without a message holds the error's
// text.
func Golden(t *testing.T, f sender.Format, folder string, update bool) {
	t.Helper()
	for name, event := range Events() {
		t.Run(name, func(t *testing.T) {
			got := indented(t, f, event)
			file := filepath.Join("testdata", folder, name+".json")
			if update {
				write(t, file, got)
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatalf("%v (run the test with -update)", err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s differs:\n%s", file, got)
			}
		})
	}
}

func indented(t *testing.T, f sender.Format, event *payload.Event) []byte {
	t.Helper()
	before, err := event.Encode()
	if err != nil {
		t.Fatal(err)
	}
	_, body, err := f.Encode(t.Context(), event)
	if err != nil {
		return []byte("no message: " + err.Error() + "\n")
	}
	if after, err := event.Encode(); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the event was changed")
	}
	var b bytes.Buffer
	if err := json.Indent(&b, body, "", "  "); err != nil {
		t.Fatal(err)
	}
	b.WriteByte('\n')
	return b.Bytes()
}

func write(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Strings returns every string in a JSON document with its path, such as
// "embeds/0/fields/2/value".
func Strings(t testing.TB, document []byte) map[string]string {
	t.Helper()
	var v any
	if err := json.Unmarshal(document, &v); err != nil {
		t.Fatalf("not JSON: %v", err)
	}
	found := make(map[string]string)
	collect(v, "", found)
	return found
}

func collect(v any, path string, found map[string]string) {
	switch v := v.(type) {
	case string:
		found[strings.TrimPrefix(path, "/")] = v
	case []any:
		for i, x := range v {
			collect(x, path+"/"+strconv.Itoa(i), found)
		}
	case map[string]any:
		for name, x := range v {
			collect(x, path+"/"+name, found)
		}
	}
}

// Seeds adds every hostile text as a seed of FuzzEncode, and the seeds that the
// format has in its own file for package seeds. It fails unless the file has
// own seeds.
func Seeds(f *testing.F, own int) {
	f.Helper()
	hostile := Hostile()
	var all []seeds.Seed
	for _, name := range slices.Sorted(maps.Keys(hostile)) {
		text := hostile[name]
		if len(text) > 2000 { // the tests of the formats have long texts whole
			text = strings.ToValidUTF8(text[:2000], "")
		}
		all = append(all, seeds.Seed{"deploy.failed", text})
	}
	seeds.Add(f, own+len(all), all...)
}

// Callback requires that a fault in a callback of a format stops nothing. The
// sender reports the fault as an error of the format, and sends nothing.
func Callback(t *testing.T, f *callbacktest.Fault, format sender.Format) {
	t.Helper()
	s, err := sender.New()
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	ep := sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: sender.InsecureUnsigned(), BodyFormat: format}
	err = callbacktest.Outlives(t, f, func() error {
		_, err := s.Message(t.Context(), ep, Events()["deploy_live"])
		return err
	})
	if f.Kind == callbacktest.Hangs {
		require.NoError(t, err)
		return
	}
	require.ErrorContains(t, err, "BodyFormat")
	require.Equal(t, map[string]uint64{"Endpoint.BodyFormat": 1}, s.Faults())
}
