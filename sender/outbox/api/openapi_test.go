package api_test

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox/api"
)

// document is what the tests read of the OpenAPI document.
type document struct {
	OpenAPI string `json:"openapi"`
	Info    struct {
		Title, Version, Description string
	} `json:"info"`
	Tags       []struct{ Name, Description string }  `json:"tags"`
	Paths      ordered[ordered[*documentedMethod]]   `json:"paths"`
	Webhooks   ordered[map[string]*documentedMethod] `json:"webhooks"`
	Components struct {
		Parameters map[string]*parameter          `json:"parameters"`
		Responses  map[string]*documentedResponse `json:"responses"`
		Schemas    ordered[*schema]               `json:"schemas"`
		Examples   map[string]*example            `json:"examples"`
	} `json:"components"`
}

// ordered is an object whose members keep their order.
type ordered[T any] []member[T]

type member[T any] struct {
	name  string
	value T
}

// UnmarshalJSON reads an object.
func (o *ordered[T]) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if _, err := d.Token(); err != nil { // the brace
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		m := member[T]{name: name.(string)}
		if err := d.Decode(&m.value); err != nil {
			return err
		}
		*o = append(*o, m)
	}
	return nil
}

type reference struct {
	Ref string `json:"$ref"`
}

// name is the last part of a reference.
func (r reference) name() string { return r.Ref[strings.LastIndexByte(r.Ref, '/')+1:] }

type documentedMethod struct {
	OperationID string                         `json:"operationId"`
	Tags        []string                       `json:"tags"`
	Summary     string                         `json:"summary"`
	Description string                         `json:"description"`
	Access      string                         `json:"x-access"`
	Parameters  []*parameter                   `json:"parameters"`
	RequestBody *documentedBody                `json:"requestBody"`
	Responses   map[string]*documentedResponse `json:"responses"`
}

type documentedBody struct {
	Description string               `json:"description"`
	Required    bool                 `json:"required"`
	Content     map[string]mediaType `json:"content"`
}

type mediaType struct {
	Schema   *schema              `json:"schema"`
	Example  json.RawMessage      `json:"example"`
	Examples map[string]reference `json:"examples"`
}

type documentedResponse struct {
	reference

	Description string               `json:"description"`
	Codes       []string             `json:"x-codes"`
	FieldCodes  []string             `json:"x-field-codes"`
	Headers     ordered[parameter]   `json:"headers"`
	Content     map[string]mediaType `json:"content"`
}

type parameter struct {
	reference

	Name        string  `json:"name"`
	In          string  `json:"in"`
	Required    bool    `json:"required"`
	Description string  `json:"description"`
	Schema      *schema `json:"schema"`
}

type example struct {
	Summary string          `json:"summary"`
	Value   json.RawMessage `json:"value"`
}

// schema is a JSON Schema, as far as the document uses it.
type schema struct {
	reference

	Type                 string           `json:"type"`
	Format               string           `json:"format"`
	Description          string           `json:"description"`
	Enum                 []string         `json:"enum"`
	Properties           ordered[*schema] `json:"properties"`
	Required             []string         `json:"required"`
	Items                *schema          `json:"items"`
	AdditionalProperties json.RawMessage  `json:"additionalProperties"`
	Default              any              `json:"default"`
	Minimum              *float64         `json:"minimum"`
	Maximum              *float64         `json:"maximum"`
}

var readDocument = sync.OnceValues(func() (doc *document, err error) {
	return doc, json.Unmarshal(api.Document(), &doc)
})

// theDocument returns the document, parsed.
func theDocument(t testing.TB) *document {
	t.Helper()
	doc, err := readDocument()
	require.NoError(t, err)
	return doc
}

// response follows a reference.
func (d *document) response(r *documentedResponse) *documentedResponse {
	if r != nil && r.Ref != "" {
		return d.Components.Responses[r.name()]
	}
	return r
}

