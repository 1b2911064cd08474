package api

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/deployhook/deployhook/payload"
)

// EventType describes a type of event to those who subscribe to it.
type EventType struct {
	// Type is its name, such as "deploy.live". Required.
	Type payload.Type `json:"type"`
	// Description is one sentence for customers. Empty means none.
	Description string `json:"description"`
	// Schema is the JSON Schema (2020-12) of the body in the format "json". Empty
	// means that of payload.EventSchema, for this type.
	Schema json.RawMessage `json:"schema"`
	// Example is a body in the format "json", as an endpoint gets it. Required.
	Example json.RawMessage `json:"example"`
}

//go:embed eventtypes.json
var builtin []byte

// EventTypes returns the types that every outbox has, with their schemas.
func EventTypes() []EventType {
	types := builtinTypes()
	for i := range types {
		types[i] = types[i].complete()
	}
	return types
}

func builtinTypes() (types []EventType) {
	_ = json.Unmarshal(builtin, &types) // a test reads it
	return types
}

// Complete returns the type with its schema filled in. A type without a name or
// an example, and a schema or example that is not JSON, are errors that wrap
// [ErrConfig].
func (t EventType) Complete() (EventType, error) {
	switch {
	case t.Type == "":
		return EventType{}, fmt.Errorf("%w: WithEventTypes: a type has no name", ErrConfig)
	case !json.Valid(t.Example):
		return EventType{}, fmt.Errorf("%w: WithEventTypes: the example of %s is missing or not JSON", ErrConfig, t.Type)
	case len(t.Schema) > 0 && !json.Valid(t.Schema):
		return EventType{}, fmt.Errorf("%w: WithEventTypes: the schema of %s is not JSON", ErrConfig, t.Type)
	}
	return t.complete(), nil
}

// complete fills in the schema.
func (t EventType) complete() EventType {
	if len(t.Schema) == 0 {
		name, _ := json.Marshal(t.Type) // texts always marshal
		t.Schema = slices.Concat([]byte(`{"$schema":"https://json-schema.org/draft/2020-12/schema","allOf":[`), payload.EventSchema(),
			[]byte(`,{"properties":{"event":{"const":`), name, []byte(`}}}]}`))
	}
	return t
}

func listEventTypes(c *call) (*answer, error) {
	q := c.query("cursor", "limit")
	p := q.page()
	if q.err != nil {
		return nil, q.err
	}
	type summary struct {
		Type        payload.Type `json:"type"`
		Description string       `json:"description"`
	}
	page := struct {
		Items []summary `json:"items"`
		Next  string    `json:"next,omitempty"`
	}{Items: []summary{}}
	begin := slices.IndexFunc(c.types, func(t EventType) bool { return string(t.Type) == p.Cursor }) + 1
	if p.Cursor != "" && begin == 0 {
		return nil, wrongField("cursor", "cursor_invalid")
	}
	for _, t := range c.types[begin:] {
		if len(page.Items) == p.Limit {
			page.Next = string(page.Items[p.Limit-1].Type)
			break
		}
		page.Items = append(page.Items, summary{t.Type, t.Description})
	}
	return ok(page), nil
}

func getEventType(c *call) (*answer, error) {
	for _, t := range c.types {
		if string(t.Type) == c.params["type"] {
			return ok(t.complete()), nil
		}
	}
	return nil, newProblem(http.StatusNotFound, "unknown_type")
}
