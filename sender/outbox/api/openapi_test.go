package api_test

import (
	"encoding/json"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox/api"
)

// The document has exactly the handler's operations, and codes that exist. A
// module of its own checks the answers against it.
func TestDocument(t *testing.T) {
	t.Parallel()
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string
			Summary     string
			Responses   map[string]any
		}
		Webhooks map[string]map[string]struct {
			RequestBody struct {
				Content map[string]struct{ Example json.RawMessage }
			}
		}
	}
	require.NoError(t, json.Unmarshal(api.Document(), &doc))
	require.Equal(t, "3.1.0", doc.OpenAPI)
	described := map[string]string{}
	for path, methods := range doc.Paths {
		for method, o := range methods {
			described[methodName[method]+" "+path] = o.OperationID
			require.NotEmpty(t, o.Summary, o.OperationID)
			require.Contains(t, o.Responses, "401", o.OperationID)
		}
	}
	require.Equal(t, api.Operations(), described)

	codes := api.Codes()
	for _, m := range regexp.MustCompile(`PROBLEMS\.md#(\w+)"`).FindAllSubmatch(api.Document(), -1) {
		require.Contains(t, codes, string(m[1]))
	}
	p := onSQLite(t)
	types := p.must("shop", "GET", "/event-types", "").items()
	require.Len(t, doc.Webhooks, len(types))
	for _, one := range types {
		hook := doc.Webhooks[one["type"].(string)]
		event, err := payload.DecodeEvent(hook["post"].RequestBody.Content["application/json"].Example)
		require.NoError(t, err)
		require.Equal(t, one["type"], string(event.Type))
	}
	require.JSONEq(t, string(api.Document()), p.must("shop", "GET", "/openapi.json", "").text)
}

var methodName = map[string]string{"get": "GET", "post": "POST", "put": "PUT", "patch": "PATCH", "delete": "DELETE"}
