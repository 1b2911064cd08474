package template_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/internal/formattest"
	"github.com/deployhook/deployhook/sender/template"
)

func newFormat(t testing.TB, document string, markup template.Markup, opts ...template.Option) *template.Format {
	t.Helper()
	f, err := template.New(document, markup, opts...)
	require.NoError(t, err)
	return f
}

// presets are the preset documents with the limits of their services in bytes.
var presets = map[string]struct {
	make   func(...template.Option) (*template.Format, error)
	markup template.Markup
	limit  int
}{
	"mattermost": {template.Mattermost, template.Markdown, 65_535},
	"rocketchat": {template.RocketChat, template.Markdown, 65_535},
	"teams":      {template.Teams, template.Plain, 28 << 10},
	"googlechat": {template.GoogleChat, template.HTML, 32_000},
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for name, p := range presets {
		f, err := p.make()
		require.NoError(t, err, name)
		t.Run(name, func(t *testing.T) { formattest.Golden(t, f, "golden/"+name, *update) })
	}
}

func TestPresetsHostile(t *testing.T) {
	t.Parallel()
	for preset, p := range presets {
		f, err := p.make()
		require.NoError(t, err)
		for name, text := range formattest.Hostile() {
			_, body, err := f.Encode(t.Context(), formattest.HostileEvent(payload.DeployFailed, text))
			require.NoError(t, err)
			require.LessOrEqual(t, len(body), p.limit, "%s: %s", preset, name)
			for path, s := range formattest.Strings(t, body) {
				if !strings.HasPrefix(s, "https://shop.example/") && s != "#ff0000" {
					safe(t, p.markup, s, preset+" "+name+" "+path)
				}
			}
		}
	}
}

// safe is what must hold for an escaped text.
func safe(t testing.TB, markup template.Markup, s, what string) {
	t.Helper()
	require.False(t, strings.ContainsAny(s, "\x00\x1b\u202e\u2066"), what)
	if markup == template.Plain {
		return
	}
	require.False(t, strings.ContainsAny(s, "<>"), what)
	for rest := s; ; {
		_, after, found := strings.Cut(rest, "&")
		if !found {
			break
		}
		require.Regexp(t, `^(amp|lt|gt|#34|#39);`, after, what)
		rest = after
	}
	if markup == template.HTML {
		require.False(t, strings.ContainsAny(s, `"'`), what)
		return
	}
	require.NotContains(t, s, "://", what)
	require.NotRegexp(t, `@\w`, s, what)
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			require.Less(t, i+1, len(s), what)
			require.Less(t, s[i+1], byte(0x80), what)
			i++
			continue
		}
		if s[i] != '#' || i == 0 || s[i-1] != '&' {
			require.NotContains(t, "`*_{}[]()#!~|", s[i:i+1], "%s: %s", what, s)
		}
	}
}

// everywhere puts values wherever a template can be.
const everywhere = `{"a": "x{{.Error}}y", "b": ["{{.App}}", {"$if": "{{.Error}}", "c": "{{.Error | truncate 10}}"}], "d": 1.50, "e": null}`

func TestHostile(t *testing.T) {
	t.Parallel()
	for _, markup := range []template.Markup{template.Plain, template.Markdown, template.HTML} {
		f := newFormat(t, everywhere, markup)
		for _, text := range formattest.Hostile() {
			check(t, f, markup, "deploy.failed", text)
		}
	}
}

func FuzzEncode(f *testing.F) {
	formattest.Seeds(f, 0)
	formats := map[template.Markup]*template.Format{}
	for _, markup := range []template.Markup{template.Plain, template.Markdown, template.HTML} {
		formats[markup] = newFormat(f, everywhere, markup)
	}
	f.Fuzz(func(t *testing.T, typ, text string) {
		for markup, format := range formats {
			check(t, format, markup, typ, text)
		}
	})
}

// check requires that the document keeps its shape.
func check(t testing.TB, f *template.Format, markup template.Markup, typ, text string) {
	t.Helper()
	_, body, err := f.Encode(t.Context(), formattest.HostileEvent(payload.Type(typ), text))
	require.NoError(t, err)
	var m map[string]any
	require.NoError(t, json.Unmarshal(body, &m))
	require.Len(t, m, 4)
	require.Contains(t, string(body), `"d":1.50,"e":null`)
	a := m["a"].(string)
	require.True(t, strings.HasPrefix(a, "x") && strings.HasSuffix(a, "y"))
	require.LessOrEqual(t, len(utf16.Encode([]rune(a))), template.DefaultMaxValue+2)
	safe(t, markup, a, "a")
	b := m["b"].([]any)
	if len(b) == 2 {
		c := b[1].(map[string]any)["c"].(string)
		require.LessOrEqual(t, len(utf16.Encode([]rune(c))), 10)
		safe(t, markup, c, "c")
	}
}

