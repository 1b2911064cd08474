package webui

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed assets templates
var files embed.FS

// UI renders pages. Make it with [New]. It is safe for concurrent use.
type UI struct {
	pages  map[string]*template.Template
	assets map[string]asset
	style  string
	script string
}

type asset struct {
	contentType string
	text        []byte
}

// Page is what the layout shows around the content of a page.
type Page struct {
	// Title names the page. It is its heading, too.
	Title string
	// Product names the console in front of the navigation.
	Product string
	// Base leads from the page to the root of the console, see [Base].
	Base string
	// Nav is the navigation. Crumbs lead to the page.
	Nav, Crumbs []Link
	// Who names the viewer, and Note what limits them.
	Who, Note string
	// Flash says what the last action did. It is empty without an action.
	Flash Flash
	// Live has the parts of the page that are marked data-live refreshed.
	Live bool
	// Data is for the page's own template.
	Data any
}

// Link is a link of the navigation.
type Link struct {
	Text, Href string
	Current    bool
}

// Flash is a message above the content.
type Flash struct {
	// Kind is "good", "bad" or "note".
	Kind string
	Text string
}

// New parses the templates that match pattern, each together with the layout
// and the blocks of this package. Each defines "content".
func New(templates fs.FS, pattern string, funcs template.FuncMap) (*UI, error) {
	u := &UI{pages: map[string]*template.Template{}, assets: map[string]asset{}}
	var err error
	if u.style, err = u.load("style.css", "text/css; charset=utf-8"); err != nil {
		return nil, err
	}
	if u.script, err = u.load("live.js", "text/javascript; charset=utf-8"); err != nil {
		return nil, err
	}
	names, err := fs.Glob(templates, pattern)
	if err != nil {
		return nil, err
	}
	all := u.funcs()
	maps.Copy(all, funcs)
	shared, err := template.New("layout.html").Funcs(all).ParseFS(files, "templates/*.html")
	if err != nil {
		return nil, err
	}
	var parts []string // files whose names begin with _ are for all pages
	for _, name := range names {
		if strings.HasPrefix(path.Base(name), "_") {
			parts = append(parts, name)
		}
	}
	if len(parts) > 0 {
		if shared, err = shared.ParseFS(templates, parts...); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		if strings.HasPrefix(path.Base(name), "_") {
			continue
		}
		page, err := shared.Clone()
		if err != nil {
			return nil, err
		}
		if page, err = page.ParseFS(templates, name); err != nil {
			return nil, err
		}
		u.pages[path.Base(name)] = page
	}
	return u, nil
}

// load reads an asset. Its name has a hash, so that it never changes.
func (u *UI) load(name, contentType string) (string, error) {
	text, err := files.ReadFile("assets/" + name)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	stem, ext, _ := strings.Cut(name, ".")
	hashed := stem + "-" + hex.EncodeToString(sum[:6]) + "." + ext
	u.assets[hashed] = asset{contentType, text}
	return "assets/" + hashed, nil
}

// Asset serves a file of the layout, such as "style-0123456789ab.css". It
// reports false for an unknown name.
func (u *UI) Asset(w http.ResponseWriter, r *http.Request, name string) bool {
	a, ok := u.assets[name]
	if !ok {
		return false
	}
	h := w.Header()
	Secure(h)
	h.Set("Content-Type", a.contentType)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Content-Length", strconv.Itoa(len(a.text)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(a.text) // the client may have gone
	}
	return true
}

// Policy is the Content-Security-Policy of every answer. It permits no inline
// code and no inline styles.
const Policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// Secure sets the headers that every answer of a console has.
func Secure(h http.Header) {
	h.Set("Content-Security-Policy", Policy)
	h.Set("Cache-Control", "no-store") // pages have what only their viewer may see
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// layout is what layout.html gets.
type layout struct {
	Page

	Style, Script string
}

// Render writes a page. It writes nothing if the template fails, so that the
// caller can answer with an error.
func (u *UI) Render(w http.ResponseWriter, status int, name string, p Page) error {
	page, ok := u.pages[name]
	if !ok {
		return fmt.Errorf("webui: there is no page %s", name)
	}
	var out bytes.Buffer
	if err := page.ExecuteTemplate(&out, "layout.html", layout{p, u.style, u.script}); err != nil {
		return fmt.Errorf("webui: %s: %w", name, err)
	}
	h := w.Header()
	Secure(h)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(out.Len()))
	w.WriteHeader(status)
	_, _ = out.WriteTo(w) // the client may have gone
	return nil
}

// Base returns the relative reference from a request's path to the root. The
// path begins with a slash and is that of the console itself, without the
// prefix under which it is mounted.
func Base(escapedPath string) string {
	if depth := strings.Count(escapedPath, "/") - 1; depth > 0 {
		return strings.Repeat("../", depth)
	}
	return "./"
}

// Redirect answers a POST with a page that the browser then gets. to is
// relative to the request's path, see [Base].
func Redirect(w http.ResponseWriter, to string) {
	Secure(w.Header())
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}