// The document has exactly the handler's operations with their rights, and each
// has what a reader needs. A module of its own checks the answers against it.
func TestDocument(t *testing.T) {
	t.Parallel()
	doc := theDocument(t)
	require.Equal(t, "3.1.0", doc.OpenAPI)
	described, access := map[string]string{}, map[string]string{}
	for _, path := range doc.Paths {
		for _, method := range path.value {
			o := method.value
			described[strings.ToUpper(method.name)+" "+path.name] = o.OperationID
			access[o.OperationID] = o.Access
			require.NotEmpty(t, o.Summary, o.OperationID)
			require.NotEmpty(t, o.Description, o.OperationID)
			require.Len(t, o.Tags, 1, o.OperationID)
			for _, status := range []string{"401", "403", "500", "503"} {
				require.Contains(t, o.Responses, status, o.OperationID)
			}
			if o.RequestBody != nil {
				require.NotEmpty(t, o.RequestBody.Content["application/json"].Examples, o.OperationID)
			}
			for status, r := range o.Responses {
				if content, ok := r.Content["application/json"]; ok {
					require.NotEmpty(t, content.Examples, "%s %s", o.OperationID, status)
				}
			}
		}
	}
	require.Equal(t, api.Operations(), described)
	require.Equal(t, api.AccessOfOperations(), access)
	require.JSONEq(t, string(api.Document()), onSQLite(t).must("shop", "GET", "/openapi.json", "").text)
}

// The codes of the document exist, and PROBLEMS.md has the same texts.
func TestDocument_Codes(t *testing.T) {
	t.Parallel()
	codes := api.Codes()
	for name, r := range theDocument(t).Components.Responses {
		require.NotEmpty(t, r.Codes, name)
		for _, code := range slices.Concat(r.Codes, r.FieldCodes) {
			require.Contains(t, codes, code, name)
		}
		var shown struct{ Code, Detail string }
		require.NoError(t, json.Unmarshal(r.Content["application/problem+json"].Example, &shown))
		require.Contains(t, r.Codes, shown.Code, name)
		if text := codes[shown.Code]; text != "" {
			require.Equal(t, text, shown.Detail, name)
		}
	}
}

// The document has a webhook for each type, whose example is an event.
func TestDocument_Webhooks(t *testing.T) {
	t.Parallel()
	doc := theDocument(t)
	types := onSQLite(t).must("shop", "GET", "/event-types", "").items()
	require.Len(t, doc.Webhooks, len(types))
	for i, one := range types {
		hook := doc.Webhooks[i].value["post"]
		require.Equal(t, one["type"], doc.Webhooks[i].name)
		require.Equal(t, one["description"], hook.Summary)
		event, err := payload.DecodeEvent(hook.RequestBody.Content["application/json"].Example)
		require.NoError(t, err)
		require.Equal(t, one["type"], string(event.Type))
	}
}

// checkDocumented checks that the document lists the codes of a problem at the
// operation of the request. What no operation lists is described for all of
// them.
func checkDocumented(t testing.TB, method, path string, r reply) {
	t.Helper()
	code, _ := r.body["code"].(string)
	o := theDocument(t).operation(method, path)
	general := o == nil || code == "unknown_path" || code == "method_not_allowed" ||
		o.RequestBody == nil && slices.Contains([]int{400, 408, 413, 415}, r.status)
	if r.status < 400 || r.text == "" || general {
		return
	}
	documented := theDocument(t).response(o.Responses[statusText(r.status)])
	require.NotNil(t, documented, "%s: %s", o.OperationID, r.text)
	require.Contains(t, documented.Codes, code, "%s: %s", o.OperationID, r.text)
	all, _ := r.body["errors"].([]any)
	for _, one := range all {
		require.Contains(t, documented.FieldCodes, one.(map[string]any)["code"], "%s: %s", o.OperationID, r.text)
	}
}

func statusText(status int) string {
	text, _ := json.Marshal(status) // numbers always marshal
	return string(text)
}

// operation returns the operation of a request, or nil.
func (d *document) operation(method, path string) *documentedMethod {
	path, _, _ = strings.Cut(path, "?")
	got := strings.Split(path, "/")
	var best *documentedMethod
	fixed := -1
	for _, candidate := range d.Paths {
		want := strings.Split(candidate.name, "/")
		same, i := 0, slices.IndexFunc(candidate.value, func(m member[*documentedMethod]) bool { return m.name == strings.ToLower(method) })
		if i < 0 {
			continue
		}
		o, matches := candidate.value[i].value, len(got) == len(want)
		for i := 0; matches && i < len(got); i++ {
			value, err := url.PathUnescape(got[i])
			switch {
			case got[i] == want[i]:
				same++
			case !strings.HasPrefix(want[i], "{") || err != nil || value == "":
				matches = false
			}
		}
		if matches && same > fixed {
			best, fixed = o, same
		}
	}
	return best
}
