package payload

import (
	"bytes"
	_ "embed"
)

var (
	//go:embed schema/event.schema.json
	eventSchema []byte
	//go:embed schema/envelope.schema.json
	envelopeSchema []byte
	//go:embed schema/deployment.schema.json
	deploymentSchema []byte
	//go:embed schema/incident.schema.json
	incidentSchema []byte
)

// EventSchema returns a copy of the JSON Schema (draft 2020-12) of [Event]. The
// schema accepts the same documents as [DecodeEvent], with the exception of
// rules that a schema cannot express:
//
//   - duplicate names
//   - invalid UTF-8
//   - data after the document
//   - nesting of more than 128 levels
//   - dates that fall outside the years 1970 to 9999 after conversion to UTC
func EventSchema() []byte { return bytes.Clone(eventSchema) }

// EnvelopeSchema returns a copy of the JSON Schema (draft 2020-12) of
// [Envelope]. The schema accepts the same documents as [DecodeEnvelope], with
// the exceptions that [EventSchema] lists. It also can't compare members, so it
// accepts other values of event and timestamp in data.
func EnvelopeSchema() []byte { return bytes.Clone(envelopeSchema) }

// DeploymentSchema returns a copy of the JSON Schema (draft 2020-12) of
// [Deployment]. The schema accepts the same documents as [DecodeDeployment],
// with the exceptions that [EventSchema] lists.
func DeploymentSchema() []byte { return bytes.Clone(deploymentSchema) }

// IncidentSchema returns a copy of the JSON Schema (draft 2020-12) of
// [Incident]. The schema accepts the same documents as [DecodeIncident], with
// the exceptions that [EventSchema] lists.
func IncidentSchema() []byte { return bytes.Clone(incidentSchema) }
