package main

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/deployhook/deployhook/sender/outbox/api"
)

// token says what the bearer of a token may do. The database has only the hash
// of the token itself.
type token struct {
	App      string `json:"app"`
	Name     string `json:"name"`
	ReadOnly bool   `json:"read_only"`
}

// tokenPrefix begins the token of an app. It tells scanners of secrets what
// they have found.
const tokenPrefix = "plt_"

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// authorize is the authorizer of the mounted API and of the platform's own
// operations.
//
//	the operator's token    everything
//	the token of an app     that app, maybe only to read
//	no token                everything, if the platform has no operator's token
//
// Without an operator's token the platform listens on a loopback address only.
func (p *platform) authorize(r *http.Request) (api.Access, error) {
	text := bearer(r)
	switch {
	case text == "" && p.o.token == "", text != "" && subtle.ConstantTimeCompare([]byte(hashOf(text)), []byte(hashOf(p.o.token))) == 1:
		return api.Access{Operator: true, Actor: "operator"}, nil
	case !strings.HasPrefix(text, tokenPrefix):
		return api.Access{}, api.ErrUnauthenticated
	}
	t, err := p.store.token(r.Context(), hashOf(text))
	if errors.Is(err, errNotFound) {
		return api.Access{}, api.ErrUnauthenticated
	}
	return api.Access{App: t.App, ReadOnly: t.ReadOnly, Actor: t.Name}, err
}

// bearer returns the token of a request. A request with other or with several
// credentials has an invalid one.
func bearer(r *http.Request) string {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return ""
	}
	scheme, text, _ := strings.Cut(values[0], " ")
	text = strings.TrimLeft(text, " ") // one or more spaces (RFC 9110, section 11.4)
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || text == "" {
		return "invalid"
	}
	return text
}

// right is what an operation of the platform requires. The mounted API has its
// own list.
type right int

const (
	toRead right = iota
	toWrite
	toOperate // for operators only
)

// require asks the authorizer of the mounted API, and gives the same answers.
func (p *platform) require(need right, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		access, err := p.authorize(r)
		app := r.PathValue("app")
		switch {
		case errors.Is(err, api.ErrUnauthenticated):
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeProblem(w, newProblem(http.StatusUnauthorized, "unauthenticated", "The request must be authenticated."))
		case err != nil: // readiness logs why, and not for each request of a flood
			writeProblem(w, newProblem(http.StatusServiceUnavailable, "unavailable", "The service can't answer now. Try again later."))
		case access.Operator:
			next.ServeHTTP(w, r)
		case need == toOperate:
			writeProblem(w, newProblem(http.StatusForbidden, "operators_only", "Only operators have access."))
		case app != "" && app != access.App:
			writeProblem(w, newProblem(http.StatusNotFound, "unknown_app", "There is no such app."))
		case need == toWrite && access.ReadOnly:
			writeProblem(w, newProblem(http.StatusForbidden, "read_only", "The caller may read only."))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// createToken makes a token of an app. Only this answer shows it.
func (p *platform) createToken(r *http.Request) (int, any, error) {
	in, err := read[struct {
		Name     string `json:"name"`
		ReadOnly bool   `json:"read_only"`
	}](r)
	if err != nil {
		return 0, nil, err
	}
	if !plainName.MatchString(in.Name) {
		return 0, nil, badField("name", "want up to 40 lower-case letters, digits and hyphens, beginning with a letter")
	}
	app, err := p.app(r)
	if err != nil {
		return 0, nil, err
	}
	t, text := token{app, in.Name, in.ReadOnly}, tokenPrefix+rand.Text()
	if err := p.store.addToken(r.Context(), t, hashOf(text)); err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, struct {
		token
		Token string `json:"token"`
	}{t, text}, nil
}

func (p *platform) deleteToken(r *http.Request) (int, any, error) {
	app, name := r.PathValue("app"), r.PathValue("name")
	if !plainName.MatchString(app) || !plainName.MatchString(name) { // PostgreSQL refuses some texts that are no names
		return 0, nil, errNotFound
	}
	return http.StatusNoContent, nil, p.store.deleteToken(r.Context(), app, name)
}

// refuseRebinding protects a platform without an operator's token. Any client
// on this machine may call it, but not the page of another site whose host name
// resolves to this machine (DNS rebinding).
func (p *platform) refuseRebinding(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.o.token == "" && !local(r.Host) {
			writeProblem(w, newProblem(http.StatusForbidden, "forbidden", fmt.Sprintf("The host name %q does not belong to the platform. Use its address.", r.Host)))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// local reports whether a Host header names this machine.
func local(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || (err == nil && addr.IsLoopback())
}
