package slack_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/internal/formattest"
	"github.com/deployhook/deployhook/sender/slack"
)

func newFormat(t testing.TB, opts ...slack.Option) *slack.Format {
	t.Helper()
	f, err := slack.New(opts...)
	require.NoError(t, err)
	return f
}

func TestGolden(t *testing.T) {
	t.Parallel()
	formattest.Golden(t, newFormat(t, slack.WithMetadata("release", "none")), "golden", *update)
}

var types = []payload.Type{payload.DeployFailed, "cache.warmed", payload.Type(strings.Repeat("very.long.", 100) + "type")}

func TestHostile(t *testing.T) {
	t.Parallel()
	f := newFormat(t, slack.WithMetadata("release", "build"))
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
	format := newFormat(f, slack.WithMetadata("release"))
	f.Fuzz(func(t *testing.T, typ, text string) {
		_, body, err := format.Encode(t.Context(), formattest.HostileEvent(payload.Type(typ), text))
		require.NoError(t, err)
		check(t, body)
	})
}

var (
	unescaped = regexp.MustCompile(`[<>]|&(?:[^alg]|a[^m]|l[^t]|g[^t]|$)`)
	mention   = regexp.MustCompile(`@(?:here|channel|everyone)`)
	label     = regexp.MustCompile(`^\*[A-Za-z ]+\*$`)
)

// check holds a message against the limits that Slack documents, and against
// everything that could be markup.
// https://docs.slack.dev/reference/block-kit/blocks,
// https://docs.slack.dev/messaging/formatting-message-text
func check(t testing.TB, body []byte) {
	t.Helper()
	var m struct {
		Text        string
		Mrkdwn      *bool
		Blocks      []map[string]any
		Attachments []struct {
			Fallback, Color string

			Blocks []map[string]any
		}
	}
	require.NoError(t, json.Unmarshal(body, &m))
	texts(t, m.Text, 1, 4000)
	require.NotRegexp(t, mention, m.Text)
	require.False(t, *m.Mrkdwn)
	require.Len(t, m.Attachments, 1)
	require.Equal(t, m.Text, m.Attachments[0].Fallback)
	require.Regexp(t, `^#[0-9a-f]{6}$`, m.Attachments[0].Color)
	blocks := append(m.Blocks, m.Attachments[0].Blocks...)
	require.LessOrEqual(t, len(blocks), 50)
	require.LessOrEqual(t, sum(m.Text, m.Attachments[0].Fallback, blocks), 12_000)
	for _, b := range blocks {
		checkBlock(t, b)
	}
}

// sum is how long all texts of a message are together.
func sum(values ...any) int {
	n := 0
	for _, v := range values {
		switch v := v.(type) {
		case string:
			n += len(utf16.Encode([]rune(v)))
		case map[string]any:
			for name, member := range v {
				if name != "type" && name != "url" {
					n += sum(member)
				}
			}
		case []map[string]any:
			for _, member := range v {
				n += sum(member)
			}
		case []any:
			n += sum(v...)
		}
	}
	return n
}

func checkBlock(t testing.TB, b map[string]any) {
	t.Helper()
	switch b["type"] {
	case "header":
		object(t, b["text"], 150)
	case "section":
		if b["text"] != nil {
			object(t, b["text"], 3000)
		}
		fields, _ := b["fields"].([]any)
		require.LessOrEqual(t, len(fields), 10)
		require.True(t, b["text"] != nil || len(fields) > 0)
		for _, f := range fields {
			object(t, f, 2000)
		}
	case "context":
		elements := b["elements"].([]any)
		require.NotEmpty(t, elements)
		require.LessOrEqual(t, len(elements), 10)
		for _, e := range elements {
			object(t, e, 3000)
		}
	case "actions":
		for _, e := range b["elements"].([]any) {
			button := e.(map[string]any)
			require.Equal(t, "button", button["type"])
			object(t, button["text"], 75)
			require.LessOrEqual(t, len(button["url"].(string)), 3000)
			require.Regexp(t, `^https?://[^/@]`, button["url"])
			require.NotContains(t, button["url"], "secret")
		}
	default:
		require.Fail(t, "unknown block", "%v", b["type"])
	}
}

