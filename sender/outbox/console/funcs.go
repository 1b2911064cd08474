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
		"short":  short,
		"answer": func(name string) string { return textOfChoice(classes, name) },
		"state":  func(name string) webui.Tag { return webui.Idle(textOfChoice(stateChoices, name)) },
	}
}

// textOfChoice is what people read instead of a value.
func textOfChoice(all []choice, value string) string {
	for _, c := range all {
		if c.Value == value {
			return c.Text
		}
	}
	return value
}

// short leaves out the middle of a long ID. The end tells IDs of one time
// apart.
func short(id string) string {
	const most, start, end = 20, 6, 8
	all := []rune(id)
	if len(all) <= most {
		return id
	}
	return string(all[:start]) + "…" + string(all[len(all)-end:])
}