// FuzzNew checks that an accepted document turns any event into JSON.
func FuzzNew(f *testing.F) {
	for _, document := range badDocuments {
		f.Add(document)
	}
	f.Add(everywhere)
	f.Fuzz(func(t *testing.T, document string) {
		format, err := template.New(document, template.Markdown)
		if err != nil {
			require.ErrorIs(t, err, template.ErrConfig)
			return
		}
		for _, e := range formattest.Events() {
			if _, body, err := format.Encode(t.Context(), e); err == nil {
				require.True(t, json.Valid(body), "%s", body)
			}
		}
	})
}

// badDocuments maps documents that New refuses to a part of the error.
var badDocuments = map[string]string{
	"":                    "not JSON",
	"{":                   "not JSON",
	`{"a": "x"} x`:        "after its end",
	`{"a": "x"}{}`:        "after its end",
	`"{{.App}}"`:          "object or an array",
	`"text"`:              "object or an array",
	`7`:                   "object or an array",
	`{"a": 1, "a": 2}`:    "duplicate",
	"{\"a\": \"\xff\"}":   "UTF-8",
	`{"{{.App}}": "x"}`:   "name can't be a template",
	`{"$if": "yes"}`:      "$if must be a template",
	`{"$if": {"a": "b"}}`: "$if must be a template",
	`{"a": "{{.Ap}}"}`:    "there is no field .Ap",
	`{"a": {"b": ["{{if .App}}{{else}}{{.Nope}}{{end}}"]}}`:          `at "/a/b/0": `,
	`{"a": "{{if eq .App \"never\"}}{{.Nope}}{{end}}"}`:              "there is no field .Nope",
	`{"a": "{{.App.Name}}"}`:                                         "there is no field .App.Name",
	`{"a": "{{.metadata}}"}`:                                         "there is no field .metadata",
	`{"a": "{{$.Nope}}"}`:                                            "there is no field $.Nope",
	`{"a": "{{with .App}}{{.Environment}}{{end}}"}`:                  "write $.Environment",
	`{"a": "{{.}}"}`:                                                 "dot is the whole event",
	`{"a": "{{.App"}`:                                                "unclosed action",
	`{"a": "{{range .App}}{{end}}"}`:                                 "not available",
	`{"a": "{{$x := .App}}{{$x}}"}`:                                  "variables are not available",
	`{"a": "{{if $x := .App}}{{end}}"}`:                              "variables are not available",
	`{"a": "{{define \"x\"}}{{end}}{{template \"x\"}}"}`:             "not available",
	`{"a": "{{template \"x\"}}"}`:                                    "not available",
	`{"a": "{{block \"x\" .}}{{end}}"}`:                              "not available",
	`{"a": "{{printf \"%9999999d\" 1}}"}`:                            `no function "printf"`,
	`{"a": "{{html .App}}"}`:                                         `no function "html"`,
	`{"a": "{{_escape .App}}"}`:                                      `no function "_escape"`,
	`{"a": "{{call .App}}"}`:                                         `no function "call"`,
	`{"a": "{{nope .App}}"}`:                                         `function "nope" not defined`,
	`{"a": "{{truncate .App 5}}"}`:                                   "positive number",
	`{"a": "{{.App | truncate 0}}"}`:                                 "positive number",
	`{"a": "{{.App | truncate}}"}`:                                   "truncate has 1 arguments",
	`{"a": "{{upper}}"}`:                                             "upper has 0 arguments",
	`{"a": "{{.App 1}}"}`:                                            "is no function",
	`{"a": "{{.App | .Version}}"}`:                                   "is no function",
	`{"a": "{{.Metadata}}"}`:                                         ".Metadata wants a name",
	`{"a": "{{.Metadata .App}}"}`:                                    ".Metadata wants a name",
	`{"a": "{{.App | .Metadata \"x\"}}"}`:                            ".Metadata wants a name",
	`{"a": "{{(.Metadata \"x\").Y}}"}`:                               "not available",
	`{"a": "{{eq .App 1}}"}`:                                         "incompatible types",
	`{"a": "{{nil}}"}`:                                               "nil",
	strings.Repeat("[", 100) + "1" + strings.Repeat("]", 100):        "levels deep",
	`["` + strings.Repeat("x", 256<<10) + `"]`:                       "longer than 262144 bytes",
	`[` + strings.Repeat(`"`+strings.Repeat("x", 99)+`",`, 10) + `]`: "not JSON",
}

