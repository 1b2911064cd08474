package engine

import (
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
)

// Handler forwards requests to the version of the app that is live when they
// arrive. It removes its mount point /apps/{app}/live/ from the path.
func (e *Engine) Handler(w http.ResponseWriter, r *http.Request) {
	i := e.acquire(r.PathValue("app"))
	if i == nil {
		http.Error(w, "nothing of this app is live", http.StatusServiceUnavailable)
		return
	}
	defer i.leave()
	prefix := "/apps/" + r.PathValue("app") + "/live"
	proxy := &httputil.ReverseProxy{
		Transport: e.transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(&url.URL{Scheme: "http", Host: i.addr})
			p.Out.URL.Path = strings.TrimPrefix(p.In.URL.Path, prefix)
			p.Out.URL.RawPath = strings.TrimPrefix(p.In.URL.RawPath, prefix)
			p.SetXForwarded()
			p.Out.Header.Set("X-Forwarded-Prefix", prefix)
		},
		ErrorLog: slog.NewLogLogger(e.cfg.Logger.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			http.Error(w, "the app does not answer", http.StatusBadGateway)
		},
	}
	proxy.ServeHTTP(w, r)
}

// acquire returns the live instance after counting the request, or nil. If the
// instance began to drain, it has a successor.
func (e *Engine) acquire(name string) *instance {
	a := e.existing(name)
	if a == nil {
		return nil
	}
	for {
		i := a.live.Load()
		if i == nil || i.enter() {
			return i
		}
	}
}
