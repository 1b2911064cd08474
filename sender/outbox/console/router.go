package console

import (
	"net/http"

	"github.com/deployhook/deployhook/internal/route"
	"github.com/deployhook/deployhook/internal/webui"
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
		{"GET", "/endpoints", true, false, listAllEndpoints},
		{"GET", "/deliveries", true, false, listDeliveries},
		{"GET", "/replays", true, false, listReplays},

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

// find returns the screen of a request, and the values of its parameters.
func (h *Handler) find(r *http.Request) (screen, map[string]string, error) {
	methods, params := h.routes.Find(r)
	if methods == nil {
		return screen{}, nil, webui.ErrUnknownPage
	}
	s, ok := methods[route.Method(r)]
	if !ok {
		return screen{}, nil, webui.ErrMethod
	}
	return s, params, nil
}