func TestBadDocuments(t *testing.T) {
	t.Parallel()
	for document, part := range badDocuments {
		_, err := template.New(document, template.Markdown)
		require.ErrorIs(t, err, template.ErrConfig, document)
		require.ErrorContains(t, err, part, document)
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	e := formattest.Events()["deploy_live"]
	e.Error, e.Environment = "", "pre-prod"
	require.NoError(t, e.Metadata.Set("build no", 7))
	for source, want := range map[string]string{
		`{{.Type}} {{.Title}}`: `deploy.live DEPLOY LIVE`,
		`{{.Environment}}`:     `pre-prod`,
		`{{if eq .Environment "pre-prod"}}yes{{else}}no{{end}}`: `yes`, // compared before it is escaped
		`{{.App | upper}} {{lower "ABC"}}`:                      `API-SERVICE abc`,
		`{{.Message | firstLine | truncate 8}}`:                 `fix: re…`,
		`{{.App | truncate 5 | upper}} {{truncate 5 .App | truncate 8 | lower}} {{truncate 5 .Message | firstLine}}`: `API-… api-… fix:…`,
		`{{.ContainerID | default "none"}}{{default "x" .App}}`:                                                      `noneapi-service`,
		`{{with .Version}}v{{.}} of {{$.App}}{{end}}`:                                                                `v2.1.0 of api-service`,
		`{{with .Error}}{{.}}{{else}}fine{{end}}`:                                                                    `fine`,
		`{{.Metadata "build no"}}{{.Metadata "none"}}`:                                                               `7`,
		`{{.URL}}`:                                                     `https://api.example.com/?from=deploy&x=1`,
		`{{.URL | truncate 14}}`:                                       "https:\u200b//api.…", // no link any more: a text
		`{{.Level}} {{.Color}} {{.ShortCommit}}`:                       `good #36a64f f4c8e2a`,
		`{{if and .App (not .Error)}}{{len .App}}{{end}}`:              `11`,
		`*constant* {{"*"}}`:                                           `*constant* \*`,
		`{{/* nothing */}}{{.Timestamp}}`:                              `2026-03-12T14:25:02Z`,
		`{{if or .Error (eq .Level "good" "info")}}{{.Author}}{{end}}`: "dana@\u200bexample.com",
	} {
		document, err := json.Marshal([]string{source})
		require.NoError(t, err)
		_, body, err := newFormat(t, string(document), template.Markdown).Encode(t.Context(), e)
		require.NoError(t, err, source)
		require.Equal(t, want, formattest.Strings(t, body)["0"], source)
	}
}

// Texts that would be headings, lists or code in Markdown stay plain text.
func TestMarkdownBlocks(t *testing.T) {
	t.Parallel()
	f := newFormat(t, `["{{.Error}}"]`, template.Markdown)
	e := formattest.Events()["deploy_failed"]
	for text, want := range map[string]string{
		"paid\n====":            "paid\n\u200b====",
		"paid\n  ==":            "paid\n\u00a0\u00a0\u200b==",
		"paid\n---":             "paid\n\\-\\-\\-",
		"7. a\n1. b":            "7\\. a\n1\\. b",
		"a\n\n    code":         "a\n\n\u00a0\u00a0\u00a0\u00a0code",
		"a=b 2.1.0\n2.1.0 of x": "a=b 2.1.0\n2.1.0 of x",
	} {
		e.Error = text
		_, body, err := f.Encode(t.Context(), e)
		require.NoError(t, err)
		require.Equal(t, want, formattest.Strings(t, body)["0"], text)
	}
}

// A preset inserts an event's text only where its service reads the same
// markup, and never joins two texts.
func TestPresetsPlaces(t *testing.T) {
	t.Parallel()
	e := formattest.HostileEvent(payload.DeployFailed, "[bank](https://evil.example) a_b & c")
	e.Error, e.Rollback.Reason = "https:", "//evil.example"
	got := map[string]map[string]string{}
	for name, p := range presets {
		f, err := p.make()
		require.NoError(t, err)
		_, body, err := f.Encode(t.Context(), e)
		require.NoError(t, err)
		got[name] = formattest.Strings(t, body)
	}
	require.Equal(t, "DEPLOY FAILED", got["teams"]["attachments/0/content/fallbackText"])  // Markdown, if anything
	require.Equal(t, "at 2026-03-12T14:22:01Z", got["mattermost"]["attachments/0/footer"]) // plain text
	require.Equal(t, "https:\n//evil.example", got["mattermost"]["attachments/0/text"])
	require.Equal(t, "https:\n//evil.example", got["rocketchat"]["attachments/0/text"])
	require.Equal(t, "at 2026-03-12T14:22:01Z", got["googlechat"]["cardsV2/0/card/header/subtitle"]) // plain text
}

// Mattermost and Rocket.Chat turn a text that begins with www into a link, even
// without a scheme.
func TestWWWIsNoLink(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"see www.evil.example/login": "see www\u200b.evil.example/login",
		"WWW.EVIL.EXAMPLE":           "WWW\u200b.EVIL.EXAMPLE",
		"(www.evil.example":          "\\(www\u200b.evil.example",
		"deploy.live":                "deploy.live",
		"now. awww. 3www.x wwww.x":   "now. awww. 3www.x wwww.x",
	} {
		e := formattest.Events()["deploy_failed"]
		e.Error = text
		_, body, err := newFormat(t, `["{{.Error}}"]`, template.Markdown).Encode(t.Context(), e)
		require.NoError(t, err)
		require.Equal(t, want, formattest.Strings(t, body)["0"])
	}
}

