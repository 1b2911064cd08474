package api

import (
	"errors"
	"net/http"
)

// Authorizer says what a request may do. It is the application's own code: it
// looks at a session, a token or a client certificate, and never at what the
// request says about apps. It is called once for each request, before anything
// else is read.
//
// An error that wraps [ErrUnauthenticated] is answered 401. Any other error is
// logged and answered 503, since access is unknown then.
// The zero [Access] is answered 403.
type Authorizer func(r *http.Request) (Access, error)

// ErrUnauthenticated means that the caller is unknown.
var ErrUnauthenticated = errors.New("api: the request is not authenticated")

// Access says what a caller may do. The zero Access permits nothing.
type Access struct {
	// App is the app that the caller acts for. Paths of other apps are unknown to
	// it. Ignored for an operator.
	App string
	// Operator permits everything about all apps, and shows texts that are not for
	// customers.
	Operator bool
	// ReadOnly refuses everything that changes something. It also hides the
	// endpoints' URLs, which may be credentials.
	ReadOnly bool
	// Actor names who it is, for the log line of a change. It is not checked.
	Actor string
}

// isZero reports whether nothing is permitted.
func (a Access) isZero() bool { return a.App == "" && !a.Operator }

// reaches reports whether the caller may see an app.
func (a Access) reaches(app string) bool { return a.Operator || a.App == app && app != "" }
