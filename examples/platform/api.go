package main

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/deployhook/deployhook/sender/outbox/api"
)

// newHandler returns the handler of everything that the platform serves. The
// webhooks of its customers are the management API of the outbox, behind the
// platform's own tokens.
func (p *platform) newHandler() (http.Handler, error) {
	webhooks, err := api.New(p.outbox, p.authorize, api.WithLogger(p.logger), api.WithReadTimeout(p.o.read), api.WithChallenge("Bearer"))
	if err != nil {
		return nil, fmt.Errorf("the management API: %w", err)
	}
	own, origins := http.NewServeMux(), http.NewCrossOriginProtection()
	origins.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeProblem(w, newProblem(http.StatusForbidden, "cross_origin", "The request comes from a page of another origin."))
	}))
	own.Handle("/webhooks/", http.StripPrefix("/webhooks", webhooks))
	if err := p.mountConsole(own, origins); err != nil {
		return nil, err
	}
	for _, o := range []struct {
		pattern string
		need    right
		serve   apiFunc
	}{
		{"GET /sources", toRead, p.sources},
		{"POST /apps/{app}/tokens", toOperate, p.createToken},
		{"DELETE /apps/{app}/tokens/{name}", toOperate, p.deleteToken},
		{"POST /apps/{app}/deployments", toWrite, p.deploy},
		{"GET /apps/{app}/deployments", toRead, p.listDeployments},
		{"GET /apps/{app}/deployments/{id}", toRead, p.getDeployment},
		{"POST /apps/{app}/rollback", toWrite, p.rollback},
	} {
		own.Handle(o.pattern, origins.Handler(p.require(o.need, p.answer(o.serve))))
	}
	own.Handle("GET /metrics", p.require(toOperate, p.telemetry.metrics))
	mux := http.NewServeMux()
	mux.HandleFunc("/apps/{app}/live/", p.visit)
	mux.Handle("/", p.refuseRebinding(own))
	return mux, nil
}

// visit forwards a request to a customer's app, which is not trusted. Its pages
// get their own origin, so their scripts cannot call the API. The app never
// sees a token of the platform.
func (p *platform) visit(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", "sandbox allow-forms allow-scripts")
	credentials := strings.Join(r.Header.Values("Authorization"), " ")
	if strings.Contains(credentials, tokenPrefix) || p.o.token != "" && strings.Contains(credentials, p.o.token) {
		r.Header.Del("Authorization")
	}
	p.engine.Handler(w, r)
}
