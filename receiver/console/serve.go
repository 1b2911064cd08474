package console

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/deployhook/deployhook/internal/webui"
)

const (
	inAuthorize = "authorizer"
	// pageTimeout bounds what a page reads.
	pageTimeout = 10 * time.Second
)

// view is one request.
type view struct {
	*Handler
	w      http.ResponseWriter
	r      *http.Request
	access Access
	params map[string]string
	root   string // leads to the console's first page
	now    time.Time
}

func (v *view) ctx() context.Context { return v.r.Context() }

// canAct reports whether the viewer may replay something.
func (v *view) canAct() bool { return v.access.Read && v.access.Act }

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	webui.Secure(w.Header())
	if h == nil || h.routes == nil {
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
	if err != nil || !v.access.Read {
		v.access = Access{} // for the page of the error, too
	}
	switch {
	case errors.Is(err, ErrUnauthenticated):
		return s, errUnauthenticated
	case err != nil:
		if v.ctx().Err() == nil {
			v.logger.ErrorContext(v.ctx(), "receiver console: the authorizer failed", slog.Any("error", err))
		}
		return s, errUnavailable
	case !v.access.Read:
		return s, errForbidden
	}
	if s, v.params, err = v.find(v.r); err != nil {
		return s, err
	}
	if org, has := v.params["org"]; has && !slices.Contains(v.access.Organizations, org) {
		return s, errUnknownOrganization
	}
	if s.method != http.MethodPost {
		return s, nil
	}
	if !v.canAct() {
		return s, webui.ErrReadOnly
	}
	return s, webui.ReadForm(v.w, v.r)
}

// bounded returns a context for what a page reads.
func (v *view) bounded(limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(v.ctx(), limit)
}

// did logs a change.
func (v *view) did(what string, attrs ...any) {
	v.logger.InfoContext(v.ctx(), "receiver console: "+what, append(v.attrs(), attrs...)...)
}

// attrs say who asks for what. The path has IDs only.
func (v *view) attrs() []any {
	return []any{
		slog.String("method", v.r.Method), slog.String("path", v.r.URL.Path), slog.String("actor", v.access.Actor),
	}
}

// redirect sends the browser to another page. to is relative to the console's
// first page.
func (v *view) redirect(to string) error {
	webui.Redirect(v.w, v.root+to)
	return nil
}

// scope is what every template needs.
type scope struct {
	Root   string // leads to the first page
	CanAct bool
	Now    time.Time
}

func (v *view) scope() scope { return scope{Root: v.root, CanAct: v.canAct(), Now: v.now} }

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
		Title: p.title, Product: v.product, Base: v.root, Crumbs: p.crumbs, Who: v.access.Actor, Flash: p.flash, Live: p.live, Data: p.data,
	}
	for _, l := range v.links() {
		w.Nav = append(w.Nav, webui.Link{Text: l.text, Href: v.root + l.to, Current: l.text == p.current})
	}
	if v.access.Read && !v.access.Act {
		w.Note = "Read only"
	}
	return v.ui.Render(v.w, p.status, p.template, w)
}

// link is a part of the console. to is relative to the first page.
type link struct{ text, to string }

const (
	partInbox       = "Inbox"
	partRecent      = "Recent"
	partDeployments = "Deployments"
	partMetrics     = "Metrics"
)

// links are the parts that there are, and that the viewer may see.
func (v *view) links() (all []link) {
	if !v.access.Read {
		return nil
	}
	if v.inbox != nil {
		all = append(all, link{partInbox, "inbox"})
	}
	if v.recent != nil {
		all = append(all, link{partRecent, "recent"})
	}
	if v.ledger != nil && len(v.access.Organizations) > 0 {
		all = append(all, link{partDeployments, "deployments"})
	}
	if v.metrics != nil && len(v.access.Organizations) > 0 {
		all = append(all, link{partMetrics, "metrics"})
	}
	return all
}

// crumbs lead to a page. Pairs are texts and paths from the first page.
func (v *view) crumbs(pairs ...string) (links []webui.Link) {
	for i := 0; i < len(pairs); i += 2 {
		links = append(links, webui.Link{Text: pairs[i], Href: v.root + pairs[i+1]})
	}
	return links
}

// flashes say what was done, so that no text comes from a URL.
var flashes = map[string]webui.Flash{
	"replayed": {Kind: "good", Text: "The delivery is pending again. A worker handles it with all attempts available."},
}
