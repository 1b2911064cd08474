package console

import (
	"html/template"
	"net/url"

	"github.com/deployhook/deployhook/internal/webui"
	"github.com/deployhook/deployhook/sender/outbox"
)

// templateFuncs are for the pages of this package.
func templateFuncs() template.FuncMap {
	return template.FuncMap{
		"path":         url.PathEscape,
		"deliveriesIn": func(all map[outbox.State]outbox.Count, state string) outbox.Count { return all[outbox.State(state)] },
		"endpointsIn": func(all map[outbox.EndpointState]outbox.Count, state string) outbox.Count {
			return all[outbox.EndpointState(state)]
		},
		"state": func(name string) webui.Tag {
			for _, c := range stateChoices {
				if c.Value == name {
					return webui.Idle(c.Text)
				}
			}
			return webui.Idle(name)
		},
	}
}
