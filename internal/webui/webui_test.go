package webui

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
)

func newUI(t *testing.T, content string) *UI {
	t.Helper()
	u, err := New(fstest.MapFS{"t/page.html": {Data: []byte(`{{define "content"}}` + content + `{{end}}`)}}, "t/*.html", nil)
	require.NoError(t, err)
	return u
}

// A page has the headers that protect it, and names its assets by their hash.
func TestRender(t *testing.T) {
	t.Parallel()
	u := newUI(t, `<p>{{.Data}}</p>{{time .Data2}}`)
	w := httptest.NewRecorder()
	require.Error(t, u.Render(w, 200, "page.html", Page{}), "a template that fails")
	require.Empty(t, w.Body.String())
	require.Error(t, u.Render(w, 200, "other.html", Page{}))

	u = newUI(t, `<p>{{.Data}}</p>`)
	require.NoError(t, u.Render(w, http.StatusTeapot, "page.html", Page{
		Title: "<b>", Base: "../../", Data: "<script>", Live: true, Flash: Flash{"good", "Done & dusted"},
	}))
	require.Equal(t, http.StatusTeapot, w.Code)
	text := w.Body.String()
	require.Contains(t, text, "&lt;script&gt;")
	require.Contains(t, text, "Done &amp; dusted")
	require.NotContains(t, text, "<b>")
	for name, want := range map[string]string{
		"Content-Security-Policy": Policy, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
	} {
		require.Equal(t, want, w.Header().Get(name))
	}
	requireNothingInline(t, text)
	require.Contains(t, text, `href="../../`+u.style+`"`)

	name := strings.TrimPrefix(u.style, "assets/")
	w = httptest.NewRecorder()
	require.True(t, u.Asset(w, httptest.NewRequest("GET", "/", nil), name))
	require.Contains(t, w.Header().Get("Cache-Control"), "immutable")
	require.NotEmpty(t, w.Body.String())
	require.False(t, u.Asset(w, httptest.NewRequest("GET", "/", nil), "style.css"))
}

// The policy would refuse these, and the page would look broken.
func requireNothingInline(t *testing.T, text string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(text))
	require.NoError(t, err)
	for n := range root.Descendants() {
		require.NotEqual(t, "style", n.Data)
		require.False(t, n.Data == "script" && n.FirstChild != nil)
		for _, a := range n.Attr {
			require.False(t, a.Key == "style" || strings.HasPrefix(a.Key, "on"), a.Key)
		}
	}
}

func TestAssets_AreSmall(t *testing.T) {
	t.Parallel()
	u := newUI(t, "")
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	for _, a := range u.assets {
		_, err := zip.Write(a.text)
		require.NoError(t, err)
	}
	require.NoError(t, zip.Close())
	require.Less(t, out.Len(), 60<<10)
}

func TestBase(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"/": "./", "/apps": "./", "/apps/a": "../", "/apps/a%2Fb/endpoints": "../../", "": "./"} {
		require.Equal(t, want, Base(path), path)
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0 s", time.Microsecond: "under 1 ms", 12 * time.Millisecond: "12 ms", 1960 * time.Millisecond: "1.9 s", 42 * time.Second: "42 s",
		60 * time.Second: "1 min", 61 * time.Second: "1 min 1 s", 200 * time.Minute: "3 h 20 min", 75 * time.Hour: "3 d 3 h",
	} {
		require.Equal(t, want, Duration(d))
	}
}

func TestClip(t *testing.T) {
	t.Parallel()
	require.Equal(t, "héllo", Clip("héllo", 6))
	require.Equal(t, "h…", Clip("héllo", 2))
}

// A time says its zone without the script.
func TestTime(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 12, 14, 22, 1, 5e6, time.FixedZone("", 3600))
	require.Equal(t, `<time datetime="2026-03-12T13:22:01.005Z" title="2026-03-12 13:22:01 UTC">2026-03-12 13:22:01 UTC</time>`, string(Time(at)))
	require.Contains(t, string(Since(at, at.Add(time.Hour))), ">1 h ago<")
	require.Contains(t, string(Since(at, at.Add(-time.Hour))), ">in 1 h<")
	require.Contains(t, string(Since(time.Time{}, at)), "–")
}

// Plots have figures behind them, and escape what they are given.
func TestPlots(t *testing.T) {
	t.Parallel()
	s := Strip{Name: `"<x>`, Table: true, Slots: []Slot{{From: time.Unix(0, 0), Parts: []Part{{"good", "Delivered", 3, false}, {"bad", "Failed", 0, false}}}}}
	text := string(s.HTML())
	require.Contains(t, text, `aria-label="&#34;&lt;x&gt;"`)
	require.Contains(t, text, `<td class="num">3</td><td class="num">0</td>`)
	requireNothingInline(t, text)
	spans := string(Spans{Name: "x", Total: time.Second, Parts: []Span{{"dns", "DNS", time.Second / 2}, {"tls", "TLS", 0}}}.HTML())
	require.Contains(t, spans, `width="200.0"`)
	require.NotContains(t, spans, "tls")
	zero, two := 0.0, 2.0
	bars := string(Bars{Name: "<x>", Values: []*float64{nil, &zero, &two}}.HTML())
	require.Contains(t, bars, `aria-label="&lt;x&gt;"`)
	require.Equal(t, 2, strings.Count(bars, `class="bar"`), "what was not measured has no bar")
	require.Contains(t, bars, `<rect class="bar" x="10" y="93.0" width="8" height="3.0"/>`)
	require.Contains(t, bars, `<rect class="bar" x="20" y="1.0" width="8" height="95.0"/>`)
	require.NotContains(t, string(Bars{}.HTML()), "rect")
	require.Contains(t, string(Line{Points: []float64{0, 1, 2}}.HTML()), "200.0,48.0")
}