// object checks a text object: mrkdwn is for labels only, and what came with
// the event is plain_text.
func object(t testing.TB, v any, limit int) {
	t.Helper()
	o := v.(map[string]any)
	text := o["text"].(string)
	texts(t, text, 1, limit)
	if o["type"] == "mrkdwn" {
		require.Equal(t, true, o["verbatim"])
		require.Regexp(t, label, text)
		return
	}
	require.Equal(t, "plain_text", o["type"])
	require.Equal(t, false, o["emoji"])
}

func texts(t testing.TB, s string, least, most int) {
	t.Helper()
	n := len(utf16.Encode([]rune(s)))
	require.GreaterOrEqual(t, n, least)
	require.LessOrEqual(t, n, most)
	require.NotRegexp(t, unescaped, s)
	require.False(t, strings.ContainsAny(s, "\x00\x1b\u202e\u2066"))
}

func TestColors(t *testing.T) {
	t.Parallel()
	f := newFormat(t, slack.WithColor("cache.warmed", "#ABCDEF"))
	color := func(e *payload.Event) string {
		_, body, err := f.Encode(t.Context(), e)
		require.NoError(t, err)
		return formattest.Strings(t, body)["attachments/0/color"]
	}
	events := formattest.Events()
	require.Equal(t, "#36a64f", color(events["deploy_live"]))
	require.Equal(t, "#ff0000", color(events["deploy_failed"]))
	require.Equal(t, "#daa038", color(events["deploy_rolled_back"]))
	require.Equal(t, "#3498db", color(events["deploy_started"]))
	require.Equal(t, "#3498db", color(events["health_check_passed"]))
	require.Equal(t, "#abcdef", color(events["custom"]))
	failedBuild := *events["build_completed"]
	require.Equal(t, "#3498db", color(&failedBuild))
	failedBuild.Status = payload.StatusFailure
	require.Equal(t, "#ff0000", color(&failedBuild))
}

func TestButton(t *testing.T) {
	t.Parallel()
	live := formattest.Events()["deploy_live"]
	_, body, err := newFormat(t, slack.WithButton("Öffnen & los")).Encode(t.Context(), live)
	require.NoError(t, err)
	require.Contains(t, string(body), `"text":"Öffnen &amp; los"`)
	require.Contains(t, string(body), `"url":"https://api.example.com/?from=deploy&x=1"`)
	_, body, err = newFormat(t, slack.WithButton("")).Encode(t.Context(), live)
	require.NoError(t, err)
	require.NotContains(t, string(body), "actions")
	for _, blank := range []string{" ", "\u202e", "\t\n"} { // no text of a button: the message would be refused
		_, err = slack.New(slack.WithButton(blank))
		require.ErrorIs(t, err, slack.ErrConfig)
		require.ErrorContains(t, err, "WithButton: the text is blank")
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	_, err := slack.New(
		nil, slack.WithMetadata(), slack.WithMetadata("a", "b", "c", "d", "e", "f"), slack.WithColor("x.y", "red"),
		slack.WithColor("", "#000000"), slack.WithButton(strings.Repeat("&", 16)),
	)
	require.ErrorIs(t, err, slack.ErrConfig)
	for _, part := range []string{
		"nil Option", "WithMetadata: names no member", "at most 5", `WithColor: "red"`, "event type is empty", "WithButton: the text",
	} {
		require.ErrorContains(t, err, part)
	}
}

// An endpoint shows nothing of the webhook's URL, which is the credential.
func TestEndpoint(t *testing.T) {
	t.Parallel()
	ep := sender.Endpoint{URL: sender.NewURL("https://hooks.slack.com/services/T0/B0/canary"), BodyFormat: newFormat(t)}
	msg, err := ep.Message(t.Context(), formattest.Events()["deploy_failed"])
	require.NoError(t, err)
	require.Equal(t, "whk_0198f2c4b1f07c3e9d5a6b7c8d9e0f10", msg.ID)
	require.Equal(t, payload.DeployFailed, msg.Type)
	require.NotContains(t, ep.String(), "canary")
}
