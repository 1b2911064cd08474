package main

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"

	"github.com/deployhook/deployhook/receiver/console"
)

const (
	sessionCookie = "receiver_session"
	maxSessions   = 1000
)

// logins are the browsers that have logged in. A real service has its own. This
// one is for development. Everybody who reaches the receiver may log in, so it
// exists on a loopback address only.
type logins struct {
	mu       sync.Mutex
	sessions map[string]bool // whether the session may act
	orgs     []string
}

// mountConsole serves the pages of the service under /console/.
func (c config) mountConsole(mux *http.ServeMux) error {
	l := &logins{sessions: map[string]bool{}}
	if text := c.getenv("DEPLOYHOOK_API_KEYS"); text != "" {
		keys, err := parseAPIKeys(text)
		if err != nil {
			return fmt.Errorf("DEPLOYHOOK_API_KEYS: %w", err)
		}
		for _, k := range keys {
			if !slices.Contains(l.orgs, k.Principal) {
				l.orgs = append(l.orgs, k.Principal)
			}
		}
	}
	calculator, err := c.calculator()
	if err != nil {
		return err
	}
	pages, err := console.New(l.access, console.WithName("Receiver"), console.WithLogger(c.logger),
		console.WithRecent(c.recent), console.WithLedger(c.stores.ledger), console.WithMetrics(calculator))
	if err != nil {
		return fmt.Errorf("the console: %w", err)
	}
	mux.Handle("/console/", local(l.required(http.StripPrefix("/console", pages))))
	mux.Handle("GET /console/login", local(http.HandlerFunc(showLogin)))
	mux.Handle("POST /console/login", local(http.NewCrossOriginProtection().Handler(http.HandlerFunc(l.login))))
	return nil
}

// consoleAt returns where the console is, or why it is not served.
func (c config) consoleAt(address net.Addr) string {
	if !c.loopback {
		return "not served, because -addr is not loopback"
	}
	return "http://" + address.String() + "/console/"
}

// isLoopback reports whether an address of -addr is on this machine only.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// local refuses a Host header that does not name this machine. Another site
// could let its own name lead here.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopback(r.Host) {
			http.Error(w, "This host name does not belong to the receiver. Use its address.", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// session returns whether the browser has logged in, and may act.
func (l *logins) session(r *http.Request) (known, mayAct bool) {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return false, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	mayAct, known = l.sessions[cookie.Value]
	return known, mayAct
}

// access says what a browser may do.
func (l *logins) access(r *http.Request) (console.Access, error) {
	known, mayAct := l.session(r)
	if !known {
		return console.Access{}, console.ErrUnauthenticated
	}
	return console.Access{Read: true, Act: mayAct, Organizations: l.orgs, Actor: "developer"}, nil
}

// required sends browsers to the login.
func (l *logins) required(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if known, _ := l.session(r); !known && r.Method == http.MethodGet {
			http.Redirect(w, r, "/console/login", http.StatusSeeOther)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// login begins a session.
func (l *logins) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	readOnly := r.PostFormValue("read_only") != ""
	session := rand.Text()
	l.mu.Lock()
	if len(l.sessions) >= maxSessions {
		clear(l.sessions)
	}
	l.sessions[session] = !readOnly
	l.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: session, Path: "/console/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, "/console/", http.StatusSeeOther)
}

const loginPage = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"><title>Log in</title></head>
<body><main><h1>Log in</h1>
<p>This login is for development. It exists because the receiver listens on this machine only.</p>
<form method="post">
<p><label><input type="checkbox" name="read_only" value="yes"> may only read</label></p>
<p><button>Log in</button></p>
</form></main></body></html>
`

func showLogin(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(loginPage)) // the client may have gone
}
