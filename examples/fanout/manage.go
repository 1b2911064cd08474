package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/deployhook/deployhook/sender/outbox/api"
	"github.com/deployhook/deployhook/sender/outbox/console"
)

// challenge makes browsers ask for the password.
const challenge = `Basic realm="fanout", charset="UTF-8"`

// mountManagement serves the outbox's API and pages to who knows the token.
func mountManagement(mux *http.ServeMux, s *stores, o *options, logger *slog.Logger) error {
	management, err := api.New(s.outbox, o.authorize, api.WithLogger(logger), api.WithChallenge(challenge))
	if err != nil {
		return fmt.Errorf("the management API: %w", err)
	}
	pages, err := console.New(s.outbox, o.authorize, console.WithName("Fan-out"), console.WithLogger(logger))
	if err != nil {
		return fmt.Errorf("the console: %w", err)
	}
	mux.Handle("/api/", http.StripPrefix("/api", management))
	mux.Handle("/console/", o.login(http.StripPrefix("/console", pages)))
	return nil
}

// authorize makes everybody with the token an operator. The user's name is for
// the log of changes only.
func (o *options) authorize(r *http.Request) (api.Access, error) {
	user, password, _ := r.BasicAuth()
	got, want := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(o.token))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		return api.Access{}, api.ErrUnauthenticated
	}
	return api.Access{Operator: true, Actor: user}, nil
}

// login asks a browser for the password. The pages then check it themselves.
func (o *options) login(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := o.authorize(r); err != nil {
			w.Header().Set("WWW-Authenticate", challenge)
			http.Error(w, "Enter any name, and FANOUT_TOKEN as the password.", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
