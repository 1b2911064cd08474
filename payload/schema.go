package payload

import (
	"bytes"
	_ "embed"
)

var (
	//go:embed schema/event.schema.json
	eventSchema []byte
	//go:embed schema/deployment.schema.json
	deploymentSchema []byte
)

// EventSchema returns the JSON Schema (draft 2020-12) of [Event]: a copy, the caller's to keep. It accepts the same
// documents as [DecodeEvent], but for what a schema cannot see: duplicate names, invalid UTF-8, anything after the
// document, nesting beyond 128 levels, and dates that leave the years 1970 to 9999 when they are moved to UTC.
func EventSchema() []byte { return bytes.Clone(eventSchema) }

// DeploymentSchema returns the JSON Schema (draft 2020-12) of [Deployment]: a copy, the caller's to keep. It accepts
// the same documents as [DecodeDeployment], with the exceptions that [EventSchema] lists.
func DeploymentSchema() []byte { return bytes.Clone(deploymentSchema) }
