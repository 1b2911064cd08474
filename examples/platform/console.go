package main

import (
	"crypto/rand"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"sync"

	"github.com/deployhook/deployhook/sender/outbox/api"
	"github.com/deployhook/deployhook/sender/outbox/console"
)

// logins are the browsers that have logged in. A real platform has its own.
// This one is for development: everybody who reaches the platform may log in as
// anybody, so it exists on a loopback address only.
type logins struct {
	mu       sync.Mutex
	sessions map[string]api.Access
}

const (
	sessionCookie = "platform_session"
	maxSessions   = 1000
)

// mountConsole serves the pages of the outbox under /console/.
func (p *platform) mountConsole(mux *http.ServeMux, origins *http.CrossOriginProtection) error {
	l := &logins{sessions: map[string]api.Access{}}
	pages, err := console.New(p.outbox, func(r *http.Request) (api.Access, error) { return l.access(p, r) },
		console.WithName("Platform"), console.WithLogger(p.logger))
	if err != nil {
		return fmt.Errorf("the console: %w", err)
	}
	if p.o.token != "" { // the platform may be on a network
		mux.Handle("/console/", http.StripPrefix("/console", pages))
		return nil
	}
	mux.Handle("/console/", l.required(http.StripPrefix("/console", pages)))
	mux.Handle("GET /console/login", http.HandlerFunc(p.showLogin))
	mux.Handle("POST /console/login", origins.Handler(l.login(p)))
	return nil
}

// access says what a browser may do, or a client with a token.
func (l *logins) access(p *platform, r *http.Request) (api.Access, error) {
	if r.Header.Get("Authorization") != "" {
		return p.authorize(r)
	}
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return api.Access{}, api.ErrUnauthenticated
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	access, ok := l.sessions[cookie.Value]
	if !ok {
		return api.Access{}, api.ErrUnauthenticated
	}
	return access, nil
}

// required sends browsers to the login.
func (l *logins) required(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie(sessionCookie)
		known := r.Header.Get("Authorization") != ""
		if err == nil {
			l.mu.Lock()
			_, found := l.sessions[cookie.Value]
			l.mu.Unlock()
			known = known || found
		}
		if !known && r.Method == http.MethodGet {
			http.Redirect(w, r, "/console/login", http.StatusSeeOther)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// login begins a session. The cookie goes to the console only, so no app gets
// it.
func (l *logins) login(p *platform) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
		app := r.PostFormValue("app")
		access := api.Access{App: app, ReadOnly: r.PostFormValue("read_only") != "", Actor: "developer"}
		if access.Operator = app == ""; !access.Operator {
			if apps, err := p.apps(r.Context()); err != nil || !slices.Contains(apps, app) {
				http.Error(w, "There is no such app.", http.StatusNotFound)
				return
			}
		}
		session := rand.Text()
		l.mu.Lock()
		if len(l.sessions) >= maxSessions {
			clear(l.sessions)
		}
		l.sessions[session] = access
		l.mu.Unlock()
		http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: session, Path: "/console/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
		http.Redirect(w, r, "/console/", http.StatusSeeOther)
	})
}

var loginPage = template.Must(template.New("login").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"><title>Log in</title></head>
<body><main><h1>Log in</h1>
<p>This login is for development. It exists because the platform listens on this machine only.</p>
<form method="post">
<p><label>As <select name="app"><option value="">operator of all apps</option>{{range .}}<option value="{{.}}">customer: {{.}}</option>{{end}}</select></label></p>
<p><label><input type="checkbox" name="read_only" value="yes"> may only read</label></p>
<p><button>Log in</button></p>
</form></main></body></html>
`))

func (p *platform) showLogin(w http.ResponseWriter, r *http.Request) {
	apps, err := p.apps(r.Context())
	if err != nil {
		http.Error(w, "The service can't answer now.", http.StatusServiceUnavailable)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Cache-Control", "no-store")
	_ = loginPage.Execute(w, apps) // the client may have gone
}
