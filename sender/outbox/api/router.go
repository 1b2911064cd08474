package api

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/deployhook/deployhook/internal/route"
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

// find returns the operation of a request, and the values of its parameters.
func (h *Handler) find(r *http.Request) (operation, map[string]string, *problem) {
	methods, params := h.routes.Find(r)
	if methods == nil {
		return operation{}, nil, newProblem(http.StatusNotFound, "unknown_path")
	}
	o, ok := methods[route.Method(r)]
	if !ok {
		p := newProblem(http.StatusMethodNotAllowed, "method_not_allowed")
		p.allow = strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
		return operation{}, nil, p
	}
	return o, params, nil
}
