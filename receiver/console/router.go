package console

import (
	"net/http"

	"github.com/deployhook/deployhook/internal/route"
	"github.com/deployhook/deployhook/internal/webui"
)

// screen is one method of one path.
type screen struct {
	method string
	path   string // parameters in braces; {org} is an organization
	serve  func(*view) error
}

// screens are those of the sources that there are.
func (h *Handler) screens() []screen {
	all := []screen{{http.MethodGet, "/", home}}
	if h.inbox != nil {
		all = append(all, inboxScreens()...)
	}
	if h.recent != nil {
		all = append(all, screen{http.MethodGet, "/recent", showRecent})
	}
	if h.ledger != nil {
		all = append(all, []screen{
			{"GET", "/deployments", chooseOrganization(partDeployments, "deployments")},
			{"GET", "/orgs/{org}/deployments", showDeployments},
			{"GET", "/orgs/{org}/history", showHistory},
			{"GET", "/orgs/{org}/deployment", showDeployment},
		}...)
	}
	if h.metrics != nil {
		all = append(all, []screen{
			{"GET", "/metrics", chooseOrganization(partMetrics, "metrics")},
			{"GET", "/orgs/{org}/metrics", listMetrics},
			{"GET", "/orgs/{org}/metrics/report", showReport},
		}...)
	}
	return all
}

func inboxScreens() []screen {
	const delivery = "/inbox/deliveries/{delivery}"
	return []screen{
		{"GET", "/inbox", showInbox},
		{"GET", "/inbox/deliveries", listDeliveries},
		{"GET", delivery, showDelivery},
		{"GET", delivery + "/body", downloadBody},
		{"GET", delivery + "/replay", askReplay},
		{"POST", delivery + "/replay", replayDelivery},
		{"GET", "/inbox/replay", askReplayAll},
		{"POST", "/inbox/replay", replayAll},
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

// home leads to the first page that there is.
func home(v *view) error {
	for _, link := range v.links() {
		return v.redirect(link.to)
	}
	return errNothing
}
