package api

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// right is what an operation requires.
type right int

const (
	// toRead is for everybody who reaches the app.
	toRead right = iota
	// toSecrets is for those who may change something, since it shows a
	// credential.
	toSecrets
	// toWrite is for those who may change something.
	toWrite
)

// operation is one method of one path.
type operation struct {
	id       string // as in the document
	method   string
	path     string // parameters in braces; {app} is an app
	right    right
	operator bool // for operators only
	serve    func(*call) (*answer, error)
}

// operations are all that there are.
func (h *Handler) operations() []operation {
	const (
		app      = "/apps/{app}"
		endpoint = app + "/endpoints/{endpoint}"
		delivery = app + "/deliveries/{delivery}"
		replay   = app + "/replays/{replay}"
	)
	return []operation{
		{"getOpenAPIDocument", "GET", "/openapi.json", toRead, false, getDocument},
		{"listEventTypes", "GET", "/event-types", toRead, false, listEventTypes},
		{"getEventType", "GET", "/event-types/{type}", toRead, false, getEventType},

		{"listApps", "GET", "/apps", toRead, true, listApps},
		{"registerApp", "PUT", app, toWrite, true, registerApp},
		{"getAllStats", "GET", "/stats", toRead, true, getAllStats},
		{"listAllDeliveries", "GET", "/deliveries", toRead, true, listAllDeliveries},

		{"getStats", "GET", app + "/stats", toRead, false, getStats},
		{"listEndpoints", "GET", app + "/endpoints", toRead, false, listEndpoints},
		{"createEndpoint", "POST", app + "/endpoints", toWrite, false, createEndpoint},
		{"getEndpoint", "GET", endpoint, toRead, false, getEndpoint},
		{"updateEndpoint", "PATCH", endpoint, toWrite, false, updateEndpoint},
		{"deleteEndpoint", "DELETE", endpoint, toWrite, false, deleteEndpoint},
		{"getEndpointURL", "GET", endpoint + "/url", toSecrets, false, getEndpointURL},
		{"enableEndpoint", "POST", endpoint + "/enable", toWrite, false, enableEndpoint},
		{"disableEndpoint", "POST", endpoint + "/disable", toWrite, false, disableEndpoint},
		{"rotateSecret", "POST", endpoint + "/rotate", toWrite, false, rotateSecret},
		{"testEndpoint", "POST", endpoint + "/test", toWrite, false, testEndpoint},
		{"countMissed", "GET", endpoint + "/missed", toRead, false, countMissed},
		{"sendMissed", "POST", endpoint + "/missed", toWrite, false, sendMissed},
		{"getEndpointStats", "GET", endpoint + "/stats", toRead, false, getEndpointStats},

		{"listDeliveries", "GET", app + "/deliveries", toRead, false, listDeliveries},
		{"getDelivery", "GET", delivery, toRead, false, getDelivery},
		{"resendDelivery", "POST", delivery + "/resend", toWrite, false, resendDelivery},

		{"listReplays", "GET", app + "/replays", toRead, false, listReplays},
		{"startReplay", "POST", app + "/replays", toWrite, false, startReplay},
		{"countReplay", "POST", app + "/replays/count", toRead, false, countReplay},
		{"getReplay", "GET", replay, toRead, false, getReplay},
		{"cancelReplay", "POST", replay + "/cancel", toWrite, false, cancelReplay},

		{"listEvents", "GET", app + "/events", toRead, false, listEvents},
		{"eraseEvent", "DELETE", app + "/events/{event}", toWrite, false, eraseEvent},
	}
}

// route is the operations of one path.
type route struct {
	segments []string
	methods  map[string]operation
}

// newRoutes groups operations by their paths. Paths without parameters come
// first.
func newRoutes(all []operation) (routes []route) {
	byPath := map[string]int{}
	for _, o := range all {
		i, known := byPath[o.path]
		if !known {
			i = len(routes)
			byPath[o.path] = i
			routes = append(routes, route{segments: strings.Split(o.path[1:], "/"), methods: map[string]operation{}})
		}
		routes[i].methods[o.method] = o
	}
	slices.SortStableFunc(routes, func(a, b route) int {
		return strings.Count(strings.Join(a.segments, "/"), "{") - strings.Count(strings.Join(b.segments, "/"), "{")
	})
	return routes
}

// match returns the values of the parameters if the path is the route's. It
// splits the path as it was sent, so that an encoded slash is part of a value.
// It cleans nothing and redirects nowhere: what is not exactly a path of the
// API is unknown.
func (r *route) match(segments []string) (params map[string]string, ok bool) {
	if len(segments) != len(r.segments) {
		return nil, false
	}
	params = map[string]string{}
	for i, want := range r.segments {
		got, err := url.PathUnescape(segments[i])
		switch {
		case err != nil:
			return nil, false
		case strings.HasPrefix(want, "{"):
			if got == "" {
				return nil, false
			}
			params[strings.Trim(want, "{}")] = got
		case segments[i] != want: // fixed words are never encoded
			return nil, false
		}
	}
	return params, true
}

// find returns the operation of a request, and the values of its parameters.
func (h *Handler) find(r *http.Request) (operation, map[string]string, *problem) {
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), "/")
	if !ok {
		return operation{}, nil, newProblem(http.StatusNotFound, "unknown_path")
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	segments := strings.Split(path, "/")
	for i := range h.routes {
		params, ok := h.routes[i].match(segments)
		if !ok {
			continue
		}
		if o, ok := h.routes[i].methods[method]; ok {
			return o, params, nil
		}
		p := newProblem(http.StatusMethodNotAllowed, "method_not_allowed")
		p.allow = strings.Join(slices.Sorted(maps.Keys(h.routes[i].methods)), ", ")
		return operation{}, nil, p
	}
	return operation{}, nil, newProblem(http.StatusNotFound, "unknown_path")
}
