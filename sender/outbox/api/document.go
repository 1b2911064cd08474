package api

import (
	"bytes"
	_ "embed"
	"encoding/json"
)

//go:embed openapi.json
var document []byte

// Document returns a copy of the OpenAPI 3.1 document of the API. The handler
// serves it at /openapi.json.
func Document() []byte { return bytes.Clone(document) }

func getDocument(*call) (*answer, error) { return ok(json.RawMessage(document)), nil }
