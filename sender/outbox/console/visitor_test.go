package console_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
)

// visitor is a browser without JavaScript.
type visitor struct {
	w   *world
	who string
}

func (w *world) as(who string) *visitor { return &visitor{w, who} }

// shown is a page that a visitor looks at.
type shown struct {
	*visitor
	at     *url.URL
	status int
	header http.Header
	source string
	root   *html.Node
}

// do sends a request and follows no redirect.
func (v *visitor) do(method, to, body string, header ...string) *shown {
	v.w.t.Helper()
	var content io.Reader
	if method == http.MethodPost {
		content = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(context.Background(), method, to, content)
	require.NoError(v.w.t, err)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if v.who != "" {
		r.AddCookie(&http.Cookie{Name: "who", Value: url.QueryEscape(v.who)})
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(v.w.t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(v.w.t, err)
	s := &shown{visitor: v, at: r.URL, status: answer.StatusCode, header: answer.Header, source: string(text)}
	s.root, err = html.Parse(bytes.NewReader(text))
	require.NoError(v.w.t, err)
	s.check()
	return s
}

// check is what holds for every answer.
func (s *shown) check() {
	t := s.w.t
	t.Helper()
	require.Contains(t, s.header.Get("Content-Security-Policy"), "default-src 'none'")
	require.Equal(t, "nosniff", s.header.Get("X-Content-Type-Options"))
	if !strings.Contains(s.at.Path, "/assets/") {
		require.Equal(t, "no-store", s.header.Get("Cache-Control"))
	}
	if !strings.HasPrefix(s.header.Get("Content-Type"), "text/html") {
		return
	}
	require.LessOrEqual(t, len(s.source), 100<<10, "the page is too large")
	for n := range s.root.Descendants() {
		require.NotEqual(t, "style", n.Data)
		require.False(t, n.Data == "script" && n.FirstChild != nil, "inline code")
		for _, a := range n.Attr {
			require.False(t, a.Key == "style" || strings.HasPrefix(a.Key, "on"), "inline %s", a.Key)
		}
	}
}

// open gets a page by its path below the prefix.
func (v *visitor) open(path string) *shown {
	v.w.t.Helper()
	return v.get(v.w.url + path)
}

// get follows redirects.
func (v *visitor) get(to string) *shown {
	v.w.t.Helper()
	s := v.do(http.MethodGet, to, "")
	for range 3 {
		if s.status != http.StatusSeeOther {
			break
		}
		s = v.do(http.MethodGet, s.resolve(s.header.Get("Location")), "")
	}
	return s
}

func (s *shown) resolve(reference string) string {
	s.w.t.Helper()
	to, err := s.at.Parse(reference)
	require.NoError(s.w.t, err)
	require.True(s.w.t, strings.HasPrefix(to.String(), s.w.url+"/"), "%s leads out of the console, to %s", reference, to)
	return to.String()
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

func textOf(n *html.Node) string {
	var out strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			out.WriteString(d.Data)
			out.WriteString(" ")
		}
	}
	return strings.Join(strings.Fields(out.String()), " ")
}

// text is what the page says.
func (s *shown) text() string { return textOf(s.root) }

// says requires texts, and a status under 400.
func (s *shown) says(texts ...string) *shown {
	s.w.t.Helper()
	require.Less(s.w.t, s.status, 400, "%s: %s", s.at, s.text())
	for _, text := range texts {
		require.Contains(s.w.t, s.text(), text, "at %s", s.at)
	}
	return s
}

// refused requires a status.
func (s *shown) refused(status int, texts ...string) *shown {
	s.w.t.Helper()
	require.Equal(s.w.t, status, s.status, "%s: %s", s.at, s.text())
	for _, text := range texts {
		require.Contains(s.w.t, s.text(), text)
	}
	return s
}

func (s *shown) find(match func(*html.Node) bool) *html.Node {
	for n := range s.root.Descendants() {
		if n.Type == html.ElementNode && match(n) {
			return n
		}
	}
	return nil
}

// follow clicks on a link.
func (s *shown) follow(text string) *shown {
	s.w.t.Helper()
	link := s.find(func(n *html.Node) bool { return n.Data == "a" && textOf(n) == text })
	require.NotNil(s.w.t, link, "%s has no link %q: %s", s.at, text, s.text())
	return s.get(s.resolve(attr(link, "href")))
}

// lacks requires that no button and no link has a text.
func (s *shown) lacks(text string) *shown {
	s.w.t.Helper()
	require.Nil(s.w.t, s.find(func(n *html.Node) bool { return (n.Data == "a" || n.Data == "button") && textOf(n) == text }), text)
	return s
}

// submit fills in a form, presses its button, and follows the redirect. Pairs
// are names and values. An empty value clears a box.
func (s *shown) submit(button string, pairs ...string) *shown {
	s.w.t.Helper()
	form := s.find(func(n *html.Node) bool {
		if n.Data != "form" {
			return false
		}
		for d := range n.Descendants() {
			if d.Data == "button" && textOf(d) == button {
				return true
			}
		}
		return false
	})
	require.NotNil(s.w.t, form, "%s has no button %q: %s", s.at, button, s.text())
	values := fields(form)
	for i := 0; i < len(pairs); i += 2 {
		require.True(s.w.t, has(form, "x") || values.Has(pairs[i]) || hasField(form, pairs[i]), "no field %q", pairs[i])
		values.Del(pairs[i])
		if pairs[i+1] != "" {
			values.Set(pairs[i], pairs[i+1])
		}
	}
	to := s.at.String()
	if action := attr(form, "action"); action != "" {
		to = s.resolve(action)
	}
	if !strings.EqualFold(attr(form, "method"), "post") {
		bare, _, _ := strings.Cut(to, "?")
		return s.get(bare + "?" + values.Encode())
	}
	answer := s.do(http.MethodPost, to, values.Encode(), "Origin", "http://"+s.at.Host, "Sec-Fetch-Site", "same-origin")
	if answer.status != http.StatusSeeOther {
		return answer
	}
	require.Empty(s.w.t, answer.source, "a redirect has no body")
	return s.get(answer.resolve(answer.header.Get("Location")))
}

func hasField(form *html.Node, name string) bool {
	for n := range form.Descendants() {
		if attr(n, "name") == name {
			return true
		}
	}
	return false
}

// fields are what a browser would send without any input.
func fields(form *html.Node) url.Values {
	values := url.Values{}
	for n := range form.Descendants() {
		name := attr(n, "name")
		if name == "" {
			continue
		}
		switch n.Data {
		case "input":
			if kind := attr(n, "type"); (kind == "checkbox" || kind == "radio") && !has(n, "checked") {
				continue
			}
			values.Add(name, attr(n, "value"))
		case "textarea":
			text := ""
			if n.FirstChild != nil {
				text = n.FirstChild.Data
			}
			values.Add(name, text)
		case "select":
			values.Add(name, selected(n))
		}
	}
	return values
}

func selected(list *html.Node) (value string) {
	first := true
	for n := range list.Descendants() {
		if n.Data == "option" && (first || has(n, "selected")) {
			value, first = attr(n, "value"), false
		}
	}
	return value
}
