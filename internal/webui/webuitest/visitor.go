package webuitest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
)

// Visitor is a browser without JavaScript. Make it with [As].
type Visitor struct {
	t   testing.TB
	url string
	who string
}

// As returns a visitor of the console at url, without a slash at its end. The
// cookie "who" has the name. An empty name sends no cookie.
func As(t testing.TB, url, who string) *Visitor { return &Visitor{t, url, who} }

// Shown is a page that a visitor looks at.
type Shown struct {
	*Visitor

	At     *url.URL
	Status int
	Header http.Header
	Source string
	Root   *html.Node
}

// Do sends a request and follows no redirect.
func (v *Visitor) Do(method, to, body string, header ...string) *Shown {
	v.t.Helper()
	answer, text := v.send(method, to, body, header...)
	s := &Shown{Visitor: v, At: answer.Request.URL, Status: answer.StatusCode, Header: answer.Header, Source: string(text)}
	var err error
	s.Root, err = html.Parse(bytes.NewReader(text))
	require.NoError(v.t, err)
	s.check()
	return s
}

// send returns the answer to a request, and its body.
func (v *Visitor) send(method, to, body string, header ...string) (*http.Response, []byte) {
	v.t.Helper()
	var content io.Reader
	if method == http.MethodPost {
		content = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(context.Background(), method, to, content)
	require.NoError(v.t, err)
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
	require.NoError(v.t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(v.t, err)
	return answer, text
}

// check is what holds for every answer.
func (s *Shown) check() {
	t := s.t
	t.Helper()
	require.Contains(t, s.Header.Get("Content-Security-Policy"), "default-src 'none'")
	require.Equal(t, "nosniff", s.Header.Get("X-Content-Type-Options"))
	if !strings.Contains(s.At.Path, "/assets/") {
		require.Equal(t, "no-store", s.Header.Get("Cache-Control"))
	}
	if !strings.HasPrefix(s.Header.Get("Content-Type"), "text/html") {
		return
	}
	require.LessOrEqual(t, len(s.Source), maxPage, "the page is too large")
	for n := range s.Root.Descendants() {
		require.NotEqual(t, "style", n.Data)
		require.False(t, n.Data == "script" && n.FirstChild != nil, "inline code")
		for _, a := range n.Attr {
			require.False(t, a.Key == "style" || strings.HasPrefix(a.Key, "on"), "inline %s", a.Key)
		}
	}
}

// Open gets a page by its path below the prefix.
func (v *Visitor) Open(path string) *Shown {
	v.t.Helper()
	return v.Get(v.url + path)
}

// Get follows redirects.
func (v *Visitor) Get(to string) *Shown {
	v.t.Helper()
	s := v.Do(http.MethodGet, to, "")
	for range 3 {
		if s.Status != http.StatusSeeOther {
			break
		}
		s = v.Do(http.MethodGet, s.Resolve(s.Header.Get("Location")), "")
	}
	return s
}

// Resolve returns the address that a reference of the page leads to. It is in
// the console.
func (s *Shown) Resolve(reference string) string {
	s.t.Helper()
	to, err := s.At.Parse(reference)
	require.NoError(s.t, err)
	require.True(s.t, strings.HasPrefix(to.String(), s.url+"/"), "%s leads out of the console, to %s", reference, to)
	return to.String()
}

// Attr returns an attribute of an element.
func Attr(n *html.Node, name string) string {
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

// TextOf returns what an element says.
func TextOf(n *html.Node) string {
	var out strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			out.WriteString(d.Data)
			out.WriteString(" ")
		}
	}
	return strings.Join(strings.Fields(out.String()), " ")
}

// Text is what the page says.
func (s *Shown) Text() string { return TextOf(s.Root) }

// Says requires texts, and a status under 400.
func (s *Shown) Says(texts ...string) *Shown {
	s.t.Helper()
	require.Less(s.t, s.Status, 400, "%s: %s", s.At, s.Text())
	for _, text := range texts {
		require.Contains(s.t, s.Text(), text, "at %s", s.At)
	}
	return s
}

// Refused requires a status.
func (s *Shown) Refused(status int, texts ...string) *Shown {
	s.t.Helper()
	require.Equal(s.t, status, s.Status, "%s: %s", s.At, s.Text())
	for _, text := range texts {
		require.Contains(s.t, s.Text(), text)
	}
	return s
}

// Find returns the first element that matches, or nil.
func (s *Shown) Find(match func(*html.Node) bool) *html.Node {
	for n := range s.Root.Descendants() {
		if n.Type == html.ElementNode && match(n) {
			return n
		}
	}
	return nil
}

// Follow clicks on a link.
func (s *Shown) Follow(text string) *Shown {
	s.t.Helper()
	link := s.Find(func(n *html.Node) bool { return n.Data == "a" && TextOf(n) == text })
	require.NotNil(s.t, link, "%s has no link %q: %s", s.At, text, s.Text())
	return s.Get(s.Resolve(Attr(link, "href")))
}

// Lacks requires that no button and no link has a text.
func (s *Shown) Lacks(text string) *Shown {
	s.t.Helper()
	require.Nil(s.t, s.Find(func(n *html.Node) bool { return (n.Data == "a" || n.Data == "button") && TextOf(n) == text }), text)
	return s
}

// Submit fills in a form, presses its button, and follows the redirect. Pairs
// are names and values. An empty value clears a box.
func (s *Shown) Submit(button string, pairs ...string) *Shown {
	s.t.Helper()
	form := s.Find(func(n *html.Node) bool {
		if n.Data != "form" {
			return false
		}
		for d := range n.Descendants() {
			if d.Data == "button" && TextOf(d) == button {
				return true
			}
		}
		return false
	})
	require.NotNil(s.t, form, "%s has no button %q: %s", s.At, button, s.Text())
	values := fields(form)
	for i := 0; i < len(pairs); i += 2 {
		require.True(s.t, values.Has(pairs[i]) || hasField(form, pairs[i]), "no field %q", pairs[i])
		values.Del(pairs[i])
		if pairs[i+1] != "" {
			values.Set(pairs[i], pairs[i+1])
		}
	}
	to := s.At.String()
	if action := Attr(form, "action"); action != "" {
		to = s.Resolve(action)
	}
	if !strings.EqualFold(Attr(form, "method"), "post") {
		bare, _, _ := strings.Cut(to, "?")
		return s.Get(bare + "?" + values.Encode())
	}
	answer := s.Do(http.MethodPost, to, values.Encode(), "Origin", "http://"+s.At.Host, "Sec-Fetch-Site", "same-origin")
	if answer.Status != http.StatusSeeOther {
		return answer
	}
	require.Empty(s.t, answer.Source, "a redirect has no body")
	return s.Get(answer.Resolve(answer.Header.Get("Location")))
}

func hasField(form *html.Node, name string) bool {
	for n := range form.Descendants() {
		if Attr(n, "name") == name {
			return true
		}
	}
	return false
}

// fields are what a browser would send without any input.
func fields(form *html.Node) url.Values {
	values := url.Values{}
	for n := range form.Descendants() {
		name := Attr(n, "name")
		if name == "" {
			continue
		}
		switch n.Data {
		case "input":
			if kind := Attr(n, "type"); (kind == "checkbox" || kind == "radio") && !has(n, "checked") {
				continue
			}
			values.Add(name, Attr(n, "value"))
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
			value, first = Attr(n, "value"), false
		}
	}
	return value
}
