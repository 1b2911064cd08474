package console

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/deployhook/deployhook/internal/webui"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/sender/outbox/api"
)

const inAuthorize = "authorizer"

// view is one request.
type view struct {
	*Handler
	w      http.ResponseWriter
	r      *http.Request
	access api.Access
	params map[string]string
	app    *outbox.App // of the path; nil if it has none
	root   string      // leads to the console's first page
	now    time.Time
}

func (v *view) ctx() context.Context { return v.r.Context() }

// canWrite reports whether the viewer may change something.
func (v *view) canWrite() bool { return !v.access.ReadOnly }

// base leads to the pages of the app.
func (v *view) base() string {
	if v.app == nil {
		return v.root
	}
	return v.root + appPath(v.app.Name())
}

// appHome is the first page of an app, and appPath leads to those below it.
// Both begin at the console's first page.
func appHome(name string) string { return "apps/" + url.PathEscape(name) }
func appPath(name string) string { return appHome(name) + "/" }

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	webui.Secure(w.Header())
	if h == nil || h.outbox == nil {
		http.Error(w, "The console was not made with console.New.", http.StatusInternalServerError)
		return
	}
	v := &view{Handler: h, w: w, r: r, root: webui.Base(r.URL.EscapedPath()), now: time.Now()}
	if name, ok := strings.CutPrefix(r.URL.Path, "/assets/"); ok && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		if !h.ui.Asset(w, r, name) {
			v.fail(webui.ErrUnknownPage)
		}
		return
	}
	s, err := v.admit()
	if err == nil {
		err = s.serve(v)
	}
	if err != nil {
		v.fail(err)
		return
	}
	if r.Method == http.MethodPost {
		h.logger.InfoContext(v.ctx(), "outbox console: a change", v.attrs()...)
	}
}

// admit decides whether the request may be served.
func (v *view) admit() (s screen, err error) {
	if err := v.origins.Check(v.r); err != nil {
		return s, webui.ErrCrossOrigin
	}
	if fault := v.faults.Call(v.ctx(), inAuthorize, func() { v.access, err = v.authorize(v.r) }); fault != nil {
		err = fault.Discreet()
	}
	if err != nil {
		v.access = api.Access{} // for the page of the error, too
	}
	switch {
	case errors.Is(err, api.ErrUnauthenticated):
		return s, errUnauthenticated
	case err != nil:
		if v.ctx().Err() == nil {
			v.logger.ErrorContext(v.ctx(), "outbox console: the authorizer failed", slog.Any("error", err))
		}
		return s, errUnavailable
	case v.access.App == "" && !v.access.Operator:
		return s, errForbidden
	}
	if s, v.params, err = v.find(v.r); err != nil {
		return s, err
	}
	if name, has := v.params["app"]; has {
		if !v.access.Operator && v.access.App != name {
			return s, outbox.ErrUnknownApp
		}
		v.app = v.outbox.App(name)
	}
	switch {
	case s.operator && !v.access.Operator:
		return s, webui.ErrUnknownPage
	case s.method == http.MethodPost && v.access.ReadOnly:
		return s, webui.ErrReadOnly
	case s.limited && !v.limit.allow(v.app.Name(), v.now):
		return s, errTooMany
	case s.method == http.MethodPost:
		return s, webui.ReadForm(v.w, v.r)
	}
	return s, nil
}

// text returns a value of the form.
func (v *view) text(name string) string { return v.r.PostForm.Get(name) }

// attrs say who asks for what. The path has IDs only.
func (v *view) attrs() []any {
	attrs := []any{
		slog.String("method", v.r.Method), slog.String("path", v.r.URL.Path), slog.String("actor", v.access.Actor),
		slog.Bool("operator", v.access.Operator),
	}
	return attrs
}

// redirect sends the browser to another page. to is relative to the console's
// first page.
func (v *view) redirect(to string) error {
	webui.Redirect(v.w, v.root+to)
	return nil
}

// done redirects to a page of the app that says what was done.
func (v *view) done(to, what string) error {
	return v.redirect(appPath(v.app.Name()) + to + "?done=" + what)
}

// scope is what every template needs.
type scope struct {
	Root, Base string // lead to the first page, and to those of the app
	App        string
	CanWrite   bool
	Operator   bool
	Now        time.Time
}

func (v *view) scope() scope {
	s := scope{Root: v.root, Base: v.base(), CanWrite: v.canWrite(), Operator: v.access.Operator, Now: v.now}
	if v.app != nil {
		s.App = v.app.Name()
	}
	return s
}

// page is what a screen shows.
type page struct {
	template string
	title    string
	current  string // of the navigation
	crumbs   []webui.Link
	live     bool
	status   int
	flash    webui.Flash
	data     any
}

func (v *view) render(p page) error {
	if p.status == 0 {
		p.status = http.StatusOK
	}
	if p.flash.Text == "" {
		p.flash = flashes[v.r.URL.Query().Get("done")]
	}
	w := webui.Page{
		Title: p.title, Product: v.product, Base: v.root, Nav: v.nav(p.current), Crumbs: p.crumbs, Who: v.access.Actor,
		Flash: p.flash, Live: p.live, Data: p.data,
	}
	if v.access.ReadOnly {
		w.Note = "Read only"
	}
	return v.ui.Render(v.w, p.status, p.template, w)
}

// nav is the navigation of the app, or that of the operator.
func (v *view) nav(current string) (links []webui.Link) {
	add := func(text, href string) {
		links = append(links, webui.Link{Text: text, Href: href, Current: text == current})
	}
	if v.access.Operator {
		add("Overview", v.root+"overview")
		add("Apps", v.root+"apps")
		add("All endpoints", v.root+"endpoints")
		add("All deliveries", v.root+"deliveries")
		add("All replays", v.root+"replays")
	}
	if v.app != nil {
		base := v.base()
		add("Endpoints", strings.TrimSuffix(base, "/"))
		add("Deliveries", base+"deliveries")
		add("Replays", base+"replays")
		add("Event types", base+"types")
	}
	return links
}

// crumbs lead from the app to a page. Pairs are texts and paths below the app.
func (v *view) crumbs(pairs ...string) (links []webui.Link) {
	if v.access.Operator && v.app != nil {
		links = append(links, webui.Link{Text: v.app.Name(), Href: strings.TrimSuffix(v.base(), "/")})
	}
	for i := 0; i < len(pairs); i += 2 {
		links = append(links, webui.Link{Text: pairs[i], Href: strings.TrimSuffix(v.base()+pairs[i+1], "/")})
	}
	return links
}

// flashes say what was done, so that no text comes from a URL.
var flashes = map[string]webui.Flash{
	"updated":  {Kind: "good", Text: "The endpoint was changed. Waiting deliveries use the new settings. Send a test event to see whether it works."},
	"enabled":  {Kind: "good", Text: "The endpoint gets deliveries again."},
	"disabled": {Kind: "note", Text: "The endpoint is disabled. Events are kept, and you can send what it misses later."},
	"deleted":  {Kind: "note", Text: "The endpoint was deleted."},
	"resent":   {Kind: "good", Text: "The delivery is sent again now."},
	"tested":   {Kind: "note", Text: "The test event was sent. This is what happened."},
	"replay":   {Kind: "good", Text: "The replay has begun."},
	"canceled": {Kind: "note", Text: "The replay was canceled."},
	"erased":   {Kind: "note", Text: "The event was erased."},
}