// A link that an event brings can't end the link that a template makes of it.
func TestLink(t *testing.T) {
	t.Parallel()
	e := formattest.Events()["deploy_live"]
	for url, want := range map[string]string{
		"https://x.example/)[bank](https://evil.example": "[app](https://x.example/%29[bank]%28https://evil.example)",
		"https://u:p@x.example/'\"><b>":                  "[app](https://x.example/%27%22%3E%3Cb%3E)",
		"https://x.example/?a=<b>":                       "[app]()",
		"javascript:alert(1)":                            "[app]()",
	} {
		e.URL = url
		_, body, err := newFormat(t, `["[app]({{.URL}})"]`, template.Markdown).Encode(t.Context(), e)
		require.NoError(t, err)
		require.Equal(t, want, formattest.Strings(t, body)["0"], url)
	}
}

// "$if" leaves out a member, an element, or everything.
func TestCondition(t *testing.T) {
	t.Parallel()
	f := newFormat(t, `{"$if": "{{.App}}", "a": {"$if": "{{.Error}}", "b": 1}, "c": [{"$if": "{{.URL}}"}, 2], "d": {}}`, template.Plain)
	e := formattest.Events()["deploy_started"]
	_, body, err := f.Encode(t.Context(), e)
	require.NoError(t, err)
	require.Equal(t, `{"c":[2],"d":{}}`, string(body))
	e.Error, e.URL = "x", "https://shop.example"
	_, body, err = f.Encode(t.Context(), e)
	require.NoError(t, err)
	require.Equal(t, `{"a":{"b":1},"c":[{},2],"d":{}}`, string(body))
	e.App = " "
	_, _, err = f.Encode(t.Context(), e)
	require.ErrorIs(t, err, sender.ErrNoMessage)
}

func TestTooLong(t *testing.T) {
	t.Parallel()
	document := `[` + strings.Repeat(`"{{.Error}}",`, 2000) + `1]`
	_, _, err := newFormat(t, document, template.Plain).Encode(t.Context(), formattest.HostileEvent("deploy.failed", strings.Repeat("x", 2000)))
	require.ErrorContains(t, err, "longer than 1048576 bytes")
}

func TestOptions(t *testing.T) {
	t.Parallel()
	f := newFormat(t, `["{{.App}}", "{{.Color}}", "{{.Error | truncate 100}}"]`, template.Plain,
		template.WithMaxValue(5), template.WithColor("deploy.failed", "#123456"))
	_, body, err := f.Encode(t.Context(), formattest.Events()["deploy_failed"])
	require.NoError(t, err)
	require.Equal(t, `["api-…","#123456","heal…"]`, string(body))

	_, err = template.New(`[]`, 0, nil, template.WithMaxValue(0), template.WithMaxValue(1e6), template.WithColor("x.y", "blue"))
	require.ErrorIs(t, err, template.ErrConfig)
	for _, part := range []string{"markup must be", "nil Option", "WithMaxValue: 0", "WithMaxValue: 1000000", `WithColor: "blue"`} {
		require.ErrorContains(t, err, part)
	}
}

// A Format may be shared.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	f := newFormat(t, everywhere, template.Markdown)
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			for range 100 {
				e := formattest.HostileEvent("deploy.failed", fmt.Sprint("text ", i))
				_, body, err := f.Encode(t.Context(), e)
				require.NoError(t, err)
				require.Contains(t, string(body), fmt.Sprint(`"xtext `, i, `y"`))
			}
		})
	}
}
