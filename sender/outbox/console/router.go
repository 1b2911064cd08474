package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// screen is one method of one path.
type screen struct {
	method   string
	path     string // parameters in braces; {app} is an app
	operator bool   // for operators only
	limited  bool   // counts for the limit of the app
	serve    func(*view) error
}

// screens are all that there are.
func screens() []screen {
	const (
		app      = "/apps/{app}"
		endpoint = app + "/endpoints/{endpoint}"
		delivery = app + "/deliveries/{delivery}"
		replay   = app + "/replays/{replay}"
		erase    = app + "/events/{event}/erase"
	)
	return []screen{
		{"GET", "/", false, false, home},
		{"GET", "/overview", true, false, overview},
		{"GET", "/apps", true, false, listApps},
		{"GET", "/deliveries", true, false, listDeliveries},

		{"GET", app, false, false, listEndpoints},
		{"GET", app + "/endpoints/new", false, false, newEndpoint},
		{"POST", app + "/endpoints/new", false, true, createEndpoint},
		{"GET", endpoint, false, false, showEndpoint},
		{"GET", endpoint + "/edit", false, false, editEndpoint},
		{"POST", endpoint + "/edit", false, true, updateEndpoint},
		{"GET", endpoint + "/rotate", false, false, askRotate},
		{"POST", endpoint + "/rotate", false, false, rotateSecret},
		{"GET", endpoint + "/test", false, false, askTest},
		{"POST", endpoint + "/test", false, true, sendTest},
		{"GET", endpoint + "/missed", false, false, askMissed},
		{"POST", endpoint + "/missed", false, false, sendMissed},
		{"POST", endpoint + "/enable", false, false, enableEndpoint},
		{"GET", endpoint + "/disable", false, false, askDisable},
		{"POST", endpoint + "/disable", false, false, disableEndpoint},
		{"GET", endpoint + "/delete", false, false, askDelete},
		{"POST", endpoint + "/delete", false, false, deleteEndpoint},

		{"GET", app + "/deliveries", false, false, listDeliveries},
		{"GET", delivery, false, false, showDelivery},
		{"GET", delivery + "/body", false, false, downloadBody},
		{"POST", delivery + "/resend", false, false, resendDelivery},
		{"POST", delivery + "/verify", false, true, verifySignature},
		{"GET", app + "/deployment", false, false, showDeployment},

		{"GET", app + "/resend", false, false, askResend},
		{"POST", app + "/resend", false, false, startReplay},
		{"GET", app + "/replays", false, false, listReplays},
		{"GET", replay, false, false, showReplay},
		{"POST", replay + "/cancel", false, false, cancelReplay},

		{"GET", app + "/types", false, false, listTypes},
		{"GET", app + "/types/{type}", false, false, showType},
		{"GET", erase, false, false, askErase},
		{"POST", erase, false, false, eraseEvent},
	}
}

// route is the screens of one path.
type route struct {
	segments []string
	methods  map[string]screen
}

// newRoutes groups screens by their paths. Paths with fewer parameters come
// first.
func newRoutes(all []screen) (routes []route) {
	byPath := map[string]int{}
	for _, s := range all {
		i, known := byPath[s.path]
		if !known {
			i = len(routes)
			byPath[s.path] = i
			routes = append(routes, route{segments: strings.Split(s.path[1:], "/"), methods: map[string]screen{}})
		}
		routes[i].methods[s.method] = s
	}
	slices.SortStableFunc(routes, func(a, b route) int {
		return strings.Count(strings.Join(a.segments, "/"), "{") - strings.Count(strings.Join(b.segments, "/"), "{")
	})
	return routes
}

// match returns the values of the parameters if the path is the route's. It
// splits the path as it was sent, so that an encoded slash is part of a value.
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
		case segments[i] != want:
			return nil, false
		}
	}
	return params, true
}

// find returns the screen of a request, and the values of its parameters.
func (h *Handler) find(r *http.Request) (screen, map[string]string, error) {
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/")
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
		if s, ok := h.routes[i].methods[method]; ok {
			return s, params, nil
		}
		return screen{}, nil, errMethod
	}
	return screen{}, nil, errUnknownPage
}
