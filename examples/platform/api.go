package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// handler serves the API, and customers' apps under /apps/{app}/live/.
func (p *platform) handler() http.Handler {
	api := http.NewServeMux()
	for pattern, h := range map[string]apiFunc{
		"GET /sources": p.sources,
		"POST /apps":   p.createApp, "GET /apps": p.listApps,
		"POST /apps/{app}/endpoints": p.createEndpoint, "GET /apps/{app}/endpoints": p.listEndpoints,
		"GET /apps/{app}/endpoints/{id}": p.getEndpoint, "PATCH /apps/{app}/endpoints/{id}": p.updateEndpoint, "DELETE /apps/{app}/endpoints/{id}": p.deleteEndpoint,
		"GET /apps/{app}/endpoints/{id}/url":     p.getURL,
		"POST /apps/{app}/endpoints/{id}/rotate": p.rotateSecret, "POST /apps/{app}/endpoints/{id}/test": p.testEndpoint,
		"POST /apps/{app}/endpoints/{id}/disable": p.disableEndpoint, "POST /apps/{app}/endpoints/{id}/enable": p.enableEndpoint,
		"POST /apps/{app}/deployments": p.deploy, "GET /apps/{app}/deployments": p.listDeployments,
		"GET /deployments/{id}": p.getDeployment, "POST /apps/{app}/rollback": p.rollback,
		"GET /apps/{app}/deliveries": p.listDeliveries, "GET /apps/{app}/deliveries/{id}": p.getDelivery,
		"GET /apps/{app}/deliveries/{id}/attempts": p.listAttempts, "POST /apps/{app}/deliveries/{id}/replay": p.replayDelivery,
		"POST /apps/{app}/replay": p.replayRange, "GET /apps/{app}/replays/{id}": p.getReplay, "POST /apps/{app}/replays/{id}/resume": p.resumeReplay,
	} {
		api.Handle(pattern, p.answer(h))
	}
	api.Handle("GET /metrics", p.metrics)
	mux := http.NewServeMux()
	mux.HandleFunc("/apps/{app}/live/", p.visit)
	mux.Handle("/", p.protect(jsonErrors(api)))
	return mux
}

// visit forwards a request to a customer's app, which is not trusted. Its pages
// get their own origin, so their scripts cannot call the API. The app never
// sees the API's token.
func (p *platform) visit(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", "sandbox allow-forms allow-scripts")
	if p.o.token != "" && strings.Contains(strings.Join(r.Header.Values("Authorization"), " "), p.o.token) {
		r.Header.Del("Authorization")
	}
	p.engine.Handler(w, r)
}

// protect restricts who can call the API.
//
//	token set       clients that send the token
//	no token set    clients on this machine, but not the pages of other sites in its browsers
//
// Without a token the server only listens on a loopback address.
func (p *platform) protect(next http.Handler) http.Handler {
	guarded := http.NewCrossOriginProtection().Handler(next)
	want := sha256.Sum256([]byte(p.o.token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.o.token == "" {
			if !local(r.Host) { // a foreign name that resolves to this machine (DNS rebinding)
				writeError(w, http.StatusForbidden, "this host name does not belong to the platform; use its address", nil)
				return
			}
		} else {
			got := sha256.Sum256([]byte(bearer(r)))
			if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
				w.Header().Set("WWW-Authenticate", "Bearer")
				writeError(w, http.StatusUnauthorized, "want Authorization: Bearer, followed by the token of PLATFORM_API_TOKEN", nil)
				return
			}
		}
		guarded.ServeHTTP(w, r)
	})
}

func bearer(r *http.Request) string {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimLeft(token, " ") // one or more spaces (RFC 9110, section 11.4)
}

// local reports whether a Host header names this machine.
func local(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || (err == nil && addr.IsLoopback())
}

// jsonErrors gives the mux's own errors, for unknown paths and methods, the
// form of all other errors.
func jsonErrors(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		said := statusOnly{header: http.Header{}}
		h.ServeHTTP(&said, r)
		if allow := said.header.Get("Allow"); allow != "" {
			w.Header().Set("Allow", allow)
			writeError(w, http.StatusMethodNotAllowed, "this path takes "+allow, nil)
			return
		}
		writeError(w, http.StatusNotFound, "there is no such path", nil)
	})
}

// statusOnly records a status and drops the body.
type statusOnly struct{ header http.Header }

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) Write(b []byte) (int, error) { return len(b), nil }
func (s *statusOnly) WriteHeader(int)             {}
