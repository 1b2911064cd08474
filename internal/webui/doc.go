// Package webui has what the pages of both consoles share: the layout, the
// stylesheet, a small script, security headers, plots and times. It has no
// routes and knows nothing of webhooks.
//
//	ui, err := webui.New(templates, "templates/*.html", funcs)
//	if err != nil {
//		return err
//	}
//	ui.Render(w, http.StatusOK, "endpoints.html", webui.Page{Title: "Endpoints", Base: "../"})
//
// Links are relative (see [Base]), so that an application can mount a console
// under any prefix, and no page has to know it.
//
// Each page works without JavaScript. The script writes times in the viewer's
// zone, and replaces the parts of a page that are marked data-live.
package webui
