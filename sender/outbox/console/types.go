package console

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/deployhook/deployhook/internal/webui"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/sender/outbox/api"
)

func listTypes(v *view) error {
	return v.render(page{template: "types.html", title: "Event types", current: "Event types", crumbs: v.crumbs(), data: struct {
		scope
		Types []api.EventType
	}{v.scope(), v.types}})
}

// eventType returns a type by its name.
func (v *view) eventType(name string) (api.EventType, bool) {
	for _, t := range v.types {
		if string(t.Type) == name {
			return t, true
		}
	}
	return api.EventType{}, false
}

func showType(v *view) error {
	t, ok := v.eventType(v.params["type"])
	if !ok {
		return webui.ErrUnknownPage
	}
	return v.render(page{template: "type.html", title: string(t.Type), current: "Event types", crumbs: v.crumbs("Event types", "types"), data: struct {
		scope
		T               api.EventType
		Example, Schema string
		Cut             bool
	}{v.scope(), t, indent(t.Example), webui.Clip(indent(t.Schema), maxSchema), len(indent(t.Schema)) > maxSchema}})
}

// maxSchema bounds a schema that a page shows.
const maxSchema = 24 << 10

func indent(text []byte) string {
	var out bytes.Buffer
	if len(text) == 0 || json.Indent(&out, text, "", "  ") != nil {
		return string(text)
	}
	return out.String()
}

// askTest shows what would be sent.
func askTest(v *view) error {
	h, err := v.endpoint()
	if err != nil {
		return err
	}
	name := v.r.URL.Query().Get("type")
	if name == "" {
		name = string(outbox.EventTest)
	}
	t, ok := v.eventType(name)
	if !ok {
		return webui.ErrUnknownPage
	}
	return v.render(page{
		template: "test.html", title: "Send a test event", crumbs: v.crumbs("Endpoints", "", titleOf(h.Endpoint), endpointPath(h.ID)),
		data: struct {
			scope
			E       health
			Types   []api.EventType
			T       api.EventType
			Example string
			Own     bool // the type says itself that it is a test
		}{v.scope(), h, v.types, t, indent(t.Example), t.Type == outbox.EventTest},
	})
}

func sendTest(v *view) error {
	t, ok := v.eventType(v.text("type"))
	if !ok {
		return webui.ErrForm
	}
	var opts []outbox.TestOption
	if t.Type != outbox.EventTest {
		event, err := testEvent(t, v.now)
		if err != nil {
			return err
		}
		opts = append(opts, outbox.WithTestEvent(event))
	}
	d, _, err := v.app.TestEndpoint(v.ctx(), v.params["endpoint"], opts...)
	if err != nil {
		return err
	}
	return v.done("deliveries/"+url.PathEscape(d.ID), "tested")
}

// testEvent is the type's example as an event of now, of a deployment that does
// not exist.
func testEvent(t api.EventType, now time.Time) (*payload.Event, error) {
	event, err := payload.DecodeEvent(t.Example)
	if err != nil {
		return nil, &webui.Problem{Status: 422, Title: "No example", Text: "The type has no example that can be sent.", Do: "Choose another type."}
	}
	event.Timestamp, event.DeploymentID, event.DeliveryID = now, "test_"+strings.ToLower(rand.Text()[:12]), ""
	event.Extra.Delete("event_id")
	return event, nil
}
