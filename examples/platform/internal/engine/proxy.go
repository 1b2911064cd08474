package engine

import (
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
)

// Handler passes requests to whatever version of the app is live at the moment they arrive. It is mounted at /apps/{app}/live/,
// which it takes off.
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

// acquire returns the live instance with the caller counted in, or nil. An instance that began to drain has a successor by then.
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
