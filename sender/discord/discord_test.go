package discord_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/discord"
	"github.com/deployhook/deployhook/sender/internal/formattest"
)

func newFormat(t testing.TB, opts ...discord.Option) *discord.Format {
	t.Helper()
	f, err := discord.New(opts...)
	require.NoError(t, err)
	return f
}

func TestGolden(t *testing.T) {
	t.Parallel()
	formattest.Golden(t, newFormat(t, discord.WithMetadata("release", "none")), "golden", *update)
}

var types = []payload.Type{payload.DeployFailed, "cache.warmed", payload.Type(strings.Repeat("very.long.", 100) + "type")}

func TestHostile(t *testing.T) {
	t.Parallel()
	f := newFormat(t, discord.WithMetadata("release", "build"))
	for name, text := range formattest.Hostile() {
		for _, typ := range types {
			contentType, body, err := f.Encode(t.Context(), formattest.HostileEvent(typ, text))
			require.NoError(t, err, name)
			require.Equal(t, "application/json", contentType)
			check(t, body)
		}
	}
}

func FuzzEncode(f *testing.F) {
	formattest.Seeds(f, 1)
	format := newFormat(f, discord.WithMetadata("release"))
	f.Fuzz(func(t *testing.T, typ, text string) {
		_, body, err := format.Encode(t.Context(), formattest.HostileEvent(payload.Type(typ), text))
		require.NoError(t, err)
		check(t, body)
	})
}

// check holds a message against the limits that Discord documents, and against
// everything that could be markup.
// https://discord.com/developers/docs/resources/message#embed-object-embed-limits
func check(t testing.TB, body []byte) {
	t.Helper()
	require.Contains(t, string(body), `"allowed_mentions":{"parse":[]}`)
	var m struct {
		Content *string
		Embeds  []struct {
			Title, URL, Timestamp string
			Color                 int
			Fields                []struct{ Name, Value string }
			Footer                struct{ Text string }
		}
	}
	require.NoError(t, json.Unmarshal(body, &m))
	require.Nil(t, m.Content)
	require.Len(t, m.Embeds, 1)
	e := m.Embeds[0]
	total := text(t, e.Title, 256, true) + text(t, e.Footer.Text, 2048, false)
	require.LessOrEqual(t, len(e.Fields), 25)
	for _, f := range e.Fields {
		total += text(t, f.Name, 256, true) + text(t, f.Value, 1024, true)
	}
	require.LessOrEqual(t, total, 6000)
	require.GreaterOrEqual(t, e.Color, 0)
	require.LessOrEqual(t, e.Color, 0xffffff)
	_, err := time.Parse(time.RFC3339, e.Timestamp)
	require.NoError(t, err)
	if e.URL != "" {
		require.Regexp(t, `^https?://[^/@]`, e.URL)
		require.NotContains(t, e.URL, "secret")
	}
}

// text checks one text, and returns its length.
func text(t testing.TB, s string, most int, markdown bool) int {
	t.Helper()
	n := len(utf16.Encode([]rune(s)))
	require.NotEmpty(t, strings.TrimSpace(s))
	require.LessOrEqual(t, n, most)
	require.False(t, strings.ContainsAny(s, "\x00\x1b\u202e\u2066"))
	if !markdown {
		return n
	}
	runes := []rune(s)
	for i := 0; i < len(runes); i++ {
		if runes[i] == '\\' {
			require.Less(t, i+1, len(runes), "an escape was cut: %q", s)
			require.NotEqual(t, '…', runes[i+1], "an escape was cut: %q", s)
			i++
			continue
		}
		require.False(t, strings.ContainsRune("`*_~|<>#:[]()@", runes[i]), "%q is not escaped in %q", runes[i], s)
	}
	return n
}

// A hyphen or a number begins a list at the start of a line. Inside a name they
// are plain text.
func TestLists(t *testing.T) {
	t.Parallel()
	e := formattest.Events()["deploy_failed"]
	e.App, e.Error = "api-service", "- a\n  + b\nc-d"
	_, body, err := newFormat(t).Encode(t.Context(), e)
	require.NoError(t, err)
	got := formattest.Strings(t, body)
	require.Equal(t, "api-service", got["embeds/0/fields/0/value"])
	require.Equal(t, "\\- a\n  \\+ b\nc-d", got["embeds/0/fields/2/value"])

	e.Error = "7. a\n 1. b\n2.1 c. d"
	_, body, err = newFormat(t).Encode(t.Context(), e)
	require.NoError(t, err)
	require.Equal(t, "7\\. a\n 1\\. b\n2.1 c. d", formattest.Strings(t, body)["embeds/0/fields/2/value"])
}

// Discord answers 400 to a message with an address whose host has no dot.
func TestAddresses(t *testing.T) {
	t.Parallel()
	e := formattest.Events()["deploy_live"]
	for url, want := range map[string]any{
		"https://shop.example/":  "https://shop.example/",
		"http://127.0.0.1:8080/": "http://127.0.0.1:8080/",
		"http://[2001:db8::1]/":  "http://[2001:db8::1]/",
		"http://localhost:8080/": nil,
		"http://shop:8080/":      nil,
		"http://shop./":          nil,
		"https://:443/":          nil,
	} {
		e.URL = url
		_, body, err := newFormat(t).Encode(t.Context(), e)
		require.NoError(t, err)
		var m struct{ Embeds []map[string]any }
		require.NoError(t, json.Unmarshal(body, &m))
		require.Equal(t, want, m.Embeds[0]["url"], url)
	}
}

func TestColors(t *testing.T) {
	t.Parallel()
	f := newFormat(t, discord.WithColor("cache.warmed", "#00000a"))
	for name, want := range map[string]string{
		"deploy_live": "3581519", "deploy_failed": "16711680", "deploy_rolled_back": "14327864",
		"deploy_started": "3447003", "custom": "10",
	} {
		_, body, err := f.Encode(t.Context(), formattest.Events()[name])
		require.NoError(t, err)
		require.Contains(t, string(body), `"color":`+want+`,`, name)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	_, err := discord.New(nil, discord.WithMetadata(""), discord.WithColor("x.y", "#12345"))
	require.ErrorIs(t, err, discord.ErrConfig)
	for _, part := range []string{"nil Option", "WithMetadata: names no member", `WithColor: "#12345"`} {
		require.ErrorContains(t, err, part)
	}
}
